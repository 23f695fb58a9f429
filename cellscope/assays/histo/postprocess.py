"""From a network's maps to nuclei: edges of the distance maps, markers, watershed, types. Pure arrays.

The idea is that of HoVer-Net (Graham et al. 2019, section 3.2): where two nuclei touch, the distances to their centres
jump from +1 to -1. Three things are done otherwise. Nothing is scaled by the extremes of a tile, so that one odd pixel
moves no nucleus elsewhere and a window gives what the whole image gives. The falls of both distances are added where
HoVer-Net takes the larger, so that oblique edges count as much as upright ones. And no step looks at the whole image
once per nucleus, so that the time grows with the area alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from cellscope.assays.histo.maps import distances, nucleus, types
from cellscope.imaging.labels import look_up, marker_watershed, relabel, remove_small

#: Distances become whole numbers of this fraction, and so do the filters' weights: sums are then exact in float32, and
#: the same wherever a window begins and however the filter is vectorised.
_STEPS = 256
_WEIGHTS = 64
#: Large images are worked on in parts of this side, and in bands of this many rows, pixels.
_BLOCK, _BAND = 768, 128


@dataclass
class Nuclei:
    """Nuclei of an image or of a window of one.

    Attributes
    ----------
    labels : (h, w) int32
        0 or 1..N, in order of the first pixel, row by row.
    probabilities : (N, K) float32
        Of the types, mean over the nucleus's pixels; rows sum to 1.
    score : (N,) float32
        Mean probability of nucleus over its pixels.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    score: np.ndarray


def find_nuclei(
    maps: np.ndarray,
    *,
    threshold: float = 0.5,
    edge: float = 0.12,
    sigma: float = 1.25,
    opening: int = 3,
    min_marker: int = 10,
    min_area: int = 24,
    min_score: float = 0.0,
) -> Nuclei:
    """Find the nuclei in a network's maps.

    Every step looks at most at the clump of touching nuclei that a pixel belongs to and at a few pixels around it:
    clumps that lie wholly inside a window, 5 pixels from its border, come out as in the whole image.

    Parameters
    ----------
    maps : (h, w, 3 + K) float16 or float32
        See `cellscope.assays.histo.maps`.
    threshold : float
        Least probability of nucleus.
    edge : float
        How far the distances may fall at a pixel of a marker, as a share of the step from 1 (a rim) to 0 (the
        background); see `edge_strength`. Lower values separate more.
    sigma : float
        Width of the filter, pixels.
    opening : int, odd
        Markers are opened by an ellipse of this width, pixels: what two nuclei still share is thinner. 1 does nothing.
    min_marker : int
        Pixels; smaller markers are dropped, and the others of their clump take the place. A clump without any marker is
        one nucleus.
    min_area : int
        Pixels; smaller nuclei are dropped.
    min_score : float
        Nuclei with a lower score are dropped.

    Returns
    -------
    Nuclei
    """
    mask = _above(nucleus(maps), threshold)
    if not mask.any():
        return _nothing(maps)
    labels, last = np.zeros(mask.shape, np.int32), 0
    for window, own in clump_windows(mask, _BLOCK, _reach(sigma) + opening):
        edges = edge_strength(distances(maps[window]), mask[window], sigma)
        markers = _markers(own & (edges < edge), opening, min_marker)
        found = remove_small(marker_watershed(-edges, markers, own), min_area)
        np.add(found, last, out=labels[window], where=found > 0)
        last += int(found.max(initial=0))
    labels = relabel(fill_holes(labels), by_position=True)
    score, probabilities = _averages(labels, maps)
    keep = score >= min_score
    if not keep.all():
        numbers = np.concatenate([[0], np.where(keep, np.cumsum(keep), 0)])
        labels = look_up(numbers.astype(np.int32), labels)
    return Nuclei(labels, probabilities[keep], score[keep])


def _above(values: np.ndarray, threshold: float) -> np.ndarray:
    """Compare (h, w) with a number that is not negative; float16 as whole numbers, which order it the same way."""
    if values.dtype != np.float16:
        return values > threshold
    return values.view(np.int16) > np.float16(threshold).view(np.int16)


def _nothing(maps: np.ndarray) -> Nuclei:
    height, width, channels = maps.shape
    return Nuclei(np.zeros((height, width), np.int32), np.zeros((0, channels - 3), np.float32), np.zeros(0, np.float32))


