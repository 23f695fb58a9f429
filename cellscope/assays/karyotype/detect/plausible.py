"""How likely each detection is one whole chromosome: the detector's confidence beside what the rest of the cell shows.

A piece of a chromosome has more of it around; a second box on one is covered by the first; neither the detector nor the
classifier sees that, for each is given one box at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import cv2
import numpy as np

from cellscope.assays.karyotype.detect.detections import Detection, overlap
from cellscope.imaging.tone import foreground

#: What `features` gives, in its order.
FEATURES = ("score", "covered", "shared", "free", "class", "size")
#: Their weights and the offset in the thresholds of a detector's model card.
THRESHOLDS = tuple(f"whole_{name}" for name in (*FEATURES, "offset"))
#: Weights of a detector whose card holds none: its own score, above its threshold, says all.
NEUTRAL = {"whole_score": 1.0}
#: Width of the surroundings measured, as a share of the side of the cell's median chromosome.
RING = 0.12


def weights_of(thresholds: Mapping[str, float]) -> np.ndarray:
    """Give a weight for each of `FEATURES`, then the offset, from a detector's model card: (7,) float.

    They are a logistic regression of "a chromosome that nothing better accounts for", fitted with both networks on
    validation data (`benchmarks/karyotype_losses.py`). A card without them has `NEUTRAL`.

    Parameters
    ----------
    thresholds : mapping
        ``whole_score`` and so on, ``whole_offset``.
    """
    given: Mapping[str, float] = thresholds if any(name in thresholds for name in THRESHOLDS) else NEUTRAL
    return np.array([given.get(name, 0.0) for name in THRESHOLDS])


def certainty(
    detections: list[Detection],
    log_probabilities: np.ndarray,
    normalised: np.ndarray,
    score_threshold: float,
    weights: np.ndarray,
) -> np.ndarray:
    """Give the log odds that each detection is one whole chromosome: (N,) float, in nats.

    Parameters
    ----------
    detections : list of N Detection
    log_probabilities : (N, 24) float
        The classifier's.
    normalised : (H, W) float32
        From `cellscope.imaging.tone.normalise_tone`.
    score_threshold : float
        What the detector was tuned to, or the user asked for.
    weights : (7,) float
        From `weights_of`.
    """
    return weigh(features(detections, log_probabilities, normalised, score_threshold), weights)


def weigh(measured: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Turn `features`, (N, 6), into log odds, (N,), by `weights_of`."""
    odds: np.ndarray = measured @ weights[:-1] + weights[-1]
    return odds


def features(
    detections: list[Detection], log_probabilities: np.ndarray, normalised: np.ndarray, score_threshold: float
) -> np.ndarray:
    """Measure what tells whole chromosomes from pieces, clumps and second boxes.

    Parameters
    ----------
    detections, log_probabilities, normalised, score_threshold
        As for `certainty`.

    Returns
    -------
    (N, 6) float
        By `FEATURES`: log odds of the score above those of the threshold; share of the mask inside that of a better
        detection; highest mask IoU with another; foreground around the mask that belongs to no detection above the
        threshold, as a share of the surroundings; log probability of the likeliest class; squared log of the area
        beside the median.
    """
    if not detections:
        return np.zeros((0, len(FEATURES)))
    scores = np.array([one.score for one in detections])
    areas = np.array([one.area for one in detections], float)
    side = float(np.sqrt(np.median(areas)))
    reach = max(round(RING * side), 2)
    free = _unaccounted(detections, scores >= score_threshold, normalised, reach)
    shared = _shared(detections)
    union = areas[:, None] + areas[None] - shared
    better = scores[None] > scores[:, None]
    rows = np.zeros((len(detections), len(FEATURES)))
    rows[:, 0] = _odds(scores) - _odds(np.array([score_threshold]))
    rows[:, 1] = (shared * better).max(1) / areas
    rows[:, 2] = (shared / union).max(1)
    for index, one in enumerate(detections):
        own = np.pad(one.mask.astype(np.uint8), reach)
        x0, y0 = one.bbox[:2]
        window = (slice(y0, y0 + own.shape[0]), slice(x0, x0 + own.shape[1]))
        around = (cv2.dilate(own, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0) & (own == 0)
        rows[index, 3] = (around & free[window]).sum() / (4 * reach * np.sqrt(areas[index]))
    normal = log_probabilities - np.logaddexp.reduce(log_probabilities, axis=1, keepdims=True)
    rows[:, 4] = normal.max(1)
    rows[:, 5] = np.log(areas / np.median(areas)) ** 2
    return rows


def _odds(scores: np.ndarray) -> np.ndarray:
    scores = np.clip(scores, 1e-3, 1 - 1e-3)
    return np.log(scores / (1 - scores))


def _unaccounted(detections: list[Detection], kept: np.ndarray, normalised: np.ndarray, reach: int) -> np.ndarray:
    """Give the foreground that no mask kept covers, (H, W) bool grown by `reach` on every side."""
    free = np.pad(foreground(normalised), reach)
    for one, counted in zip(detections, kept, strict=True):
        if counted:
            x0, y0, x1, y1 = one.bbox + reach
            free[y0:y1, x0:x1] &= ~one.mask
    return free


def _shared(detections: list[Detection]) -> np.ndarray:
    """Count the pixels that every two masks share: (N, N) float, 0 on the diagonal."""
    counts = np.zeros((len(detections), len(detections)))
    for a, b in combinations(range(len(detections)), 2):
        counts[a, b] = counts[b, a] = overlap(detections[a], detections[b])
    return counts
