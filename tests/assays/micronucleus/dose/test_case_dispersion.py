"""Doses of cases whose cells differ: worked by hand, Biodose Tools' published result, through the command."""

import math
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from cellscope.assays.micronucleus.dose.curve import fit_curve
from cellscope.assays.micronucleus.dose.estimate import Spread, estimate_dose, poisson_limits, yield_limits
from cellscope.assays.micronucleus.dose.samples import run_spreads, table_spread
from cellscope.cli.root import app
from cellscope.errors import UsageError

#: IAEA, Cytogenetic Dosimetry (EPR-Biodosimetry 2011), gamma rays, after Barquinero et al. 1995: dose, cells, counts.
IAEA = [
    (0, 5000, 8), (0.1, 5002, 14), (0.25, 2008, 22), (0.5, 2002, 55), (0.75, 1832, 100), (1, 1168, 109),
    (1.5, 562, 100), (2, 333, 103), (3, 193, 108), (4, 103, 103), (5, 59, 107),
]  # fmt: skip
TABLE = Path("counts.csv")
CELLS_WITH = {"cells_0": "302", "cells_1": "28", "cells_2": "22", "cells_3": "8", "cells_4": "1"}


def test_the_example_of_biodose_tools():
    """Reference page of its ``estimate_whole_body_merkle``: DI 1.77, u 10.4; est_yield and est_doses."""
    spread = Spread(1.77, 10.4)
    assert yield_limits(100, 361, 0.83, spread=spread, rule="biodose-tools") == pytest.approx(
        (0.1980553, 0.3841655), abs=1e-7
    )
    found = estimate_dose(fit_curve(IAEA), 100, 361, spread=spread, rule="biodose-tools")
    assert (found.low, found.dose, found.high) == pytest.approx((1.541315, 1.931213, 2.420912), abs=1e-4)
    counted = table_spread(TABLE, "row 1", CELLS_WITH, 361, 100)
    assert (counted.index, counted.u) == pytest.approx((1.77, 10.4), abs=0.05)


def test_the_manuals_rule_by_hand():
    """400 in 1000 cells, index 2.25: the limits of 400 / 2.25 = 177.8, the standard error 1.5 times as wide."""
    spread = Spread(2.25, 12.0)
    low, high = yield_limits(400, 1000, 0.95, spread=spread, rule="iaea")
    expected = [limit * 2.25 / 1000 for limit in poisson_limits(400 / 2.25)]
    assert (low, high) == pytest.approx(expected)
    plain = yield_limits(400, 1000, 0.95)
    assert (high - low) / (plain[1] - plain[0]) == pytest.approx(1.5, rel=0.01)
    # for large counts: yield -+ 1.96 sqrt(variance / cells), the observed variance being 2.25 * 0.4
    low, high = yield_limits(40_000, 100_000, 0.95, spread=spread, rule="iaea")
    assert (high - low) / 2 == pytest.approx(1.96 * math.sqrt(2.25 * 0.4 / 100_000), rel=0.005)


@pytest.mark.parametrize("rule", ["none", "iaea", "biodose-tools"])
@pytest.mark.parametrize("spread", [None, Spread(None, None), Spread(0.8, -3.0)])
def test_counts_that_do_not_spread_stay_as_they_are(rule, spread):
    assert yield_limits(25, 500, 0.83, spread=spread, rule=rule) == yield_limits(25, 500, 0.83)
    assert yield_limits(0, 500, 0.83, spread=Spread(None, None), rule=rule) == yield_limits(0, 500, 0.83)


def test_the_manuals_rule_waits_for_the_test_and_the_curves_own_dispersion_stays():
    plain = yield_limits(25, 500, 0.83)
    assert yield_limits(25, 500, 0.83, spread=Spread(1.1, 1.95), rule="iaea") == plain
    assert yield_limits(25, 500, 0.83, spread=Spread(1.1, 1.97), rule="iaea")[1] > plain[1]
    wide = yield_limits(25, 500, 0.83, factor=9.0)
    for rule in ("iaea", "biodose-tools"):  # the curve scatters more than the case: its factor holds
        found = yield_limits(25, 500, 0.83, factor=9.0, spread=Spread(1.2, 3.0), rule=rule)
        assert found[0] <= wide[0] < wide[1] <= found[1]
    assert yield_limits(25, 500, 0.83, factor=9.0, spread=Spread(1.2, 3.0), rule="iaea") == wide


