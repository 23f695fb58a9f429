"""Training targets from instance labels: nucleus mask, distances to the centre, type per pixel."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def distance_maps(labels: np.ndarray) -> np.ndarray:
    """Give every nucleus pixel its horizontal and vertical distance to the nucleus's centre (Graham et al. 2019).

    Each side of each nucleus is scaled on its own: the leftmost column gets -1, the rightmost 1, the centre of mass 0.

    Parameters
    ----------
    labels : (H, W) int, 0 is background

    Returns
    -------
    (2, H, W) float32 in [-1, 1]
        Along columns, then along rows; 0 in the background.
    """
    maps = np.zeros((2, *labels.shape), np.float32)
    rows, columns = np.nonzero(labels)
    if not len(rows):
        return maps
    values, index = np.unique(labels[rows, columns], return_inverse=True)
    count = np.bincount(index)
    for axis, places in enumerate((columns, rows)):
        centre = np.round(np.bincount(index, weights=places) / count)
        away = places - centre[index]
        order = np.arange(len(values))
        least = -np.asarray(ndimage.minimum(away, index, order))
        most = np.asarray(ndimage.maximum(away, index, order))
        scale = np.where(away < 0, least[index], most[index])
        maps[axis, rows, columns] = away / np.maximum(scale, 1)
    return maps


def type_map(labels: np.ndarray, types: np.ndarray) -> np.ndarray:
    """Give every pixel its nucleus's type.

    Parameters
    ----------
    labels : (H, W) int
    types : (max label + 1,) int
        Type 1..K by label; 0 for the background, -1 for a nucleus of unknown type.

    Returns
    -------
    (H, W) int64
    """
    return types[labels].astype(np.int64)
