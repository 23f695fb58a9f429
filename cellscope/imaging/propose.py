"""An outline for an object that a person points at: a threshold of its neighbourhood, parted from what it touches."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

NEAR = 4
"""Pixels that the place may lie beside the object."""
LARGE = 2.5
"""Times the usual area beyond which what is found is taken for several objects that touch."""


def propose_mask(
    signal: np.ndarray, point: tuple[float, float], taken: np.ndarray, typical_area: float
) -> np.ndarray | None:
    """Find the object at a place.

    Otsu's threshold in a window around the place, less what belongs to known objects; what is far larger than usual is
    parted by a watershed of the distance to its border.

    Parameters
    ----------
    signal : (H, W) float
        Brighter where there is more of the object.
    point : (x, y)
        Pixels; (0, 0) is the corner of the first one.
    taken : (H, W) bool
        Known objects.
    typical_area : float
        Of an object, pixels.

    Returns
    -------
    (H, W) bool or None
        None where nothing stands out.
    """
    x, y = int(np.floor(point[0])), int(np.floor(point[1]))
    height, width = signal.shape
    if not (0 <= x < width and 0 <= y < height):
        return None
    reach = int(np.ceil(3 * np.sqrt(max(typical_area, 16.0))))
    top, left = max(y - reach, 0), max(x - reach, 0)
    place = np.s_[top : y + reach + 1, left : x + reach + 1]
    window = cv2.GaussianBlur(signal[place].astype(np.float32), (0, 0), 0.8)
    free = ~taken[place]
    if np.ptp(window) <= 0:
        return None
    inside = window > threshold_otsu(window)
    inside = ndimage.binary_fill_holes(ndimage.binary_opening(inside & free, iterations=1)) & free
    parts, count = ndimage.label(inside, np.ones((3, 3)))
    here = (y - top, x - left)
    chosen = _near(parts, here)
    if not count or chosen == 0:
        return None
    found = parts == chosen
    if found.sum() > LARGE * typical_area:
        found = _parted(found, here, typical_area)
    whole = np.zeros(signal.shape, bool)
    whole[place] = found
    return whole


def _near(parts: np.ndarray, here: tuple[int, int]) -> int:
    """Give the part at a place, or the nearest within `NEAR` pixels; 0 for none."""
    rows, columns = np.nonzero(parts)
    if not len(rows):
        return 0
    distance = np.hypot(rows - here[0], columns - here[1])
    nearest = int(distance.argmin())
    return int(parts[rows[nearest], columns[nearest]]) if distance[nearest] <= NEAR else 0


def _parted(mask: np.ndarray, here: tuple[int, int], typical_area: float) -> np.ndarray:
    """Give the part of touching objects that holds the place."""
    distance = cv2.GaussianBlur(ndimage.distance_transform_edt(mask).astype(np.float32), (0, 0), 1.0)
    side = max(3, int(np.sqrt(typical_area) / 2) | 1)
    peaks = (distance == ndimage.maximum_filter(distance, side)) & mask
    seeds, _ = ndimage.label(peaks, np.ones((3, 3)))
    basins = watershed(-distance, seeds, mask=mask)
    chosen = _near(basins, here)
    return basins == chosen if chosen else mask
