"""The paper's measures on cells that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cellscope.assays.karyotype.classes import CLASSES
from cellscope.assays.karyotype.detect.detections import Detection
from cellscope.assays.karyotype.evaluation.karyotype_scores import (
    BACKGROUND,
    case_histogram,
    histogram_figure,
    histogram_metric,
    karyotype_counts,
    karyotyping_metrics,
)
from cellscope.assays.karyotype.evaluation.scores import Prediction
from cellscope.assays.karyotype.training.detector_data import Metaphase

SIDE = 8


def cell(names: list[str | None], sex: str = "XY") -> tuple[Metaphase, Prediction]:
    """Chromosomes side by side, all found and named right."""
    boxes = np.array([[SIDE * n, 0, SIDE * n + SIDE - 1, 20] for n in range(len(names))], np.float32).reshape(-1, 4)
    masks = [np.ones((20, SIDE - 1), np.uint8)] * len(names)
    image = np.zeros((30, SIDE * max(len(names), 1)), np.float32)
    truth = Metaphase("s/a", "s", image, 1.0, boxes, list(masks), boxes[:, :2].astype(int), [], list(names))
    found = [Detection(box.astype(int), mask > 0, 0.9) for box, mask in zip(boxes, masks, strict=True)]
    return truth, Prediction(found, [str(name) for name in names])


NORMAL = [*[name for name in CLASSES[:22] for _ in range(2)], "X", "Y"]


def values(truths: list[Metaphase], predictions: list[Prediction]) -> dict[str, float | None]:
    counts = karyotype_counts(truths, predictions)
    return {one.name: one.value for one in karyotyping_metrics(*counts, ["g"] * len(truths), prefix="", seed=0)}


def test_a_perfect_cell_is_one_in_everything() -> None:
    truth, prediction = cell(NORMAL)
    assert set(values([truth], [prediction]).values()) == {1.0}


def test_missed_wrong_and_made_up_by_hand() -> None:
    truth, prediction = cell(NORMAL)
    # One 1 called 2, one 3 not named, one 4 not found, one object that is none called 5.
    prediction.classes[0] = "2"
    prediction.classes[4] = "unassigned"
    del prediction.detections[6], prediction.classes[6]
    prediction.detections.append(Detection(np.array([0, 22, 6, 30]), np.ones((8, 6), bool), 0.6))
    prediction.classes.append("5")
    confusion, segmented, expected = karyotype_counts([truth], [prediction])
    table = confusion[0]
    assert table[0, 1] == 1
    assert table[2, BACKGROUND] == 1
    assert table[3, BACKGROUND] == 1
    assert table[BACKGROUND, 4] == 1
    assert table.sum() == 47
    assert segmented.tolist() == [46]
    assert expected.sum() == 46
    found = values([truth], [prediction])
    assert found["fully_karyotyping_accuracy"] == pytest.approx(43 / 46)
    assert found["only_classifying_accuracy"] == pytest.approx(43 / 46)
    # Three classes have recall one half; 2 and 5 have precision two thirds, the others 1.
    assert found["fully_karyotyping_recall"] == pytest.approx((21 + 3 * 0.5) / 24)
    assert found["fully_karyotyping_precision"] == pytest.approx((22 + 2 * 2 / 3) / 24)
    # Over 46: classes 1, 3 and 4 have been called once where a normal cell holds two.
    assert found["fully_karyotyping_precision_46"] == pytest.approx((19 + 2 * 2 / 3 + 3 * 0.5) / 24)


def test_over_46_and_over_the_true_number_differ_in_an_incomplete_cell() -> None:
    truth, prediction = cell(["1", "1", "2", "X", None])
    found = values([truth], [prediction])
    assert found["fully_karyotyping_accuracy_46"] == pytest.approx(4 / 46)
    assert found["fully_karyotyping_accuracy"] == pytest.approx(1.0)
    assert found["only_classifying_accuracy"] == pytest.approx(1.0)  # the one of unknown class is left out
    assert found["fully_karyotyping_recall"] == pytest.approx(1.0)
    # 1 twice, 2 and X once of two each; a cell without a Y is taken for XX.
    assert found["fully_karyotyping_recall_46"] == pytest.approx((1 + 0.5 + 0.5) / 23)


def test_nothing_known_is_undefined_not_zero() -> None:
    truth, prediction = cell([None, None])
    found = values([truth], [prediction])
    assert found["fully_karyotyping_accuracy"] is None
    assert found["only_classifying_accuracy"] is None


def test_table_iii() -> None:
    confusion = np.zeros((5, 25, 25), np.int64)
    confusion[:, 0, 0] = [42, 41, 37, 33, 32]
    confusion[:, BACKGROUND, BACKGROUND] = 9  # never counts
    assert case_histogram(confusion) == {">=42": 1, "37-41": 2, "33-36": 1, "<33": 1}
    metric = histogram_metric(confusion, prefix="s.")
    assert metric.value == pytest.approx(0.2)
    assert metric.per_class == {">=42": 1.0, "37-41": 2.0, "33-36": 1.0, "<33": 1.0}
    assert histogram_figure(confusion, title="s").axes
