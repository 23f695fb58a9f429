"""Treated against control: R's and Fisher's own examples, Holm by hand, doses from names."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cellscope.assays.micronucleus.count.comparison import compare, doses_of, holm, trend_test
from cellscope.assays.micronucleus.count.summary import summarise
from cellscope.assays.micronucleus.options import PredictOptions
from cellscope.errors import UsageError


def frequencies(**groups):
    rows = [{"group": name, "n_micronucleated": k, "n_nuclei": n} for name, (k, n) in groups.items()]
    return pd.DataFrame(rows)


def test_the_trend_of_rs_manual():
    """``prop.trend.test(smokers, patients)`` of R's documentation: X-squared = 8.2249, df = 1, p-value = 0.004132."""
    found = trend_test([83, 90, 129, 70], [86, 93, 136, 82], [1, 2, 3, 4])
    assert found.z**2 == pytest.approx(8.2249, abs=5e-5)
    assert found.p_value == pytest.approx(0.004132, abs=5e-7)
    assert found.z < 0
    assert found.p_rising == pytest.approx(1 - found.p_value / 2)


def test_another_package_finds_the_same_trend():
    """statsmodels' linear-by-linear association of a table with two rows, its variance for fixed margins."""
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    positive, total, dose = np.array([5, 9, 14, 30]), np.array([2000, 1900, 2100, 2000]), np.array([0, 0.5, 1, 2])
    theirs = tables.Table(np.stack([total - positive, positive])).test_ordinal_association(np.array([0, 1]), dose)
    found = trend_test(positive, total, dose)
    n = total.sum()
    assert found.z * np.sqrt((n - 1) / n) == pytest.approx(theirs.zscore, rel=1e-9)


@pytest.mark.parametrize(("positive", "dose"), [([0, 0], [0, 1]), ([10, 10], [0, 1]), ([1, 2], [3, 3])])
def test_no_contrast_no_trend(positive, dose):
    assert trend_test(positive, [10, 10], dose) is None


def test_fishers_tea():
    """Fisher's own table, 3 of 4 against 1 of 4: 17 / 70 for so many or more, 34 / 70 two-sided."""
    table, _ = compare(frequencies(control=(1, 4), treated=(3, 4)), "control", {})
    row = table.iloc[1]
    assert row["fisher_p_rise"] == pytest.approx(17 / 70)
    assert row["fisher_p"] == pytest.approx(34 / 70)
    assert (row["difference_per_1000"], row["ratio"]) == (500, 3)
    assert not table["enough_cells"].any()


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]


def test_groups_are_in_order_of_dose_with_the_trend_in_the_controls_row():
    found = frequencies(**{"10 Gy": (40, 2000), "2 Gy": (20, 2000), "solvent": (10, 2000)})
    doses = doses_of(found["group"].tolist(), "", "solvent")
    assert doses == {"10 Gy": 10, "2 Gy": 2, "solvent": 0}
    table, trend = compare(found, "solvent", doses)
    assert table["group"].tolist() == ["solvent", "2 Gy", "10 Gy"]
    assert table["enough_cells"].all()
    assert table.loc[0, "trend_p_rise"] == trend.p_rising < 1e-4
    assert np.isnan(table.loc[0, "fisher_p"])
    assert table.loc[1, "fisher_p_holm"] >= table.loc[1, "fisher_p_rise"]


def test_doses_that_are_said_or_cannot_be_read():
    assert doses_of(["a", "b"], "a=0, b=2.5", "a") == {"a": 0, "b": 2.5}
    assert doses_of(["0,5 uM", "control"], "", "control") == {"0,5 uM": 0.5, "control": 0}
    assert doses_of(["2024-05-01 x", "control"], "", "control") == {}
    assert doses_of(["drug", "control"], "", "control") == {}
    for bad in ("a", "a=x", "a=0", "a=0,b=1,c=2", "a=0,b=nan", "a=0,b=inf", "a=0,b=1,b=2"):
        with pytest.raises(UsageError, match="--doses"):
            doses_of(["a", "b"], bad, "a")


