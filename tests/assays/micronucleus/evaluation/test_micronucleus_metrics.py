"""The tables of `eval`: operating points worked by hand, cell lines side by side."""

import numpy as np
import pandas as pd
import pytest

from cellscope.assays.micronucleus.evaluation.figures import class_figures
from cellscope.assays.micronucleus.evaluation.metrics import (
    by_line,
    cells_frame,
    classification_metrics,
    line_table,
    operating_points,
)
from cellscope.metrics.classification import average_precision, precision_points, roc_auc, roc_points


@pytest.fixture
def cells():
    """Two lines; three carriers at 0.9, 0.6, 0.2 and five normal cells at 0.1, 0.3, 0.4, 0.5, 0.7."""
    score = np.array([0.9, 0.6, 0.2, 0.1, 0.3, 0.4, 0.5, 0.7])
    positive = np.array([True] * 3 + [False] * 5)
    frame = cells_frame("f", "field", "A", positive, score, score >= 0.5)
    frame["line"] = ["A", "B", "B", "A", "A", "A", "B", "B"]
    frame.insert(1, "group", ["A/1", "B/1", "B/1", "A/1", "A/2", "A/2", "B/1", "B/1"])
    return frame


def test_operating_points_by_hand(cells):
    table = operating_points(cells, "field_cells", {"default": 0.5, "specificity 0.95": 0.8}, seed=0)
    assert list(table["operating_point"]) == ["default", "specificity 0.95"]
    assert list(table["threshold"]) == [0.5, 0.8]
    assert list(table["sensitivity"]) == pytest.approx([2 / 3, 1 / 3])
    assert list(table["specificity"]) == pytest.approx([3 / 5, 1.0])
    assert list(table["avg_acc"]) == pytest.approx([(2 / 3 + 3 / 5) / 2, (1 / 3 + 1) / 2])
    assert (table["sensitivity_low"] <= table["sensitivity"]).all()


def test_calls_and_table_of_lines(cells):
    metrics = by_line(cells, "crops", classification_metrics, seed=0)
    values = {metric.name: metric.value for metric in metrics}
    assert values["crops.sensitivity"] == pytest.approx(2 / 3)
    assert values["crops.specificity"] == pytest.approx(3 / 5)
    assert values["crops.A.sensitivity"] == 1.0
    assert values["crops.B.specificity"] == 0.0
    table = line_table(metrics).set_index("measure")
    assert list(table.columns) == ["all", "A", "B"]
    assert table.loc["crops.avg_acc", "A"] == pytest.approx(values["crops.A.avg_acc"])
    assert table.loc["crops.sensitivity_at_95", "all"] == pytest.approx(1 / 3)


def test_no_normal_cells_is_undefined_not_an_error(cells):
    table = operating_points(cells[cells["class"] == "micronucleus"], "crops", {"default": 0.5}, seed=0)
    row = table.iloc[0]
    assert row["sensitivity"] == pytest.approx(2 / 3)
    assert pd.isna(row["specificity"])
    assert pd.isna(row["specificity_low"])


def test_one_line_has_one_column():
    one = cells_frame("f", "crop", "A", np.array([True, False]), np.array([0.9, 0.1]), np.array([True, False]))
    one.insert(1, "group", ["A/1", "A/2"])
    table = line_table(by_line(one, "crops", classification_metrics, seed=0))
    assert list(table.columns) == ["measure", "all"]
    assert pd.notna(table.loc[0, "all"])


def test_f1_of_the_positive_class_of_both_and_weighted_by_hand(cells):
    values = {metric.name: metric.value for metric in classification_metrics(cells, "crops", seed=0)}
    positive, negative = 4 / 7, 6 / 9  # of 3 carriers 2 are called, of 5 normal cells 2 are
    assert values["crops.f1"] == pytest.approx(positive)
    assert values["crops.f1_macro"] == pytest.approx((positive + negative) / 2)
    assert values["crops.f1_weighted"] == pytest.approx((3 * positive + 5 * negative) / 8)


def test_the_curves_enclose_what_the_figures_say(cells):
    positive, score = (cells["class"] == "micronucleus").to_numpy(), cells["p_micronucleus"].to_numpy(float)
    false, true = roc_points(positive, score)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(true, false) == pytest.approx(roc_auc(positive, score))
    recall, precision = precision_points(positive, score)
    assert np.sum(np.diff(recall, prepend=0) * precision) == pytest.approx(average_precision(positive, score))
    assert {"roc_crops", "precision_recall_crops"} <= set(class_figures(cells, "crops"))
    assert "roc_crops" not in class_figures(cells[positive].reset_index(drop=True), "crops")
