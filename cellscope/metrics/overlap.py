"""Overlap and outline of two masks: Dice, IoU, accuracy, precision, recall, boundary F1, 95 % Hausdorff distance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

NAMES = ("dice", "iou", "accuracy", "precision", "recall")


@dataclass(frozen=True)
class Counts:
    """Pixels by truth and prediction; counts of several images add up."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    def __add__(self, other: Counts) -> Counts:
        """Pool two."""
        return Counts(
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
            self.true_negative + other.true_negative,
        )


def count_pixels(truth: np.ndarray, predicted: np.ndarray) -> Counts:
    """Count pixels by truth and prediction.

    Parameters
    ----------
    truth, predicted : (H, W) bool

    Raises
    ------
    ValueError
        If the two differ in shape.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"the masks differ in size: {truth.shape} and {predicted.shape}")
    both = int((truth & predicted).sum())
    true, found = int(truth.sum()), int(predicted.sum())
    return Counts(both, found - both, true - both, truth.size - true - found + both)


def pool(counts: Iterable[Counts]) -> Counts:
    """Add counts of several images."""
    return sum(counts, Counts(0, 0, 0, 0))


def overlap_metrics(counts: Counts) -> dict[str, float]:
    """Give Dice, IoU, accuracy, precision and recall (paper's equations 5 to 9 for nucleus-seg).

    Where neither truth nor prediction has a pixel, all are 1: the image is right. Precision without a prediction is 0
    where there was something to find, and recall likewise.

    Returns
    -------
    dict
        The names of `NAMES`, each in [0, 1].
    """
    tp, fp, fn, tn = counts.true_positive, counts.false_positive, counts.false_negative, counts.true_negative
    accuracy = (tp + tn) / max(tp + fp + fn + tn, 1)
    if tp + fp + fn == 0:
        return dict(zip(NAMES, (1.0, 1.0, accuracy, 1.0, 1.0), strict=True))
    return {
        "dice": 2 * tp / (2 * tp + fp + fn),
        "iou": tp / (tp + fp + fn),
        "accuracy": accuracy,
        "precision": tp / (tp + fp) if tp + fp else 0.0,
        "recall": tp / (tp + fn) if tp + fn else 0.0,
    }


def outline_of(mask: np.ndarray) -> np.ndarray:
    """Give the pixels of a mask that have a neighbour (of four, or beyond the image) outside it.

    Parameters
    ----------
    mask : (H, W) bool

    Returns
    -------
    (H, W) bool
    """
    return mask & ~ndimage.binary_erosion(mask)


def boundary_metrics(truth: np.ndarray, predicted: np.ndarray, tolerance: float = 2.0) -> Mapping[str, float]:
    """Compare the outlines of two masks.

    Parameters
    ----------
    truth, predicted : (H, W) bool
    tolerance : float
        Pixels within which two outlines count as the same.

    Returns
    -------
    dict
        ``boundary_f1``: harmonic mean of the shares of each outline that lie within `tolerance` of the other; 1 for two
        empty masks, 0 for one. ``hd95``: the larger of the two directed 95th percentiles of the distances between the
        outlines, pixels; 0 for two empty masks, NaN for one, since there is no distance then.
    """
    true_line, found_line = outline_of(truth), outline_of(predicted)
    if not true_line.any() or not found_line.any():
        none = not true_line.any() and not found_line.any()
        return {"boundary_f1": float(none), "hd95": 0.0 if none else float("nan")}
    to_found = _distance_to(found_line)[true_line]
    to_true = _distance_to(true_line)[found_line]
    recall, precision = float((to_found <= tolerance).mean()), float((to_true <= tolerance).mean())
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {
        "boundary_f1": f1,
        "hd95": float(max(np.percentile(to_found, 95), np.percentile(to_true, 95))),
    }


def _distance_to(line: np.ndarray) -> np.ndarray:
    return cv2.distanceTransform((~line).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
