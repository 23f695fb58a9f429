"""The measures of eval on cells whose score can be counted."""

from __future__ import annotations

import karyotype_paper
import numpy as np
import pytest
import torch
from drawn.karyotype import CLASSES, karyotype, metaphase

from cellscope.assays.karyotype.cell.sizes import LOG_AREA
from cellscope.assays.karyotype.datasets.metaphase import Metaphase
from cellscope.assays.karyotype.detect.detections import Detection, raw_instances
from cellscope.assays.karyotype.evaluation.scores import Prediction, assigned_labels, detection_metrics, metaphase_table


def truth_and_perfect(seed: int) -> tuple[Metaphase, Prediction]:
    cell = metaphase(seed, crossing=0, touching=0)
    boxes = cell.boxes.astype(int)
    masks = [mask[y0:y1, x0:x1] for mask, (x0, y0, x1, y1) in zip(cell.masks, boxes, strict=True)]
    truth = Metaphase(
        f"set/{cell.name}",
        "set",
        cell.pixels.astype(np.float32),
        1.0,
        cell.boxes.astype(np.float32),
        masks,
        boxes[:, :2],
        [],
        cell.classes,
    )
    found = [Detection(box, mask, 0.9) for box, mask in zip(boxes, masks, strict=True)]
    return truth, Prediction(found, list(cell.classes))


def test_counts_by_hand() -> None:
    truth, perfect = truth_and_perfect(0)
    wrong = Prediction(perfect.detections[:-2], list(perfect.classes[:-2]))
    wrong.classes[0] = "Y" if wrong.classes[0] != "Y" else "X"
    box = np.array([0, 0, 4, 4])
    wrong.detections.append(Detection(box, np.ones((4, 4), bool), 0.5))
    wrong.classes.append("1")
    truth.classes[5] = None  # annotated, class not known
    table = metaphase_table([truth, truth], ["a", "b"], [perfect, wrong])
    assert table["n_found"].tolist() == [46, 44]
    assert table["n_missed"].tolist() == [0, 2]
    assert table["n_extra"].tolist() == [0, 1]
    assert table["n_classed"].tolist() == [45, 45]
    assert table["n_right"].tolist() == [45, 42]
    metrics = {
        one.name: one.value for one in detection_metrics([truth, truth], [perfect, wrong], table, prefix="s.", seed=0)
    }
    assert metrics["s.recall"] == pytest.approx(90 / 92)
    assert metrics["s.precision"] == pytest.approx(90 / 91)
    assert metrics["s.count_error"] == pytest.approx(0.5)
    assert metrics["s.whole_correct"] == pytest.approx(0.5)
    assert metrics["s.end_to_end"] == pytest.approx(87 / 90)


def test_perfect_detections_score_one() -> None:
    pairs = [truth_and_perfect(seed) for seed in (1, 2, 3)]
    truths, perfect = [a for a, _ in pairs], [b for _, b in pairs]
    table = metaphase_table(truths, ["a", "b", "c"], perfect)
    metrics = {one.name: one for one in detection_metrics(truths, perfect, table, prefix="", seed=0)}
    for name in ("mask_map", "box_map", "recall", "precision", "whole_correct", "end_to_end"):
        assert metrics[name].value == pytest.approx(1.0), name
        assert metrics[name].low == pytest.approx(1.0)
    truths[0].masks[0] = None  # boxes only: no mask score for the source
    assert "mask_map" not in {one.name for one in detection_metrics(truths, perfect, table, prefix="", seed=0)}


def test_nothing_found_is_zero_not_an_error() -> None:
    truth, _ = truth_and_perfect(4)
    nothing = Prediction([], [])
    table = metaphase_table([truth], ["a"], [nothing])
    metrics = {one.name: one.value for one in detection_metrics([truth], [nothing], table, prefix="", seed=0)}
    assert metrics["recall"] == 0
    assert metrics["precision"] is None
    assert metrics["box_map"] == 0


def test_the_cell_helps_within_the_cell_only() -> None:
    names = [*karyotype("XX"), *karyotype("XX")]
    scores = np.full((92, 24), np.log(0.05 / 22))
    scores[np.arange(92), [CLASSES.index(name) for name in names]] = np.log(0.95)
    row = names.index("9")
    scores[row, [CLASSES.index("9"), CLASSES.index("10")]] = np.log([0.4, 0.5])
    cells = ["a"] * 46 + ["b"] * 46
    areas = 300 * np.exp(LOG_AREA[[CLASSES.index(name) for name in names]])
    labels = assigned_labels(scores, areas, cells, aneuploidy_cost=3.0)
    assert labels.tolist() == [CLASSES.index(name) for name in names]
    assert assigned_labels(scores, areas, cells, aneuploidy_cost=0.0)[row] == CLASSES.index("10")


def test_raw_detections_are_measured_as_the_detector_gave_them() -> None:
    """Ten sure boxes over halves of chromosomes cost the detector precision and the product nothing."""
    truth, perfect = truth_and_perfect(3)
    shape = truth.image.shape
    boxes = torch.from_numpy(truth.boxes)
    halves = boxes[:10].clone()
    halves[:, 3] = halves[:, [1, 3]].mean(1)
    output = {
        "boxes": torch.cat([boxes, halves]) * 2,  # at twice the image's scale
        "scores": torch.cat([torch.full((len(boxes),), 0.9), torch.full((10,), 0.95)]),
        "masks": torch.ones(len(boxes) + 10, 4, 4),
    }
    raw = raw_instances(output, 2.0, shape)
    assert len(raw.boxes) == len(boxes) + 10
    np.testing.assert_allclose(raw.boxes[: len(boxes)], truth.boxes, atol=1e-3)
    table = metaphase_table([truth], ["a"], [perfect])
    measured = Prediction(perfect.detections, perfect.classes, raw)
    found = {one.name: one for one in detection_metrics([truth], [measured], table, prefix="s.", seed=0)}
    assert found["s.mask_map"].value == pytest.approx(1.0)
    assert 0.5 < found["s.detector.box_ap75"].value < found["s.box_ap75"].value == pytest.approx(1.0)
    assert found["s.detector.box_map"].value < found["s.box_map"].value
    assert "final choice" in found["s.box_map"].convention
    assert "raw detections" in found["s.detector.box_map"].convention
    without = {one.name for one in detection_metrics([truth], [perfect], table, prefix="s.", seed=0)}
    assert not any("detector" in name for name in without)
    [row] = [row for row in karyotype_paper.rows() if row.name == "I right, chrrender-50"]
    assert {f"s.{name}" for name in row.metrics} <= set(found)  # what the paper's Table I prints is there
    assert row.metrics[0] == "detector.box_map"
