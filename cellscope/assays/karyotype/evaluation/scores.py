"""The paper's measures for `eval`: detection, classification, end to end. Arrays in, tables and metrics out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from cellscope.assays.karyotype.cell.assignment import assign_cell
from cellscope.assays.karyotype.cell.choice import cell_evidence
from cellscope.assays.karyotype.classes import CLASSES
from cellscope.assays.karyotype.datasets.metaphase import Metaphase
from cellscope.assays.karyotype.detect.detections import Detection, as_instances, encode
from cellscope.engine.eval.metric import Metric, measure
from cellscope.metrics.coco import CocoScore, Instances
from cellscope.metrics.detection import box_iou, detection_rates, match


@dataclass
class Prediction:
    """What was found in one metaphase.

    Attributes
    ----------
    detections : list of Detection
        The final choice, with the probability of each to be one whole chromosome.
    classes : list of str
        The class given to each.
    raw : Instances or None
        The detector's own boxes, masks and scores, before any choice.
    """

    detections: list[Detection]
    classes: list[str]
    raw: Instances | None = None


def metaphase_table(
    truths: Sequence[Metaphase], groups: Sequence[str], predictions: Sequence[Prediction]
) -> pd.DataFrame:
    """Count per metaphase: found one to one (box IoU above 0.5), classed right, and the paper's ratios.

    Returns
    -------
    DataFrame
        ``image, source, group, n_truth, n_predicted, n_found, n_missed, n_extra, n_classed`` (annotated chromosomes
        of known class), ``n_right`` (of those, found and given the right class).
    """
    rows = []
    for truth, group, prediction in zip(truths, groups, predictions, strict=True):
        reported = [detection.reported_box(truth.image.shape) for detection in prediction.detections]
        boxes = np.array(reported, float).reshape(-1, 4)
        pairs = match(box_iou(truth.boxes, boxes))
        known = sum(name is not None for name in truth.classes)
        right = sum(
            truth.classes[row] is not None and prediction.classes[column] == truth.classes[row] for row, column in pairs
        )
        rows.append(
            {
                "image": truth.name,
                "source": truth.source,
                "group": group,
                "n_truth": len(truth.boxes),
                "n_predicted": len(boxes),
                "n_found": len(pairs),
                "n_missed": len(truth.boxes) - len(pairs),
                "n_extra": len(boxes) - len(pairs),
                "n_classed": known,
                "n_right": right,
            }
        )
    return pd.DataFrame(rows)


def detection_metrics(
    truths: Sequence[Metaphase], predictions: Sequence[Prediction], table: pd.DataFrame, *, prefix: str, seed: int
) -> list[Metric]:
    """Measure one source's metaphases; names begin with `prefix`.

    COCO AP of boxes and, where every truth has one, of masks, of the final choice and (``detector.``) of the
    detector's raw detections, which is what papers print; recall, precision, count error and the whole-correct
    ratios of one to one matches; end to end: found and given the right class, per annotated chromosome of known
    class. Intervals resample groups.
    """
    groups = table["group"].to_numpy()
    metrics = []
    with_masks = all(mask is not None for truth in truths for mask in truth.masks)
    kinds: tuple[Literal["mask", "box"], ...] = ("mask", "box") if with_masks else ("box",)
    for kind in kinds:
        known = [_truth_instances(truth, kind == "mask") for truth in truths]
        final = [
            as_instances(p.detections, t.image.shape, masks=kind == "mask")
            for t, p in zip(truths, predictions, strict=True)
        ]
        metrics += _average_precision(known, final, groups, f"{prefix}{kind}", "final choice", kind, seed)
        raw = [p.raw for p in predictions if p.raw is not None]
        if len(raw) == len(truths) and (kind == "box" or all(one.masks is not None for one in raw)):
            metrics += _average_precision(known, raw, groups, f"{prefix}detector.{kind}", RAW, kind, seed)
    rates = {
        "recall": "annotated chromosomes found one to one, box IoU above 0.5",
        "precision": "found chromosomes that match an annotated one, box IoU above 0.5",
        "count_error": "mean absolute difference of the number of chromosomes per metaphase",
        "exact_count": "share of metaphases with the right number of chromosomes",
        "whole_correct": "share of metaphases with nothing missed and nothing made up (whole correct ratio)",
        "missing_at_most_one": "share of metaphases with at most one chromosome missed",
    }
    counts = table[["n_truth", "n_predicted", "n_found"]].to_numpy()
    for name, convention in rates.items():
        metrics.append(
            measure(
                f"{prefix}{name}",
                groups,
                lambda index, name=name: detection_rates(*counts[index].T)[name],  # type: ignore[misc]
                convention=convention,
                seed=seed,
            )
        )
    right, known = table["n_right"].to_numpy(), table["n_classed"].to_numpy()
    metrics.append(
        measure(
            f"{prefix}end_to_end",
            groups,
            lambda index: right[index].sum() / known[index].sum() if known[index].sum() else None,
            convention="annotated chromosomes of known class that are found (box IoU above 0.5) and classed right",
            seed=seed,
        )
    )
    return metrics


RAW = "raw detections with the detector's own score, nothing dropped"


def _average_precision(
    truth: list[Instances],
    predicted: list[Instances],
    groups: np.ndarray,
    prefix: str,
    what: str,
    kind: Literal["mask", "box"],
    seed: int,
) -> list[Metric]:
    """Give COCO's figures of boxes or masks: mAP, AP50, AP75 with intervals, AP of small and medium objects."""
    scores = CocoScore(truth, predicted, kind=kind)
    things = {"mask": "masks", "box": "boxes"}[kind]
    metrics = [
        measure(
            f"{prefix}_{name}",
            groups,
            lambda index, iou=iou: scores.average_precision(index, iou=iou),  # type: ignore[misc]
            convention=f"COCO average precision of {things}, IoU {iou or '0.50:0.95'}, 100 per image; {what}",
            n=200,
            seed=seed,
        )
        for name, iou in (("map", None), ("ap50", 0.5), ("ap75", 0.75))
    ]
    summary = scores.summary()
    for size, bounds in (("small", "below 32"), ("medium", "32 to 96")):
        convention = f"COCO average precision of {size} objects ({bounds} squared pixels); {what}"
        metrics.append(Metric(f"{prefix}_ap_{size}", summary[f"ap_{size}"], None, None, len(truth), convention))
    return metrics


