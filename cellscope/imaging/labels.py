"""Label images: separate what touches, drop what is small, number, measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import pandas as pd
from scipy import ndimage
from skimage.measure import label as components
from skimage.measure import regionprops_table
from skimage.morphology import reconstruction
from skimage.segmentation import watershed

from cellscope.imaging.measure import SHAPE

DILATIONS = 48
"""How far, in pixels, heights are spread step by step before all pixels are sorted."""

_DILATIONS_PER_CHECK = 8
"""Dilations between two checks whether anything still changes."""

_PART = 2**16
"""Pixels that are looked up at a time."""


def find_markers(height: np.ndarray, mask: np.ndarray, *, depth: float, floor: float = 0.0) -> np.ndarray:
    """Mark the peaks of a height map that stand out: one marker per object to be.

    Parameters
    ----------
    height : (H, W) float
        High inside objects, low where two touch: a distance transform, a predicted distance or a probability.
    mask : (H, W) bool
        Where objects are.
    depth : float, > 0
        A peak counts when the way to a higher one leads down by at least this much (h-maxima).
    floor : float
        Least height of a peak.

    Returns
    -------
    (H, W) int32
        0 or the marker's number, in order of its first pixel. A component of `mask` without a peak has no marker.
    """
    masked = np.where(mask, height, np.minimum(float(height.min()), 0.0)).astype(np.float32)
    domes = masked - _rebuilt(masked - np.float32(depth), masked)
    peaks = components(domes > 0, connectivity=2)
    # The dome over a peak is as high as the way down from it, up to `depth`: lower ones do not stand out enough.
    tall = ndimage.maximum(domes, peaks, np.arange(peaks.max() + 1)) >= depth * (1 - 1e-4)
    tall[0] = False
    return relabel(np.where(tall[peaks] & mask & (masked >= floor), peaks, 0))


def _rebuilt(seed: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Reconstruct by dilation: spread `seed` (H, W) float32 to neighbours, diagonal ones too, nowhere above `limit`.

    What scikit-image's `reconstruction` gives, to the last bit. That sorts all pixels first; where nothing has far to
    go, as in a field of nuclei, some plain dilations take a fraction of its time. It finishes the rest.
    """
    window = np.ones((3, 3), np.uint8)
    # Wherever the highest seed gets to, it brings no less than the lowest limit on its way.
    spread = np.minimum(np.maximum(seed, min(seed.max(), limit.min())), limit)
    for _ in range(DILATIONS // _DILATIONS_PER_CHECK):
        before = spread
        for _ in range(_DILATIONS_PER_CHECK):
            spread = np.minimum(cv2.dilate(spread, window), limit)
        if np.array_equal(spread, before):
            return spread
    return np.asarray(reconstruction(spread, limit))


def marker_watershed(height: np.ndarray, markers: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Flood `mask` from markers, highest first; parts that no marker reaches become objects of their own.

    Parameters
    ----------
    height : (H, W) float
    markers : (H, W) int
    mask : (H, W) bool

    Returns
    -------
    (H, W) int32
        Labels; every pixel of `mask` has one.
    """
    labels = watershed(-np.asarray(height, np.float32), np.asarray(markers, np.int32), mask=mask).astype(
        np.int32, copy=False
    )
    unreached = mask & (labels == 0)
    if not unreached.any():
        return labels
    orphans = components(unreached, connectivity=1)
    return np.where(orphans > 0, orphans + labels.max(initial=0), labels).astype(np.int32)


def relabel(labels: np.ndarray, *, by_position: bool = False) -> np.ndarray:
    """Give labels the numbers 1..N without gaps.

    Parameters
    ----------
    labels : (H, W) int, 0 is background
    by_position : bool
        Number in order of the first pixel, row by row, instead of keeping the order of the numbers.

    Returns
    -------
    (H, W) int32
    """
    flat = labels.ravel()
    if flat.size == 0 or flat.min() < 0 or flat.max() > flat.size:
        values, inverse = np.unique(flat, return_inverse=True)
        flat = np.where(values == 0, 0, np.cumsum(values != 0))[inverse.reshape(-1)]
    # Numbers are no larger than the image now: a table of them needs no sort, and the time is linear in the area.
    first = first_pixels(flat)
    values = np.flatnonzero(first >= 0)
    order = np.argsort(first[values], kind="stable") if by_position else np.arange(len(values))
    new = np.zeros(len(first), np.int32)
    new[values[order]] = np.arange(1, len(order) + 1)
    return look_up(new, flat).reshape(labels.shape)


def first_pixels(labels: np.ndarray) -> np.ndarray:
    """Find where each label begins.

    Parameters
    ----------
    labels : (...) int, 0 is background, not negative

    Returns
    -------
    (largest label + 1,) int
        Place of its first pixel, row by row; -1 for the background and for numbers that no pixel has.
    """
    flat = labels.reshape(-1)
    first = np.full(int(flat.max(initial=0)) + 1, -1)
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1  # an object begins where a run of its number does
    starts = np.concatenate([changes[::-1], [0]]) if flat.size else changes
    first[flat[starts]] = starts  # the last assignment, of the first pixel, stays
    first[0] = -1
    return first


def look_up(table: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Give every pixel its number's entry in a table: ``table[numbers]``, in a fraction of the time of that index.

    Parameters
    ----------
    table : (N,) any dtype
    numbers : (...) int, in 0..N-1
        What is not is taken for the nearest that is.

    Returns
    -------
    (...) dtype of `table`
    """
    found = np.empty(numbers.shape, table.dtype)
    whole = numbers.flags.c_contiguous  # else rows are taken as they lie: bringing them together costs a copy
    source, into = (numbers.reshape(-1), found.reshape(-1)) if whole else (numbers, found)
    step = max(_PART * len(source) // max(source.size, 1), 1)
    # NumPy widens the numbers to 64 bits first: part by part that stays in fast memory.
    for start in range(0, len(source), step):
        part = slice(start, start + step)
        np.take(table, source[part], out=into[part], mode="clip")
    return found


def remove_small(labels: np.ndarray, min_area: float) -> np.ndarray:
    """Set labels with fewer than `min_area` pixels to background; the others keep their numbers.

    Parameters
    ----------
    labels : (H, W) int, not negative
    min_area : float
        Pixels.

    Returns
    -------
    (H, W), dtype of `labels`
    """
    areas = np.bincount(labels[labels > 0], minlength=1)
    kept = np.arange(len(areas)).astype(labels.dtype)
    kept[areas < min_area] = 0
    return look_up(kept, labels)


def label_table(
    labels: np.ndarray,
    intensity: np.ndarray | None = None,
    *,
    shapes: Sequence[str] = tuple(SHAPE),
    intensities: Sequence[str] = ("intensity_mean",),
    channels: Mapping[int, str] | None = None,
) -> pd.DataFrame:
    """Measure every object of a label image under scikit-image's names.

    Parameters
    ----------
    labels : (H, W) int
    intensity : (H, W) or (H, W, C) float, optional
    shapes, intensities : sequence of str
        regionprops names.
    channels : mapping, optional
        Channel number -> name, for an intensity image of several channels: ``intensity_mean_red`` then.

    Returns
    -------
    DataFrame
        A row per label in rising order: ``label``, ``centroid-0..1``, ``bbox-0..3``, `shapes`, `intensities`; pixels.
        For no object, the same columns and no row.
    """
    wanted = ["label", "centroid", "bbox", *shapes, *(intensities if intensity is not None else ())]
    table = pd.DataFrame(regionprops_table(labels, intensity_image=intensity, properties=wanted))
    names = {f"{name}-{number}": f"{name}_{text}" for name in intensities for number, text in (channels or {}).items()}
    return table.rename(columns=names)
