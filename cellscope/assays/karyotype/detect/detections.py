"""From the detector's boxes and box-shaped masks to chromosomes in the image: placing, duplicates, overlaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from cellscope.imaging.tone import foreground
from cellscope.metrics.coco import Instances

if TYPE_CHECKING:
    import torch


@dataclass
class Detection:
    """One chromosome found.

    Attributes
    ----------
    bbox : (4,) int
        x0, y0, x1, y1 of `mask` in the image, in pixels.
    mask : (y1 - y0, x1 - x0) bool
    score : float
        The detector's confidence, 0 to 1.
    margin : float
        Pixels by which the reported box reaches beyond the mask on each side: boxes are reported as the annotators of
        the training images drew them, which is tight for fluorescence and with a margin for bright field.
    box : (4,) float, optional
        The network's own box in the image, before its mask was drawn.
    """

    bbox: np.ndarray
    mask: np.ndarray
    score: float
    margin: float = 0.0
    box: np.ndarray | None = None

    @property
    def area(self) -> int:
        """Pixels in the mask."""
        return int(self.mask.sum())

    def reported_box(self, shape: tuple[int, ...]) -> np.ndarray:
        """Give the box with its margin, clipped to an image of `shape`: (4,) float, x0, y0, x1, y1.

        Midway between the network's box and its mask's extent, where both are known: they err independently.
        """
        box = self.bbox if self.box is None else (self.bbox + self.box) / 2
        low = np.maximum(box[:2] - self.margin, 0.0)
        return np.concatenate([low, np.minimum(box[2:] + self.margin, [shape[1], shape[0]])])


def place(
    box: np.ndarray,
    probability: np.ndarray,
    shape: tuple[int, int],
    score: float,
    threshold: float = 0.5,
    *,
    drop_specks: bool = True,
) -> Detection | None:
    """Resample a mask given over its box to image pixels.

    Parameters
    ----------
    box : (4,) float
        x0, y0, x1, y1 in image pixels, edges.
    probability : (S, S) float32
        Over the box; cell i covers ``[i, i + 1] / S`` of its side.
    shape : (height, width) of the image
    score : float
    threshold : float
    drop_specks : bool
        Leave out small pieces beside the largest, which belong to neighbours.

    Returns
    -------
    Detection or None
        None when no pixel's centre is inside.
    """
    height, width = shape
    x0, y0 = max(int(np.floor(box[0])), 0), max(int(np.floor(box[1])), 0)
    x1, y1 = min(int(np.ceil(box[2])), width), min(int(np.ceil(box[3])), height)
    if x1 <= x0 or y1 <= y0:
        return None
    side = probability.shape[0]
    sx, sy = side / max(box[2] - box[0], 1e-3), side / max(box[3] - box[1], 1e-3)
    # Pixel (x0 + u) has its centre at x0 + u + 0.5, which is cell coordinate (x0 + u + 0.5 - box_x) * s - 0.5.
    columns = ((np.arange(x0, x1) + 0.5 - box[0]) * sx - 0.5).astype(np.float32)
    rows = ((np.arange(y0, y1) + 0.5 - box[1]) * sy - 0.5).astype(np.float32)
    if max(sx, sy) > 1.5:
        # Shrinking: average the cells a pixel covers instead of picking one.
        probability = cv2.GaussianBlur(probability, (0, 0), sigmaX=max(0.35 * sx, 0.1), sigmaY=max(0.35 * sy, 0.1))
    grid_x, grid_y = np.meshgrid(columns, rows)
    sampled = cv2.remap(probability, grid_x, grid_y, interpolation=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = sampled > threshold
    if not mask.any():
        return None
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if drop_specks and count > 2:
        areas = stats[1:, cv2.CC_STAT_AREA]
        keep = 1 + np.flatnonzero(areas >= 0.25 * areas.max())
        mask = np.isin(labels, keep)
    inside_rows, inside_columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, left = int(inside_rows[0]), int(inside_columns[0])
    mask = np.ascontiguousarray(mask[top : inside_rows[-1] + 1, left : inside_columns[-1] + 1])
    bbox = np.array([x0 + left, y0 + top, x0 + left + mask.shape[1], y0 + top + mask.shape[0]])
    return Detection(bbox, mask, float(score), box=np.asarray(box, float))


def overlap(a: Detection, b: Detection) -> int:
    """Count the pixels two detections share."""
    x0, y0 = np.maximum(a.bbox[:2], b.bbox[:2])
    x1, y1 = np.minimum(a.bbox[2:], b.bbox[2:])
    if x1 <= x0 or y1 <= y0:
        return 0
    first = a.mask[y0 - a.bbox[1] : y1 - a.bbox[1], x0 - a.bbox[0] : x1 - a.bbox[0]]
    second = b.mask[y0 - b.bbox[1] : y1 - b.bbox[1], x0 - b.bbox[0] : x1 - b.bbox[0]]
    return int((first & second).sum())


def shared_pixels(detections: list[Detection]) -> np.ndarray:
    """Count the pixels that every two masks share: (N, N) float, 0 on the diagonal."""
    counts = np.zeros((len(detections), len(detections)))
    for a, b in near_pairs(detections, 0):
        counts[a, b] = counts[b, a] = overlap(detections[a], detections[b])
    return counts


def near_pairs(detections: list[Detection], gap: int) -> np.ndarray:
    """List the pairs whose masks' boxes overlap when each is grown by `gap` pixels: (M, 2) int, the lower first."""
    boxes = np.array([one.bbox for one in detections], int).reshape(-1, 4)
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    return np.argwhere(np.triu((high - low + 2 * gap > 0).all(2), 1))


