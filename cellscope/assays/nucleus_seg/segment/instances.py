"""From probabilities to nuclei: separate touching cells, gather the lobes of one, drop debris."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage
from skimage.measure import label as components

from cellscope.assays.nucleus_seg.segment.debris import unlike_nuclei, usual_area, worth_keeping
from cellscope.imaging.labels import find_markers, marker_watershed, relabel
from cellscope.imaging.scaling import resize_to

#: Smoothing of the distance map before its peaks are sought, as a share of the nuclei's radius.
SMOOTHING = 1 / 14
#: The nuclei's radius, pixels, where neither the network's scale nor a nucleus that was found tells it.
USUAL_RADIUS = 28.0
#: How deep a dip parts two cells, as a share of their half width: in a network's distance, and in that to the outline.
LEARNT_DEPTH, OUTLINE_DEPTH = 0.4, 0.03
#: Holes and crumbs smaller than this share of the usual nucleus's area are filled and dropped.
CRUMB = 0.01


@dataclass
class Maps:
    """What the network says, at its scale; uint8, 255 is 1.

    Attributes
    ----------
    nucleus : (h, w)
    cytoplasm : (h, w) or None
    distance : (h, w) or None
        Inside the cell; None where the network has no such head.
    diameter : float
        Of the nuclei at the network's scale, pixels; 0 for a network that takes images as they are.
    """

    nucleus: np.ndarray
    cytoplasm: np.ndarray | None
    distance: np.ndarray | None
    diameter: float = 0.0

    @property
    def cell(self) -> np.ndarray:
        """Probability of nucleus or cytoplasm."""
        return self.nucleus if self.cytoplasm is None else cv2.add(self.nucleus, self.cytoplasm)


def radius_of(maps: Maps, nuclei: np.ndarray) -> float:
    """Give the usual radius of the nuclei, pixels: by the network's scale, else of the pieces found.

    Parameters
    ----------
    maps : Maps
    nuclei : (h, w) bool
    """
    if maps.diameter:
        return maps.diameter / 2
    areas = np.bincount(components(nuclei, connectivity=2).ravel())[1:]
    return float(np.sqrt(usual_area(areas.astype(float)) / np.pi)) or USUAL_RADIUS


def split_cells(maps: Maps, *, threshold: float, depth: float | None = None) -> np.ndarray:
    """Tell the cells apart, also touching ones; each has some nucleus.

    The peaks of the distance inside the cell mark cells; they are flooded (watershed). A piece without nucleus goes to
    the neighbour it touches, or nowhere.

    Parameters
    ----------
    maps : Maps
    threshold : float
        Probability of a pixel to be nucleus.
    depth : float, optional
        How deep the dip between two peaks must be, as a share of the cell's half width; `LEARNT_DEPTH` or
        `OUTLINE_DEPTH` when not given.

    Returns
    -------
    (h, w) int32
    """
    nuclei = maps.nucleus > threshold * 255
    inside = nuclei | (maps.cell > 127)
    radius = radius_of(maps, nuclei)
    if maps.distance is not None:
        height: np.ndarray = maps.distance.astype(np.float32) / 255
    else:
        height = ndimage.distance_transform_edt(nuclei).astype(np.float32) / np.float32(radius)
    height = np.asarray(cv2.GaussianBlur(height, (0, 0), SMOOTHING * radius), np.float32)
    if depth is None:
        depth = OUTLINE_DEPTH if maps.distance is None else LEARNT_DEPTH
    markers = find_markers(height, inside, depth=depth)
    cells = marker_watershed(height, markers, inside)
    if cells.max() == 0:
        return cells
    area = np.bincount(cells[nuclei], minlength=cells.max() + 1)
    least = CRUMB * np.pi * radius**2
    empty = area < least
    empty[0] = False
    if empty[np.unique(cells)].any():
        kept = np.where(empty[cells], 0, cells)
        kept_markers = np.where(kept > 0, kept, 0)
        cells = marker_watershed(height, kept_markers, inside)
        area = np.bincount(cells[nuclei], minlength=cells.max() + 1)
        cells = np.where((area < least)[cells], 0, cells)
    return relabel(cells)


@dataclass
class Nuclei:
    """Nuclei and cells of an image, same numbers.

    Attributes
    ----------
    labels : (H, W) int32
    cells : (H, W) int32 or None
        None without a cytoplasm class.
    score : (N,) float
        For label 1..N: the Dice that the probabilities themselves promise.
    dropped : int
        Objects taken for debris.
    """

    labels: np.ndarray
    cells: np.ndarray | None
    score: np.ndarray
    dropped: int


def raw_nuclei(maps: Maps, shape: tuple[int, int], *, threshold: float) -> Nuclei:
    """Take the nucleus's probability at its word: connected pieces over the threshold, nothing dropped or parted.

    Parameters
    ----------
    maps : Maps
    shape : (height, width) of the image
    threshold : float
        Probability.

    Returns
    -------
    Nuclei
        Scores are mean probabilities.
    """
    probability = resize_to(maps.nucleus, shape)
    labels = components(probability > 255 * threshold, connectivity=2).astype(np.int32)
    count = int(labels.max(initial=0))
    score = ndimage.mean(probability, labels, np.arange(1, count + 1)) / 255 if count else np.zeros(0)
    return Nuclei(labels, None, np.asarray(score, float), 0)


def find_nuclei(
    maps: Maps,
    shape: tuple[int, int],
    *,
    rgb: np.ndarray | None = None,
    threshold: float = 0.5,
    depth: float | None = None,
    min_area: float = 0.12,
    doubtful_area: float = 0.35,
    doubtful_score: float = 0.88,
    min_nucleus: float = 0.5,
) -> Nuclei:
    """Find the nuclei of an image at its own resolution.

    Parameters
    ----------
    maps : Maps
        At the network's scale.
    shape : (H, W) of the image
    rgb : (H, W, 3) uint8, optional
        The image, to compare the stain of objects; it is not compared when it is not given.
    threshold : float
        Probability of a pixel to be nucleus.
    depth : float, optional
        See `split_cells`.
    min_area, doubtful_area, doubtful_score, min_nucleus : float
        What is taken for debris or a red cell: see `debris.worth_keeping` and `debris.unlike_nuclei` (``least``).

    Returns
    -------
    Nuclei
        Numbered by position, row by row.
    """
    size = shape[::-1]
    cells = split_cells(maps, threshold=threshold, depth=depth)
    # A pixel's width of reach, so that a nucleus pixel that enlarging adds at the rim has a cell to belong to.
    reach = cv2.dilate(cells.astype(np.float32), np.ones((5, 5), np.uint8))
    reach = np.where(cells > 0, cells, reach.astype(np.int32))
    owner = cv2.resize(reach.astype(np.float32), size, interpolation=cv2.INTER_NEAREST).astype(np.int32)
    probability = cv2.resize(maps.nucleus, size, interpolation=cv2.INTER_LINEAR)
    labels = np.where(probability > threshold * 255, owner, 0)
    scores = expected_dice(labels, owner, probability)
    found = int((np.bincount(labels.ravel())[1:] > 0).sum())
    if rgb is not None:
        unlike = unlike_nuclei(labels, scores, rgb, least=min_nucleus)
        if unlike.any():
            labels[unlike], probability[unlike], owner[unlike] = 0, 0, 0
            scores = expected_dice(labels, owner, probability)
            scores = np.pad(scores, (0, max(int(cells.max(initial=0)) + 1 - len(scores), 0)))
    keep = worth_keeping(labels, scores, min_area=min_area, doubtful_area=doubtful_area, doubtful_score=doubtful_score)
    kept = int(keep.sum())
    labels = np.where(keep[labels], labels, 0)
    _tidy(labels)
    ordered = relabel(labels, by_position=True)
    numbers = np.zeros(len(keep), np.int32)
    present = labels > 0
    numbers[labels[present]] = ordered[present]
    whole = None
    if maps.cytoplasm is not None:
        cell_probability = cv2.resize(maps.cell, size, interpolation=cv2.INTER_LINEAR)
        whole = np.where(ordered > 0, ordered, np.where(cell_probability > 127, numbers[owner], 0)).astype(np.int32)
    score = np.zeros(int(numbers.max(initial=0)) + 1)
    score[numbers] = scores
    return Nuclei(ordered, whole, score[1:], found - kept)


def _tidy(labels: np.ndarray) -> None:
    """Fill pinholes and drop crumbs, in place."""
    usual = usual_area(np.bincount(labels[labels > 0].ravel(), minlength=1).astype(float))
    crumb = max(CRUMB * usual, 1.0)
    for number, place in enumerate(ndimage.find_objects(labels), 1):
        if place is None:
            continue
        view = labels[place]
        mask = view == number
        parts = components(mask, connectivity=2)
        sizes = np.bincount(parts.ravel())
        small = sizes < min(crumb, sizes[1:].max())
        small[0] = False
        view[small[parts]] = 0
        holes = components(ndimage.binary_fill_holes(mask) & ~mask, connectivity=1)
        sizes = np.bincount(holes.ravel())
        tiny = sizes < crumb
        tiny[0] = False
        view[tiny[holes] & (view == 0)] = number


def expected_dice(labels: np.ndarray, owner: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Give for each nucleus 2 sum(p in mask) / (sum(p in its cell) + area): the Dice the probabilities promise.

    Parameters
    ----------
    labels : (H, W) int
    owner : (H, W) int
        Which cell a pixel belongs to, same numbers.
    probability : (H, W) uint8, 255 is 1

    Returns
    -------
    (N + 1,) float in [0, 1]
        By label, from 0; 0 for the background and numbers without a pixel.
    """
    count = int(owner.max(initial=0)) + 1
    p = probability.ravel().astype(np.float32) / 255
    inside = np.bincount(labels.ravel(), weights=p, minlength=count)
    around = np.bincount(owner.ravel(), weights=p, minlength=count)
    area = np.bincount(labels.ravel(), minlength=count)
    scores = np.where(area > 0, 2 * inside / np.maximum(around + area, 1e-6), 0.0)
    scores[0] = 0
    return np.clip(scores, 0, 1)