def dose(folder: Path, *words: str) -> tuple[int, str]:
    (folder / "calibration.csv").write_text("dose,cells,micronuclei\n" + "".join(f"{d},{n},{k}\n" for d, n, k in IAEA))
    given = ["micronucleus", "dose", str(folder / "calibration.csv"), "-o", str(folder / "out"), "--overwrite", *words]
    result = CliRunner().invoke(app, given)
    return result.exit_code, result.stderr


def test_the_command_reads_the_spread_from_a_table_and_from_a_run(tmp_path):
    table = tmp_path / "counts.csv"
    table.write_text(
        "name,cells,micronuclei,cells_0,cells_1,cells_2,cells_3,cells_4\nA,361,100,302,28,22,8,1\nB,361,100,,,,,\n"
    )
    assert dose(tmp_path, "--counts", str(table), "--case-dispersion", "biodose-tools") == (0, "")
    found = pd.read_csv(tmp_path / "out/doses.csv").set_index("name")
    assert found.loc["A", ["low", "high"]].tolist() == pytest.approx([1.5413, 2.4209], abs=1e-3)
    assert found.loc["A", "papworth_u"] == pytest.approx(10.354, abs=1e-3)
    assert found.loc["B", ["low", "high"]].tolist() == pytest.approx([1.712, 2.187], abs=1e-3)
    assert "not widened" in found.loc["B", "note"]
    assert dose(tmp_path, "--counts", str(table)) == (0, "")  # without the option all is as it was
    plain = pd.read_csv(tmp_path / "out/doses.csv").set_index("name")
    assert plain.loc["A", "low"] == plain.loc["B", "low"] == found.loc["B", "low"]
    assert "dispersion_index" not in plain

    run = tmp_path / "run"
    run.mkdir()
    (run / "frequency.csv").write_text("group,n_nuclei,n_micronuclei\nall,361,100\nfew,500,1\n")
    (run / "distribution.csv").write_text("group,dispersion_index,papworth_u\nall,1.7678889,10.354\nfew,1.0,\n")
    assert run_spreads(run / "distribution.csv") == {"all": Spread(1.7678889, 10.354), "few": Spread(1.0, None)}
    assert dose(tmp_path, "--counts", str(run), "--case-dispersion", "iaea") == (0, "")
    again = pd.read_csv(tmp_path / "out/doses.csv").set_index("name")
    assert again.loc["all", ["low", "high"]].tolist() == pytest.approx([1.665, 2.244], abs=1e-3)
    (run / "distribution.csv").unlink()
    assert "there is no distribution.csv" in dose(tmp_path, "--counts", str(run), "--case-dispersion", "iaea")[1]


def test_a_spread_that_cannot_be_is_refused(tmp_path):
    with pytest.raises(UsageError, match="361 cells with 100 micronuclei, but the row says 361 and 99"):
        table_spread(TABLE, "row 1", CELLS_WITH, 361, 99)
    for cell in ("many", "nan", "inf"):
        with pytest.raises(UsageError, match=f"row 1: cells_0 is '{cell}', not a number"):
            table_spread(TABLE, "row 1", {"cells_0": cell}, 1, 0)
    with pytest.raises(UsageError, match="must be whole"):
        table_spread(TABLE, "row 1", {"cells_0": "1.5"}, 1, 0)
    assert table_spread(TABLE, "row 1", {"cells_0": "", "cells": "3"}, 3, 0) is None
    code, said = dose(tmp_path, "--cells", "500", "--micronuclei", "25", "--case-dispersion", "iaea")
    assert (code, "--case-dispersion needs --counts" in said) == (2, True)
