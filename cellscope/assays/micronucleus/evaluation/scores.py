"""What is measured: nuclei found, cells classified, frequency per field. Arrays in, numbers out."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

IOU = 0.5


def overlap_table(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of every object of one label image with every object of another.

    Parameters
    ----------
    first, second : (H, W) int, labels 0..N and 0..M

    Returns
    -------
    (N, M) float64
        Row r is label r + 1; rows of labels that do not occur are zero.
    """
    rows, columns = int(first.max()) + 1, int(second.max()) + 1
    counts = np.bincount(first.ravel().astype(np.int64) * columns + second.ravel(), minlength=rows * columns)
    table = counts.reshape(rows, columns).astype(float)
    shared = table[1:, 1:]
    union = table[1:].sum(1)[:, None] + table[:, 1:].sum(0)[None] - shared
    return shared / np.maximum(union, 1)


def match_nuclei(truth: np.ndarray, found: np.ndarray, iou: float = IOU) -> dict[int, int]:
    """Pair true and found nuclei one to one where their IoU is above a threshold.

    Returns
    -------
    dict
        True label -> found label, so that the sum of the IoU is largest. Above 0.5 no other pairing is possible.
    """
    if not truth.any() or not found.any():
        return {}
    table = overlap_table(truth, found)
    rows, columns = linear_sum_assignment(-np.where(table > iou, table, 0))
    return {int(r) + 1: int(c) + 1 for r, c in zip(rows, columns, strict=True) if table[r, c] > iou}


def sensitivity_at(positive: np.ndarray, score: np.ndarray, specificity: float) -> float | None:
    """Share of positives above the score that keeps a share of negatives below; None without both.

    The threshold is the `specificity` quantile of the negatives' scores, a positive must lie strictly above it.
    """
    positive = np.asarray(positive, bool)
    if positive.all() or not positive.any():
        return None
    cut = np.quantile(score[~positive], specificity)
    return float(np.mean(score[positive] > cut))


def frequency_error(true: np.ndarray, found: np.ndarray) -> dict[str, float | None]:
    """Compare the frequency of micronucleated cells per field: Pearson correlation, mean absolute error, bias."""
    if not len(true):
        return {"frequency_r": None, "frequency_mae": None, "frequency_bias": None}
    spread = len(true) > 1 and np.std(true) > 0 and np.std(found) > 0
    return {
        "frequency_r": float(np.corrcoef(true, found)[0, 1]) if spread else None,
        "frequency_mae": float(np.mean(np.abs(true - found))),
        "frequency_bias": float(np.mean(found - true)),
    }
