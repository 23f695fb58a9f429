"""What two detections that lie on or beside one another are: two chromosomes, or one found twice or in pieces."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from cellscope.assays.karyotype.detect.detections import Detection, near_pairs, overlap

#: What `pair_features` gives, in its order.
PAIR_FEATURES = (
    "touch",
    "inside",
    "inside_30",
    "inside_70",
    "iou",
    "boxes",
    "boxes_50",
    "inside_alike",
    "touch_alike",
    "touch_unsure",
    "inside_unsure",
    "touch_small",
)
#: Their weights in the thresholds of a detector's model card.
THRESHOLDS = tuple(f"bright_field_pair_{name}" for name in PAIR_FEATURES)
#: Pixels between two masks up to which they touch, as a share of the side of the cell's median chromosome.
REACH = 0.08


def pair_weights_of(thresholds: Mapping[str, float]) -> np.ndarray:
    """Give a weight for each of `PAIR_FEATURES` from a detector's model card, 0 where it has none: (K,) float.

    Parameters
    ----------
    thresholds : mapping
        ``bright_field_pair_touch`` and so on.
    """
    return np.array([thresholds.get(name, 0.0) for name in THRESHOLDS])


def joined(thresholds: Mapping[str, float], *, bright: bool) -> bool:
    """Tell whether a detector's model card holds such weights for an image, so that the cell may judge overlaps.

    They are learnt from dark chromosomes on bright; for `bright` ones there are none.
    """
    return not bright and any(name in thresholds for name in THRESHOLDS)


def pair_features(detections: list[Detection], log_probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Measure what tells two crossing or touching chromosomes from one that was found twice or in pieces.

    Parameters
    ----------
    detections : list of N Detection
    log_probabilities : (N, 24) float
        The classifier's.

    Returns
    -------
    pairs : (M, 2) int
        Those whose masks overlap or nearly touch, the lower number first.
    measured : (M, K) float
        By `PAIR_FEATURES`, the same in either order of the two: 1 (they touch or overlap); share of the smaller that
        lies inside the other, and what of it is beyond 0.3 and 0.7; IoU of the masks; IoU of the boxes, and what of it
        is beyond 0.5; the share inside and the touch, by how alike the classes are; both by how unsure the two classes
        are; the touch by how small the smaller is.
    """
    areas = np.array([one.area for one in detections], float)
    if len(detections) < 2:
        return np.zeros((0, 2), int), np.zeros((0, len(PAIR_FEATURES)))
    median = float(np.median(areas))
    reach = max(round(REACH * float(np.sqrt(median))), 1)
    normal = log_probabilities - np.logaddexp.reduce(log_probabilities, axis=1, keepdims=True)
    belief = np.exp(normal)
    unsure = 1 - belief.max(1)
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    grown: dict[int, Detection] = {}
    pairs, rows = [], []
    for a, b in near_pairs(detections, reach).tolist():
        if a not in grown:
            grown[a] = _grown(detections[a], kernel, reach)
        if not overlap(grown[a], detections[b]):
            continue
        shared = overlap(detections[a], detections[b])
        smaller = min(areas[a], areas[b])
        inside = shared / smaller
        boxes = _box_iou(detections[a].bbox, detections[b].bbox)
        alike = float(belief[a] @ belief[b])
        doubt = float(unsure[a] + unsure[b])
        touch = 1.0
        pairs.append((a, b))
        rows.append(
            (
                touch,
                inside,
                max(inside - 0.3, 0.0),
                max(inside - 0.7, 0.0),
                shared / (areas[a] + areas[b] - shared),
                boxes,
                max(boxes - 0.5, 0.0),
                inside * alike,
                touch * alike,
                touch * doubt,
                inside * doubt,
                touch * max(float(np.log(median / smaller)), 0.0),
            )
        )
    return np.array(pairs, int).reshape(-1, 2), np.array(rows, float).reshape(-1, len(PAIR_FEATURES))


def _grown(one: Detection, kernel: np.ndarray, reach: int) -> Detection:
    """Grow a mask by `reach` pixels; its box may leave the image."""
    mask = cv2.dilate(np.pad(one.mask, reach).astype(np.uint8), kernel) > 0
    return Detection(one.bbox + np.array([-reach, -reach, reach, reach]), mask, one.score)


def _box_iou(a: np.ndarray, b: np.ndarray) -> float:
    sides = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    shared = float(sides.prod())
    return shared / float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared)
