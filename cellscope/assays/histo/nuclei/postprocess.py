"""From a network's maps to nuclei: edges of the distance maps, markers, watershed, types. Pure arrays.

The idea is that of HoVer-Net (Graham et al. 2019, section 3.2): where two nuclei touch, the distances to their centres
jump from +1 to -1. Three things are done otherwise. Nothing is scaled by the extremes of a tile, so that one odd pixel
moves no nucleus elsewhere and a window gives what the whole image gives. The falls of both distances are added where
HoVer-Net takes the larger, so that oblique edges count as much as upright ones. And no step needs the whole image
once per nucleus, so that the time grows with the area alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from cellscope.assays.histo.nuclei.clumps import clump_windows
from cellscope.assays.histo.nuclei.holes import find_holes, joined
from cellscope.assays.histo.nuclei.maps import distances, nucleus, types
from cellscope.assays.histo.nuclei.sizes import MIN_AREA, MIN_MARKER, OPENING, SIGMA
from cellscope.imaging.labels import first_pixels, look_up, marker_watershed, remove_small

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
    named : (N,) int or None
        The type, where it was given and is not the most probable one.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    score: np.ndarray
    named: np.ndarray | None = None


def find_nuclei(
    maps: np.ndarray,
    *,
    threshold: float = 0.5,
    edge: float = 0.12,
    sigma: float = SIGMA,
    opening: int = OPENING,
    min_marker: int = MIN_MARKER,
    min_area: int = MIN_AREA,
    min_score: float = 0.0,
) -> Nuclei:
    """Find the nuclei in a network's maps.

    Every step needs at most the clump of touching nuclei that a pixel belongs to and a few pixels around it:
    clumps that lie wholly inside a window, 5 pixels from its border, come out as in the whole image.

    Parameters
    ----------
    maps : (h, w, 3 + K) float16 or float32
        See `cellscope.assays.histo.nuclei.maps`.
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
    first, sums, holes = [], [], []
    for window, own in clump_windows(mask, _BLOCK, _reach(sigma) + opening):
        here = maps[window]
        edges = edge_strength(distances(here), mask[window], sigma)
        markers = _markers(own & (edges < edge), opening, min_marker)
        found = remove_small(marker_watershed(-edges, markers, own), min_area)
        np.add(found, last, out=labels[window], where=found > 0)
        # While the window is in fast memory: what is wanted of it later. No hole begins before its nucleus does.
        rows, columns = np.divmod(first_pixels(found)[1:], found.shape[1])
        first.append((rows + window[0].start) * mask.shape[1] + columns + window[1].start)
        holes.append(find_holes(found).shifted(window, last))
        sums.append(_sums(found, here))
        last += len(sums[-1])
    total = np.concatenate(sums)
    rows, columns, numbers = joined(holes).empty_in(labels)
    labels[rows, columns] = numbers
    total += _sums(numbers[None], maps[rows, columns][None], last)
    score, probabilities = _averages(total)
    kept = np.flatnonzero((total[:, 0] > 0) & (score >= min_score))
    kept = kept[np.argsort(np.concatenate(first)[kept])]
    number = np.zeros(last + 1, np.int32)
    number[kept + 1] = np.arange(1, len(kept) + 1)
    for top in range(0, len(labels), _BAND):
        labels[top : top + _BAND] = look_up(number, labels[top : top + _BAND])
    return Nuclei(labels, probabilities[kept], score[kept])


def _above(values: np.ndarray, threshold: float) -> np.ndarray:
    """Compare (h, w) with a number that is not negative; float16 as whole numbers, which order it the same way."""
    if values.dtype != np.float16:
        return values > threshold
    return values.view(np.int16) > np.float16(threshold).view(np.int16)


def _nothing(maps: np.ndarray) -> Nuclei:
    height, width, channels = maps.shape
    return Nuclei(np.zeros((height, width), np.int32), np.zeros((0, channels - 3), np.float32), np.zeros(0, np.float32))


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


def _sums(labels: np.ndarray, maps: np.ndarray, count: int | None = None) -> np.ndarray:
    """Add up the maps over each label 1..N: (N, 2 + K) pixels, nucleus, types.

    In bands of rows, which stay in fast memory; sums of float16 are exact in float64, whatever their order.
    """
    count = int(labels.max(initial=0)) if count is None else count
    kinds = types(maps).shape[-1]
    sums = np.zeros((count, 2 + kinds))
    for top in range(0, len(labels), _BAND):
        flat = labels[top : top + _BAND].ravel()
        place = np.flatnonzero(flat)
        if not len(place):
            continue
        numbers = flat[place] - 1
        inside = maps[top : top + _BAND].reshape(-1, maps.shape[-1])[place]
        first, last = int(numbers.min()), int(numbers.max()) + 1
        numbers -= first
        here = sums[first:last]
        here[:, 0] += np.bincount(numbers, minlength=last - first)
        here[:, 1] += np.bincount(numbers, nucleus(inside), last - first)
        for kind in range(kinds):
            here[:, 2 + kind] += np.bincount(numbers, types(inside)[:, kind], last - first)
    return sums


def _averages(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give score (N,) and probabilities (N, K) from what `_sums` gave; of a label without pixels, nothing of use."""
    area, kinds = np.maximum(sums[:, 0], 1), sums[:, 2:]
    total = kinds.sum(1, keepdims=True)
    # float16 maps sum to 1 only roughly; where a map says nothing, all types are alike.
    share = np.divide(kinds, total, out=np.full(kinds.shape, 1 / max(kinds.shape[1], 1)), where=total > 0)
    return (sums[:, 1] / area).astype(np.float32), share.astype(np.float32)
