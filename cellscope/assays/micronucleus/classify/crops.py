"""One cell per crop: the nucleus in the middle, its surroundings as far as a micronucleus lies, neighbours blanked."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

SIDE = 3.2
"""Side of a crop in median nucleus diameters of the field: 95 of 100 micronuclei lie within 1.2 of the centre."""

CROP = 224
"""Side of a stored crop in pixels (the paper's input size)."""

TOP = 3.0
BINS = 256
"""Of the histogram in which nucleus and background are told apart."""

COMPRESSIONS = (0.0, 10.0, 40.0)
"""The three channels of the classifier's input: linear, and asinh with two gains, so that dim micronuclei show."""


def owners(labels: np.ndarray) -> np.ndarray:
    """Give every pixel to its nearest nucleus: 96 of 100 annotated micronuclei belong to the nearest one.

    Parameters
    ----------
    labels : (H, W) int, 0 background

    Returns
    -------
    (H, W) int32
        All zero without a nucleus.
    """
    if not labels.any():
        return np.zeros(labels.shape, np.int32)
    nearest = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    return labels[tuple(nearest)].astype(np.int32)


def cell_crop(
    grey: np.ndarray,
    labels: np.ndarray,
    owner: np.ndarray,
    label: int,
    centre: tuple[float, float],
    diameter: float,
    size: int = CROP,
) -> np.ndarray:
    """Cut one cell out of a field; what belongs to its neighbours is painted with the local background.

    Parameters
    ----------
    grey : (H, W) float32
    labels, owner : (H, W) int
        Nuclei, and `owners` of them.
    label : int
        The nucleus.
    centre : (row, column)
        Of the nucleus.
    diameter : float
        Median nucleus diameter of the field, pixels.
    size : int
        Side of the result, pixels.

    Returns
    -------
    (size, size) float32
        In the units of `grey`; `SIDE` diameters wide.
    """
    half = SIDE * diameter / 2
    height, width = grey.shape
    top, left = int(np.floor(centre[0] - half)) - 1, int(np.floor(centre[1] - half)) - 1
    bottom, right = int(np.ceil(centre[0] + half)) + 2, int(np.ceil(centre[1] + half)) + 2
    y0, x0, y1, x1 = max(top, 0), max(left, 0), min(bottom, height), min(right, width)
    window = grey[y0:y1, x0:x1]
    free = window[labels[y0:y1, x0:x1] == 0]
    fill = float(np.median(free)) if free.size else float(window.min())
    own = np.where(owner[y0:y1, x0:x1] == label, window, fill).astype(np.float32)
    scale = size / (2 * half)
    # pixel centres: a source pixel p (in the window) lands on scale * (p + 0.5 - start) - 0.5
    shift_y = scale * (y0 - (centre[0] + 0.5 - half) + 0.5) - 0.5
    shift_x = scale * (x0 - (centre[1] + 0.5 - half) + 0.5) - 0.5
    matrix = np.array([[scale, 0, shift_x], [0, scale, shift_y]], np.float32)
    return cv2.warpAffine(
        own, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=fill
    )


def normalise_crop(crop: np.ndarray) -> np.ndarray:
    """Map a crop's background to 0 and its nucleus to 1: a micronucleus is as bright as its own nucleus, not another.

    Parameters
    ----------
    crop : (H, W) float

    Returns
    -------
    (H, W) float32
        All zero for a blank crop.
    """
    crop = crop.astype(np.float32)
    # sorted once: the histogram and both medians are read off it, as np.histogram and np.median give them
    values = np.sort(crop, axis=None)
    low = float(values[0])
    if float(values[-1]) <= low:
        return np.zeros(crop.shape, np.float32)
    roots = np.sqrt(values - low)
    dark = int(np.searchsorted(roots, _otsu_of_sorted(roots), "right"))
    if dark in (0, len(values)):
        return np.zeros(crop.shape, np.float32)
    background = _median_of_sorted(values[:dark])
    return ((crop - background) / max(_median_of_sorted(values[dark:]) - background, 1e-6)).astype(np.float32)


def _otsu_of_sorted(values: np.ndarray) -> float:
    """Give Otsu's threshold of sorted values, not all the same."""
    edges = np.histogram_bin_edges(values[[0, -1]], BINS)
    below = np.searchsorted(values, edges, "left")
    below[-1] = len(values)  # the last bin holds its upper edge
    return float(threshold_otsu(hist=(np.diff(below), (edges[:-1] + edges[1:]) / 2)))


def _median_of_sorted(values: np.ndarray) -> float:
    middle = len(values) // 2
    return float(values[middle] if len(values) % 2 else np.mean(values[middle - 1 : middle + 1]))


def crop_view(normalised: np.ndarray, size: int) -> np.ndarray:
    """Resize a normalised crop to the network's input size.

    Returns
    -------
    (1, size, size) float32
    """
    if normalised.shape != (size, size):
        shrink = size < min(normalised.shape)
        normalised = cv2.resize(normalised, (size, size), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR)
    return np.clip(normalised, -0.5, TOP)[None].astype(np.float32)