def clump_windows(mask: np.ndarray, block: int, margin: int) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Cut a large mask into windows, no clump of which is cut: each is worked on where it fits into fast memory.

    A clump, with what touches it at a corner, belongs to the block that holds the upper left corner of its bounding
    box; those larger than a block go together into one window more. Nothing that follows depends on `block` but the
    time it takes.

    Parameters
    ----------
    mask : (h, w) bool
    block : int
        Side, pixels.
    margin : int
        Pixels of the image around the clumps, where there are any.

    Yields
    ------
    window : (rows, columns)
    own : (rows, columns) bool
        The pixels of the clumps that belong to the window.
    """
    height, width = mask.shape
    if max(height, width) <= 1.5 * block:
        yield (slice(0, height), slice(0, width)), mask
        return
    _, parts, boxes, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    left, top, wide, high = (boxes[:, column].astype(int) for column in range(4))
    owner = top // block * (width // block + 1) + left // block + 1
    owner[np.maximum(wide, high) > block] = 0
    owner[0] = -1  # background
    for number in np.unique(owner[1:]):
        mine = owner == number
        rows, columns = (
            slice(max(int(start[mine].min()) - margin, 0), min(int((start + size)[mine].max()) + margin, side))
            for start, size, side in ((top, high, height), (left, wide, width))
        )
        yield (rows, columns), look_up(mine, parts[rows, columns])


def edge_strength(hv: np.ndarray, mask: np.ndarray, sigma: float) -> np.ndarray:
    """Say how much the two distances fall around each pixel, together.

    Parameters
    ----------
    hv : (h, w, 2) float
        Horizontal and vertical distances; clipped to [-1, 1] and taken as 0 outside `mask`.
    mask : (h, w) bool
    sigma : float
        Width of the smoothed derivative (a fixed-scale Sobel filter), pixels.

    Returns
    -------
    (h, w) float32
        0 inside a nucleus; about 1 at the edge of a large one to the background and 2 between two. Free of rounding:
        the same numbers for any cut of the image.
    """
    smooth, slope = _kernels(float(sigma))
    unit = np.float32(_STEPS * float(smooth.sum()) * float(np.abs(slope).sum() / 2))
    total = np.zeros(mask.shape, np.float32)
    for channel, (along_x, along_y) in enumerate(((slope, smooth), (smooth, slope))):
        values = hv[..., channel]
        steps = look_up(_all_steps(), values.view(np.uint16)) if values.dtype == np.float16 else _to_steps(values)
        steps *= mask
        rise = cv2.sepFilter2D(steps, cv2.CV_32F, along_x, along_y, borderType=cv2.BORDER_REPLICATE)
        total -= np.minimum(rise, 0, out=rise)
    total /= unit
    return total


def _to_steps(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values.astype(np.float32), -1, 1) * np.float32(_STEPS))


@lru_cache(maxsize=1)
def _all_steps() -> np.ndarray:
    """Give the steps of every number that float16 has, by its bits; what is no number counts as 0."""
    return _to_steps(np.nan_to_num(np.arange(2**16, dtype=np.uint16).view(np.float16)))


def _reach(sigma: float) -> int:
    return max(1, int(np.ceil(2.5 * sigma)))


@lru_cache(maxsize=8)
def _kernels(sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Give smoothing and derivative in whole numbers; OpenCV correlates, so the derivative of a rise is positive."""
    x = np.arange(-_reach(sigma), _reach(sigma) + 1)
    bell = np.exp(-0.5 * (x / sigma) ** 2)
    slope = x * bell
    smooth = np.rint(bell * (_WEIGHTS / bell.sum())).astype(np.float32)
    return smooth, np.rint(slope * (2 * _WEIGHTS / np.abs(slope).sum())).astype(np.float32)


def _markers(inside: np.ndarray, opening: int, least: int) -> np.ndarray:
    """Give the cores of nuclei numbers, (h, w) int32: thin bridges opened, small ones dropped."""
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (opening, opening))
    opened = cv2.morphologyEx(inside.astype(np.uint8), cv2.MORPH_OPEN, ellipse)
    _, parts = cv2.connectedComponents(opened, connectivity=4, ltype=cv2.CV_32S)
    return remove_small(parts, least)


def fill_holes(labels: np.ndarray) -> np.ndarray:
    """Give background that one nucleus alone surrounds to that nucleus.

    What several nuclei enclose together, a lumen or a gap between them, stays background.

    Parameters
    ----------
    labels : (h, w) int32, not negative

    Returns
    -------
    (h, w) int32
    """
    count, parts = cv2.connectedComponents((labels == 0).view(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    open_ = np.zeros(count, bool)
    for side in (parts[0], parts[-1], parts[:, 0], parts[:, -1]):
        open_[side] = True
    open_[0] = True
    low, high = np.full(count, np.iinfo(np.int32).max, np.int32), np.zeros(count, np.int32)
    closed = ~open_
    if not closed.any():
        return labels
    # A hole touches no border of the image, so its pixels have all four neighbours.
    rows, columns = np.nonzero(look_up(closed, parts))
    hole = parts[rows, columns]
    for row, column in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        beside = labels[rows + row, columns + column]
        rim = beside > 0
        np.minimum.at(low, hole[rim], beside[rim])
        np.maximum.at(high, hole[rim], beside[rim])
    filled = labels.copy()
    filled[rows, columns] = np.where(low == high, low, 0)[hole]
    return filled


def _averages(labels: np.ndarray, maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average the maps over each label 1..N: score (N,), probabilities (N, K).

    In bands of rows, which stay in fast memory; sums of float16 are exact in float64, whatever their order.
    """
    count, kinds = int(labels.max(initial=0)), types(maps).shape[-1]
    area, sums = np.zeros(count), np.zeros((count, 1 + kinds))
    for top in range(0, len(labels), _BAND):
        flat = labels[top : top + _BAND].ravel()
        place = np.flatnonzero(flat)
        numbers = flat[place] - 1
        inside = maps[top : top + _BAND].reshape(-1, maps.shape[-1])[place]
        first, last = (int(numbers.min()), int(numbers.max()) + 1) if len(numbers) else (0, 0)
        numbers -= first
        area[first:last] += np.bincount(numbers, minlength=last - first)
        sums[first:last, 0] += np.bincount(numbers, nucleus(inside), last - first)
        for kind in range(kinds):
            sums[first:last, 1 + kind] += np.bincount(numbers, types(inside)[:, kind], last - first)
    total = sums[:, 1:].sum(1, keepdims=True)
    # float16 maps sum to 1 only roughly; where a map says nothing, all types are alike.
    share = np.divide(sums[:, 1:], total, out=np.full((count, kinds), 1 / max(kinds, 1)), where=total > 0)
    return (sums[:, 0] / area).astype(np.float32), share.astype(np.float32)
