"""Overlaps and one-to-one matching: true positives, false negatives and false positives of a detector.

Boxes are (x0, y0, x1, y1) in pixels, x1 and y1 not included: a box from 2 to 5 is 3 wide. Masks are COCO run-length
codes (`encode_masks`), so that overlapping objects keep their own. Average precision is in `cellscope.metrics.coco`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

Rle = Mapping[str, Any]
"""COCO run-length code: ``{"size": [height, width], "counts": bytes or str}``."""


def encode_masks(masks: np.ndarray) -> list[dict[str, Any]]:
    """Encode binary masks as COCO run-length codes.

    Parameters
    ----------
    masks : (N, H, W) bool or integer, non-zero is the object

    Returns
    -------
    list of N dict
        ``counts`` is bytes; decode it to text before writing JSON.
    """
    from pycocotools import mask

    masks = np.asarray(masks)
    if masks.ndim != 3:
        raise ValueError(f"masks must be (N, H, W), not {masks.shape}")
    return [mask.encode(np.asfortranarray(one != 0, np.uint8)) for one in masks]


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes.

    Parameters
    ----------
    a : (N, 4) float, x0 y0 x1 y1
    b : (M, 4) float

    Returns
    -------
    (N, M) float64
        0 where the union is empty.
    """
    a, b = (np.asarray(boxes, float).reshape(-1, 4) for boxes in (a, b))
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    shared = np.clip(sides, 0, None).prod(2)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(1) for boxes in (a, b)]
    union = areas[0][:, None] + areas[1][None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def mask_iou(a: Sequence[Rle], b: Sequence[Rle]) -> np.ndarray:
    """Intersection over union of masks.

    Parameters
    ----------
    a, b : sequences of N and M run-length codes of one image size

    Returns
    -------
    (N, M) float64
    """
    from pycocotools import mask

    if not len(a) or not len(b):
        return np.zeros((len(a), len(b)))
    return np.asarray(mask.iou(list(a), list(b), [0] * len(b)), float).reshape(len(a), len(b))


def match(iou: np.ndarray, floor: float = 0.5) -> list[tuple[int, int]]:
    """Pair rows with columns one to one, best first.

    Parameters
    ----------
    iou : (N, M) float
        Rows are the truth, columns the prediction.
    floor : float
        A pair needs an overlap strictly above it.

    Returns
    -------
    list of (row, column)
        In falling order of overlap; ties go to the smaller row, then the smaller column.
    """
    iou = np.asarray(iou, float)
    rows, columns = np.nonzero(iou > floor)
    used_rows: set[int] = set()
    used_columns: set[int] = set()
    pairs = []
    for position in np.argsort(-iou[rows, columns], kind="stable"):
        row, column = int(rows[position]), int(columns[position])
        if row not in used_rows and column not in used_columns:
            used_rows.add(row)
            used_columns.add(column)
            pairs.append((row, column))
    return pairs


def detection_table(ious: Sequence[np.ndarray], floor: float = 0.5) -> pd.DataFrame:
    """Count, image by image, what was there, what was found and what was made up.

    Parameters
    ----------
    ious : sequence of (n_truth, n_predicted) float
        One per image, such as `box_iou` or `mask_iou` of truth and prediction.
    floor : float
        As for `match`.

    Returns
    -------
    DataFrame
        A row per image: ``n_truth, n_predicted, n_found, n_missed, n_extra``.
    """
    shapes = np.array([np.shape(iou) for iou in ious], np.int64).reshape(-1, 2)
    found = np.array([len(match(iou, floor)) for iou in ious], np.int64)
    return pd.DataFrame(
        {
            "n_truth": shapes[:, 0],
            "n_predicted": shapes[:, 1],
            "n_found": found,
            "n_missed": shapes[:, 0] - found,
            "n_extra": shapes[:, 1] - found,
        }
    )


def detection_rates(n_truth: np.ndarray, n_predicted: np.ndarray, n_found: np.ndarray) -> dict[str, float | None]:
    """Sum up the counts of `detection_table`.

    Parameters
    ----------
    n_truth, n_predicted, n_found : (I,) int
        One entry per image.

    Returns
    -------
    dict
        ``recall`` and ``precision``: objects of all images together. ``f1``: their harmonic mean, 2 found / (truth +
        predicted). ``count_error``: mean absolute difference of the numbers of objects. ``exact_count``: share of
        images with the right number. ``whole_correct``: share of images with nothing missed and nothing made up (whole
        correct ratio). ``missing_at_most_one``: share of images with at most one object missed (those made up do not
        count). Undefined ones are None.
    """
    truth, predicted, found = (np.asarray(counts, np.int64) for counts in (n_truth, n_predicted, n_found))
    total_truth, total_predicted, total_found = int(truth.sum()), int(predicted.sum()), int(found.sum())

    def mean(values: np.ndarray) -> float | None:
        return float(np.mean(values)) if len(values) else None

    def ratio(part: int, whole: int) -> float | None:
        return part / whole if whole else None

    return {
        "recall": ratio(total_found, total_truth),
        "precision": ratio(total_found, total_predicted),
        "f1": ratio(2 * total_found, total_truth + total_predicted),
        "count_error": mean(np.abs(truth - predicted)),
        "exact_count": mean(truth == predicted),
        "whole_correct": mean((found == truth) & (found == predicted)),
        "missing_at_most_one": mean(truth - found <= 1),
    }