def test_numbers_of_several_units_are_no_doses():
    assert doses_of(["solvent", "500 nM", "1 uM", "5 uM"], "", "solvent") == {}
    assert doses_of(["1 control", "2 low", "3 high"], "", "1 control") == {}
    assert doses_of(["solvent", "500 nM", "1,000 nM"], "", "solvent") == {}  # one, or a thousand
    same = ["0", "1 uM", "2 \N{MICRO SIGN}M", "3.5_\N{GREEK SMALL LETTER MU}m"]
    assert list(doses_of(same[:3], "", "0").values()) == [0, 1, 2]
    assert doses_of(["0 Gy", "0,125 Gy", "2gy (a)"], "", "0 Gy") == {"0 Gy": 0, "0,125 Gy": 0.125, "2gy (a)": 2}


def test_doses_without_a_control_are_refused():
    with pytest.raises(UsageError, match="--control GROUP"):
        PredictOptions(doses="a=0,b=1")
    assert PredictOptions(doses="a=0,b=1", control="a").doses == "a=0,b=1"


def test_a_control_that_is_not_there():
    with pytest.raises(UsageError, match=r"no group has this name; there are a, b"):
        compare(frequencies(a=(1, 10), b=(2, 10)), "c", {})


def run_summary(names=("0 Gy", "1 Gy"), **options):
    """Summarise two groups of two fields each, 3 of 100 and 12 of 100 cells called positive in them."""
    rows, cells = [], []
    for group, positive in zip(names, (3, 12), strict=True):
        for field in ("a", "b"):
            image = f"{group}/{field}"
            rows.append({"image": image, "status": "ok", "kind": "field", "n_nuclei": 100, "n_micronucleated": positive,
                         "n_micronuclei": positive - 1, "group": group})  # fmt: skip
            for label in range(100):
                called, seen = label < positive, 0 < label < positive
                cells.append(
                    (image, "micronucleus" if called else "normal", True, False, called and not seen, int(seen))
                )
    objects = pd.DataFrame(cells, columns=["image", "class", "scorable", "corrected", "unseen", "n_micronuclei"])
    given = SimpleNamespace(**{"threshold": None, "specificity": None} | options)
    return summarise(pd.DataFrame(rows), objects, given, {"classify": SimpleNamespace(training={})})


def test_a_run_with_a_control_writes_the_comparison():
    found = run_summary(control="0 Gy")
    assert list(found.tables) == ["frequency", "distribution", "comparison"]
    table = found.tables["comparison"]
    assert table["n_micronucleated"].tolist() == [6, 24]
    low, high = found.tables["frequency"].set_index("group").loc["all", ["per_1000_low", "per_1000_high"]]
    assert low < 53 < 105 < high  # Wilson's interval of 30 in 400, wider since the fields differ
    said = f"75 ({low:.3g} to {high:.3g})"
    assert found.headline == [("cells with micronuclei", "30 of 400"), ("per 1000 cells (95 %)", said)]
    assert table["dose"].tolist() == [0, 1]
    # for two groups the trend is the score test of two proportions
    pooled = 30 / 400
    z = (24 / 200 - 6 / 200) / np.sqrt(pooled * (1 - pooled) * 2 / 200)
    assert table.loc[0, "trend_z"] == pytest.approx(z)
    assert any("OECD 487 asks for 2000 cells" in line for line in found.warnings)
    spread = found.tables["distribution"].set_index("group")
    assert spread.loc["all", ["cells_0", "cells_1", "n_unseen"]].tolist() == [374, 26, 4]
    assert found.tables["frequency"].set_index("group").loc["1 Gy", "n_unseen"] == 2


def test_a_wrong_control_costs_no_frequency():
    found = run_summary(control="solvent")
    assert "comparison" not in found.tables
    assert len(found.tables["frequency"]) == 3
    assert any("--control solvent: no group has this name" in line for line in found.warnings)
    assert "comparison" not in run_summary().tables


def test_a_group_may_be_called_all():
    table = run_summary(names=("control", "all"), control="control").tables["comparison"]
    assert table["group"].tolist() == ["control", "all"]


def test_corrections_of_images_that_are_not_there_are_told():
    cell = [(1.0, 1.0, "normal")]
    told = [line for line in run_summary(corrected={"0 Gy/a": cell, "x/a": cell}).warnings if "--corrections" in line]
    assert len(told) == 1
    assert "1 of the 2 images of the table are no fields of this run, such as x/a" in told[0]
    assert not any("--corrections" in line for line in run_summary(corrected={"0 Gy/a": cell}).warnings)
