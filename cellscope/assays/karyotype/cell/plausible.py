"""How likely each detection is one whole chromosome: the detector's confidence beside what the rest of the cell shows.

A piece of a chromosome has more of it around; a second box on one is covered by the first; neither the detector nor the
classifier sees that, for each is given one box at a time.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from cellscope.assays.karyotype.cell.sizes import LOG_AREA, cell_scale
from cellscope.assays.karyotype.detect.detections import Detection, at_border, half_width, shared_pixels
from cellscope.imaging.tone import foreground

#: What `features` gives, in its order.
FEATURES = (
    "score",
    "covered",
    "shared",
    "free",
    "class",
    "size",
    "sure",
    "faint",
    "second",
    "large",
    "small",
    "thick",
    "thin",
    "bent",
    "pale",
    "ground",
    "border",
)
#: Their weights and the offset in the thresholds of a detector's model card.
THRESHOLDS = tuple(f"whole_{name}" for name in (*FEATURES, "offset"))
#: Those that were fitted together with weights of pairs, for dark chromosomes on bright.
LEARNT = tuple(f"bright_field_{name}" for name in THRESHOLDS)
#: Weights of a detector whose card holds none: its own score, above its threshold, says all.
NEUTRAL = {"whole_score": 1.0}
#: Width of the surroundings measured, as a share of the side of the cell's median chromosome.
RING = 0.12
#: Log odds of the score, beside the threshold's, above and below which each nat has a weight of its own.
SURE, FAINT = 3.0, 0.0


def weights_of(thresholds: Mapping[str, float], *, learnt: bool = False) -> np.ndarray:
    """Give a weight for each of `FEATURES`, then the offset, from a detector's model card: (K + 1,) float.

    They are a logistic regression of "a chromosome that nothing better accounts for", fitted with both networks on
    validation cells; those `learnt` on cells that neither was trained on (`benchmarks/karyotype_cells.py`). A card
    without them has `NEUTRAL`.

    Parameters
    ----------
    thresholds : mapping
        ``whole_score`` and so on, ``whole_offset``.
    learnt : bool
        Those that go with `pairs.pair_weights_of`, ``bright_field_whole_score`` and so on.
    """
    if learnt:
        return np.array([thresholds.get(name, 0.0) for name in LEARNT])
    given: Mapping[str, float] = thresholds if any(name in thresholds for name in THRESHOLDS) else NEUTRAL
    return np.array([given.get(name, 0.0) for name in THRESHOLDS])


def weigh(measured: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Turn `features`, (N, K), into log odds, (N,), by `weights_of`."""
    odds: np.ndarray = measured @ weights[:-1] + weights[-1]
    return odds


def features(
    detections: list[Detection], log_probabilities: np.ndarray, normalised: np.ndarray, score_threshold: float
) -> np.ndarray:
    """Measure what tells whole chromosomes from pieces, clumps and second boxes.

    Parameters
    ----------
    detections : list of N Detection
    log_probabilities : (N, 24) float
        The classifier's.
    normalised : (H, W) float32
        From `cellscope.imaging.tone.normalise_tone`.
    score_threshold : float
        What the detector was tuned to, or the user asked for.

    Returns
    -------
    (N, K) float
        By `FEATURES`: log odds of the score above those of the threshold; share of the mask inside that of a better
        detection; highest mask IoU with another; foreground around the mask that belongs to no detection above the
        threshold, as a share of the surroundings; log probability of the likeliest class; squared log of the area
        beside the median; the log odds of the score beyond `SURE` and below `FAINT`; log probability of the second
        class; log area above and below what the classes lead to expect; log width above and below the median; share
        of the convex hull that is empty; tone below the median's; share of the mask that is background; 1 at the
        image's border.
    """
    if not detections:
        return np.zeros((0, len(FEATURES)))
    scores = np.array([one.score for one in detections])
    areas = np.array([one.area for one in detections], float)
    side = float(np.sqrt(np.median(areas)))
    reach = max(round(RING * side), 2)
    objects = foreground(normalised)
    free = _unaccounted(detections, scores >= score_threshold, objects, reach)
    shared = shared_pixels(detections)
    union = areas[:, None] + areas[None] - shared
    better = scores[None] > scores[:, None]
    odds = _odds(scores) - _odds(np.array([score_threshold]))
    normal = log_probabilities - np.logaddexp.reduce(log_probabilities, axis=1, keepdims=True)
    ranked = np.sort(normal, axis=1)
    gap = np.log(areas) - cell_scale(normal, np.log(areas)) - np.exp(normal) @ LOG_AREA
    widths = np.array([half_width(one.mask) for one in detections])
    wide = np.log(widths / np.median(widths))
    tones = np.array([_tone(one, normalised) for one in detections])
    columns = {
        "score": odds,
        "covered": (shared * better).max(1) / areas,
        "shared": (shared / union).max(1),
        "free": [_around(one, free, reach) / (4 * reach * np.sqrt(one.area)) for one in detections],
        "class": ranked[:, -1],
        "size": np.log(areas / np.median(areas)) ** 2,
        "sure": np.maximum(odds - SURE, 0),
        "faint": np.maximum(FAINT - odds, 0),
        "second": np.maximum(ranked[:, -2], -8.0),
        "large": np.maximum(gap, 0),
        "small": np.maximum(-gap, 0),
        "thick": np.maximum(wide, 0),
        "thin": np.maximum(-wide, 0),
        "bent": [1 - one.area / _hull_area(one.mask) for one in detections],
        "pale": np.maximum(1 - tones / max(float(np.median(tones)), 1e-6), 0),
        "ground": [_on_background(one, objects) for one in detections],
        "border": [float(at_border(one, normalised.shape)) for one in detections],
    }
    return np.stack([np.asarray(columns[name], float) for name in FEATURES], 1)


def _odds(scores: np.ndarray) -> np.ndarray:
    scores = np.clip(scores, 1e-3, 1 - 1e-3)
    return np.log(scores / (1 - scores))


def _unaccounted(detections: list[Detection], kept: np.ndarray, objects: np.ndarray, reach: int) -> np.ndarray:
    """Give the foreground that no mask kept covers, (H, W) bool grown by `reach` on every side."""
    free = np.pad(objects, reach)
    for one, counted in zip(detections, kept, strict=True):
        if counted:
            x0, y0, x1, y1 = one.bbox + reach
            free[y0:y1, x0:x1] &= ~one.mask
    return free


def _around(one: Detection, free: np.ndarray, reach: int) -> int:
    """Count the pixels of `free`, which `_unaccounted` gave, within `reach` of a mask."""
    own = np.pad(one.mask.astype(np.uint8), reach)
    x0, y0 = one.bbox[:2]
    window = (slice(y0, y0 + own.shape[0]), slice(x0, x0 + own.shape[1]))
    around = (cv2.dilate(own, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0) & (own == 0)
    return int((around & free[window]).sum())


def _hull_area(mask: np.ndarray) -> float:
    """Count the pixels of a mask's convex hull."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    hull = cv2.convexHull(np.concatenate(contours))
    filled = cv2.fillConvexPoly(np.zeros(mask.shape, np.uint8), hull, 1)
    return float(filled.sum())


def _tone(one: Detection, normalised: np.ndarray) -> float:
    x0, y0, x1, y1 = one.bbox
    return float(np.median(normalised[y0:y1, x0:x1][one.mask]))


def _on_background(one: Detection, objects: np.ndarray) -> float:
    x0, y0, x1, y1 = one.bbox
    return float(1 - objects[y0:y1, x0:x1][one.mask].mean())
