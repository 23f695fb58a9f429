"""`eval --compare`: paired differences of two evaluations of the same items, in every assay."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cellscope.assays.histo.evaluation.scores import compared_measures as histo
from cellscope.assays.karyotype.evaluation.scores import compared_measures as karyotype
from cellscope.assays.micronucleus.evaluation.scores import compared_measures as micronucleus
from cellscope.engine.eval.compare import compare_all, compare_tables, numbers_of, read_others, right_and_probability
from cellscope.errors import UsageError


def scores(values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"image": [f"i{n}" for n in range(len(values))], "dice": values})


def test_the_interval_is_of_the_paired_difference() -> None:
    """Two models that differ by 0.02 on images that differ by 0.3: only pairs tell them apart."""
    random = np.random.default_rng(4)
    hard = random.uniform(0.5, 0.9, 60)
    ours = hard + 0.02 + random.normal(0, 0.01, 60)
    table = compare_tables(scores(ours), scores(hard).sample(frac=1, random_state=1), numbers_of)
    row = table.iloc[0]
    assert row["difference"] == pytest.approx(np.mean(ours - hard))
    assert row["low"] < row["difference"] < row["high"]
    # the bootstrap of a mean of 60 is close to Student's interval
    low, high = stats.t.interval(0.95, 59, np.mean(ours - hard), stats.sem(ours - hard))
    np.testing.assert_allclose([row["low"], row["high"]], [low, high], atol=0.0006)
    assert row["low"] > 0
    turned = compare_tables(scores(hard), scores(ours), numbers_of).iloc[0]
    np.testing.assert_allclose([turned["low"], turned["high"]], [-row["high"], -row["low"]], atol=1e-3)


def test_groups_are_drawn_whole() -> None:
    """Ten images of each of four patients, all alike within one: the interval is that of four numbers, not of forty."""
    of_patient = np.repeat([0.0, 0.1, 0.2, 0.3], 10)
    groups = {f"i{n}": f"patient {n // 10}" for n in range(40)}
    zero = scores(np.zeros(40))
    grouped = compare_tables(scores(of_patient), zero, numbers_of, groups=groups).iloc[0]
    alone = compare_tables(scores(of_patient), zero, numbers_of).iloc[0]
    assert grouped["high"] - grouped["low"] > 2 * (alone["high"] - alone["low"])


def test_only_items_that_both_measured_count() -> None:
    ours, theirs = scores(np.array([0.5, np.nan, 0.7, 0.9])), scores(np.array([0.4, 0.4, np.nan, 0.8]))
    row = compare_tables(ours, theirs.head(4), numbers_of).iloc[0]
    assert row["n"] == 2
    assert row["difference"] == pytest.approx(0.1)
    with pytest.raises(ValueError, match="comes twice"):
        compare_tables(pd.concat([ours, ours]), theirs, numbers_of)


def test_measures_of_classified_items() -> None:
    table = pd.DataFrame(
        {
            "class": ["normal", "abnormal", "abnormal", None],
            "predicted": ["normal", "normal", "abnormal", None],
            "p_normal": [0.9, 0.6, 0.2, np.nan],
            "p_abnormal": [0.1, 0.4, 0.8, np.nan],
        }
    )
    found = right_and_probability(table)
    np.testing.assert_array_equal(found["right"], [1, 0, 1, np.nan])
    np.testing.assert_array_equal(found["p_of_class"], [0.9, 0.4, 0.8, np.nan])
    np.testing.assert_allclose(right_and_probability(table.drop(columns="p_normal"))["p_of_class"], found["p_of_class"])


def test_measures_of_metaphases_and_chromosomes() -> None:
    cells = pd.DataFrame(
        {"n_truth": [46, 40], "n_found": [46, 30], "n_extra": [0, 2], "n_classed": [46, 40], "n_right": [23, 30]}
    )
    singles = pd.DataFrame({"class": ["7", "X"], "predicted": ["7", "8"], "predicted_with_cell": ["7", "X"]})
    found = karyotype(pd.concat([cells, singles], ignore_index=True))
    np.testing.assert_array_equal(found["found"], [1, 0.75, np.nan, np.nan])
    np.testing.assert_array_equal(found["found_and_right"], [0.5, 0.75, np.nan, np.nan])
    np.testing.assert_array_equal(found["right"], [np.nan, np.nan, 1, 0])
    np.testing.assert_array_equal(found["right_with_cell"], [np.nan, np.nan, 1, 1])


def test_measures_of_nuclei_and_fields() -> None:
    tiles = pd.DataFrame(
        {"n_true": [10, 4], "n_found": [8, 7], "aji": [0.5, 0.6], "f1_tumour": [0.1, np.nan], "otsu_aji": 0}
    )
    assert list(histo(tiles)) == ["aji", "f1_tumour", "count_error"]
    assert histo(tiles)["count_error"].tolist() == [2, 3]
    fields = pd.DataFrame(
        {"n_true": [10], "matched": [9], "extra": [1], "true_frequency": [0.1], "found_frequency": [0.3]}
    )
    found = micronucleus(fields)
    assert found.loc[0, "found"] == 0.9
    assert found.loc[0, "frequency_error"] == pytest.approx(0.2)


def evaluation(folder: Path, assay: str = "histo", hashed: str = "a") -> Path:
    folder.mkdir()
    scores(np.array([0.5, 0.6])).to_csv(folder / "per_image.csv", index=False)
    (folder / "eval.json").write_text(json.dumps({"assay": assay, "dataset": {"hash": hashed}}))
    return folder


def test_what_is_compared_must_be_an_evaluation_of_the_assay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = evaluation(tmp_path / "good")
    assert len(read_others([good], "histo", "a")) == 1
    assert not capsys.readouterr().err
    read_others([good], "histo", "b")
    assert "another version of the dataset" in capsys.readouterr().err
    with pytest.raises(UsageError, match="an evaluation of mitosis, not of histo"):
        read_others([evaluation(tmp_path / "other", "mitosis")], "histo", "a")
    with pytest.raises(UsageError, match=r"no per_image.csv"):
        read_others([tmp_path], "histo", "a")
    (good / "eval.json").write_text("{")
    with pytest.raises(UsageError, match="missing or damaged"):
        read_others([good], "histo", "a")


def test_several_are_numbered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    others = read_others([evaluation(tmp_path / "one"), evaluation(tmp_path / "two")], "histo", "a")
    ours = scores(np.array([0.7, 0.8]))
    tables = compare_all(ours, others, numbers_of, groups={}, seed=0, quiet=False)
    assert set(tables) == {"comparison_1", "comparison_2"}
    assert "difference +0.2000 (0.2000 to 0.2000) over 2 items" in capsys.readouterr().err
    assert set(compare_all(ours, others[:1], numbers_of, groups={}, seed=0, quiet=True)) == {"comparison"}
    assert not capsys.readouterr().err
    with pytest.raises(UsageError, match=r"two.*no image in common"):
        compare_all(ours.assign(image="x")[:1], others[1:], numbers_of, groups={}, seed=0, quiet=True)