def drop_duplicates(detections: list[Detection], *, iou: float = 0.5, contained: float = 0.85) -> list[Detection]:
    """Keep the better of detections that cover the same chromosome, judged by masks rather than boxes.

    Crossing chromosomes share a box but few pixels, so that both are kept.

    Parameters
    ----------
    detections : list of Detection
    iou : float
        Mask IoU above which the weaker one is dropped.
    contained : float
        Share of the weaker one's pixels inside a better one above which it is dropped as a fragment.

    Returns
    -------
    list of Detection
        Best score first.
    """
    kept: list[Detection] = []
    for candidate in sorted(detections, key=lambda detection: -detection.score):
        area = candidate.area
        for other in kept:
            shared = overlap(candidate, other)
            if shared and (shared > iou * (area + other.area - shared) or shared > contained * area):
                break
        else:
            kept.append(candidate)
    return kept


def half_width(mask: np.ndarray) -> float:
    """Give the radius of the largest disc that fits into a mask, in pixels."""
    return float(cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5).max())


def drop_thick(
    detections: list[Detection], shape: tuple[int, ...], *, limit: float = 1.85, border_limit: float = 1.45
) -> list[Detection]:
    """Drop what is much thicker than the cell's chromosomes: pieces of interphase nuclei.

    Parameters
    ----------
    detections : list of Detection
    shape : (height, width, ...) of the image
    limit : float
        Times the median half width of all detections; with fewer than ten there is no telling, and all are kept.
    border_limit : float
        The same for what the image's border cuts: of a nucleus it may leave a slice no thicker than two chromosomes.

    Returns
    -------
    list of Detection
    """
    if len(detections) < 10:
        return detections
    widths = np.array([half_width(detection.mask) for detection in detections])
    limits = np.array([border_limit if at_border(one, shape) else limit for one in detections]) * np.median(widths)
    return [one for one, width, most in zip(detections, widths, limits, strict=True) if width <= most]


def drop_pale(detections: list[Detection], normalised: np.ndarray, *, limit: float) -> list[Detection]:
    """Drop what is much paler than the cell's chromosomes: streaks of stain, shadows of nuclei, dust out of focus.

    Parameters
    ----------
    detections : list of Detection
    normalised : (H, W) float32
        From `cellscope.imaging.tone.normalise_tone`.
    limit : float
        Times the median tone of all detections, a detection's tone being the median inside its mask; with fewer than
        ten there is no telling, and all are kept.

    Returns
    -------
    list of Detection
    """
    if len(detections) < 10:
        return detections
    tones = []
    for one in detections:
        x0, y0, x1, y1 = one.bbox
        tones.append(np.median(normalised[y0:y1, x0:x1][one.mask]))
    least = limit * np.median(tones)
    return [one for one, tone in zip(detections, tones, strict=True) if tone >= least]


def at_border(detection: Detection, shape: tuple[int, ...]) -> bool:
    """Tell whether a mask comes within a pixel of the image's border."""
    x0, y0, x1, y1 = detection.bbox
    return bool(min(x0, y0) <= 1 or x1 >= shape[1] - 1 or y1 >= shape[0] - 1)