def _truth_instances(truth: Metaphase, masks: bool) -> Instances:
    shape = truth.image.shape
    coded = [
        encode(mask, int(x), int(y), shape)
        for mask, (x, y) in zip(truth.masks, truth.offsets, strict=True)
        if mask is not None
    ]
    return Instances(truth.boxes, coded if masks else None)


def assigned_labels(
    log_probabilities: np.ndarray, areas: np.ndarray, cells: Sequence[str], *, aneuploidy_cost: float
) -> np.ndarray:
    """Classes of single chromosomes with the help of the others of their cell, as `name_cell` uses it.

    Parameters
    ----------
    log_probabilities : (N, 24) float
    areas : (N,) float
        Pixels of their masks, comparable within a cell.
    cells : (N,) sequence of str
    aneuploidy_cost : float

    Returns
    -------
    (N,) int
        Index into `CLASSES`, -1 for unassigned.
    """
    of_cell = np.asarray(cells)
    labels = np.full(len(of_cell), -1)
    for cell in np.unique(of_cell):
        index = np.flatnonzero(of_cell == cell)
        evidence = cell_evidence(log_probabilities[index], areas[index])
        found = assign_cell(evidence, aneuploidy_cost=aneuploidy_cost).classes
        labels[index] = [CLASSES.index(name) if name in CLASSES else -1 for name in found]
    return labels


def compared_measures(per_image: pd.DataFrame) -> pd.DataFrame:
    """Give what `eval --compare` compares, of ``per_image.csv``.

    Of a metaphase the shares of its chromosomes that are found, and found and classed right (of those of known class),
    and how many are found that are none; of a single chromosome whether its class is right, alone and with its cell.
    """
    found = pd.DataFrame(index=per_image.index)
    if "n_truth" in per_image:
        found["found"] = per_image["n_found"] / per_image["n_truth"]
        found["found_and_right"] = per_image["n_right"] / per_image["n_classed"]
        found["extra"] = per_image["n_extra"]
    if "predicted" in per_image:
        single = per_image["predicted"].notna()
        for name, column in (("right", "predicted"), ("right_with_cell", "predicted_with_cell")):
            same = per_image["class"].astype(str) == per_image[column].astype(str)
            found[name] = same.astype(float).where(single)
    return found