def with_foreground(detections: list[Detection], normalised: np.ndarray) -> list[Detection]:
    """Give boxes that came without masks the foreground inside them; a box without any stays whole.

    Parameters
    ----------
    detections : list of Detection
    normalised : (H, W) float32
        From `cellscope.imaging.tone.normalise_tone`.

    Returns
    -------
    list of Detection
        With the same boxes.
    """
    objects = foreground(normalised)
    cut = [objects[one.bbox[1] : one.bbox[3], one.bbox[0] : one.bbox[2]] for one in detections]
    return [replace(one, mask=mask if mask.any() else one.mask) for one, mask in zip(detections, cut, strict=True)]


def to_labels(detections: list[Detection], shape: tuple[int, int], numbers: Sequence[int] | None = None) -> np.ndarray:
    """Paint detections into one label image (lossy): where they overlap, the smaller one lies on top.

    `numbers` are their labels, 1..N where none are given.
    """
    labels = np.zeros(shape, np.int32)
    numbers = range(1, len(detections) + 1) if numbers is None else numbers
    for index in sorted(range(len(detections)), key=lambda index: -detections[index].area):
        x0, y0, x1, y1 = detections[index].bbox
        labels[y0:y1, x0:x1][detections[index].mask] = numbers[index]
    return labels


def detections_of(
    output: dict[str, torch.Tensor],
    scale: float | np.ndarray,
    shape: tuple[int, int],
    *,
    threshold: float = 0.5,
    duplicates: Mapping[str, float] | None = None,
) -> list[Detection]:
    """Turn one image's network output into detections at the image's own resolution.

    Parameters
    ----------
    output : dict
        From `ChrRender`; without ``masks``, boxes are taken whole.
    scale : float or (2,) float
        Factor by which the image was resized for the network; along x and y where they differ.
    shape : (height, width) of the image
    threshold : float
        Mask probability.
    duplicates : mapping, optional
        Limits of `drop_duplicates` in place of its own.
    """
    boxes = output["boxes"].float().cpu().numpy() / np.resize(np.asarray(scale, np.float32), 4)
    masks = output["masks"].float().cpu().numpy() if "masks" in output else np.ones((len(boxes), 1, 1), np.float32)
    scores = output["scores"].float().cpu().numpy()
    placed = [place(box, mask, shape, score, threshold) for box, mask, score in zip(boxes, masks, scores, strict=True)]
    found = [detection for detection in placed if detection is not None]
    # Whole boxes say nothing of who covers whom; the network has suppressed them by overlap already.
    return drop_duplicates(found, **(duplicates or {})) if "masks" in output else found


def raw_instances(
    output: dict[str, torch.Tensor], scale: float | np.ndarray, shape: tuple[int, int], *, threshold: float = 0.5
) -> Instances:
    """Give all that the detector says, with its own boxes, scores and masks, in the form the metrics take.

    Parameters are those of `detections_of`; nothing is dropped, joined or scored anew.
    """
    boxes = output["boxes"].float().cpu().numpy() / np.resize(np.asarray(scale, np.float32), 4)
    scores = output["scores"].float().cpu().numpy()
    if "masks" not in output:
        return Instances(boxes, None, scores)
    masks = []
    for box, probability in zip(boxes, output["masks"].float().cpu().numpy(), strict=True):
        found = place(box, probability, shape, 1.0, threshold, drop_specks=False)
        x, y = (0, 0) if found is None else found.bbox[:2]
        masks.append(encode(np.zeros((1, 1), bool) if found is None else found.mask, int(x), int(y), shape))
    return Instances(boxes, masks, scores)


def as_instances(detections: list[Detection], shape: tuple[int, ...], *, masks: bool) -> Instances:
    """Give detections in the form the metrics take."""
    return Instances(
        np.array([detection.reported_box(shape) for detection in detections], float).reshape(-1, 4),
        [encode(d.mask, int(d.bbox[0]), int(d.bbox[1]), shape) for d in detections] if masks else None,
        np.array([detection.score for detection in detections]),
    )


def encode(mask: np.ndarray, x: int, y: int, shape: tuple[int, ...]) -> dict[str, Any]:
    """Encode a mask placed at (x, y) in an image as COCO's compressed RLE, `counts` as text."""
    from pycocotools import mask as rle

    full = np.zeros(shape[:2], np.uint8, order="F")
    full[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
    coded = rle.encode(full)
    return {"size": list(map(int, coded["size"])), "counts": coded["counts"].decode("ascii")}
