"""Measurements of objects under scikit-image's names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from skimage.measure import regionprops

#: regionprops name -> power of the pixel size its physical column takes.
SHAPE = {
    "area": 2,
    "axis_major_length": 1,
    "axis_minor_length": 1,
    "perimeter": 1,
    "eccentricity": 0,
    "solidity": 0,
    "orientation": 0,
}


def measure_mask(mask: np.ndarray, offset: tuple[int, int], intensity: np.ndarray | None = None) -> dict[str, float]:
    """Measure one object given by its own mask, so that overlapping objects are measured whole.

    Parameters
    ----------
    mask : (h, w) bool, not empty
    offset : (row, column) of the mask's first pixel in the image
    intensity : (h, w) float, optional
        Grey values under the mask.

    Returns
    -------
    dict
        ``bbox-0..3`` (rows and columns, half open), ``centroid-0``, ``centroid-1`` in image coordinates, the names of
        `SHAPE`, and ``intensity_mean``; in pixels.
    """
    region: Any = regionprops(mask.astype(np.uint8), intensity_image=intensity)[0]
    row, column = offset
    top, left, bottom, right = region.bbox
    values: dict[str, float] = {
        "bbox-0": top + row,
        "bbox-1": left + column,
        "bbox-2": bottom + row,
        "bbox-3": right + column,
        "centroid-0": float(region.centroid[0]) + row,
        "centroid-1": float(region.centroid[1]) + column,
    }
    for name in SHAPE:
        values[name] = float(region[name])
    if intensity is not None:
        values["intensity_mean"] = float(region.intensity_mean)
    return values


def add_physical(table: pd.DataFrame, pixel_size_um: float | None) -> pd.DataFrame:
    """Append ``_um`` and ``_um2`` columns; empty when the pixel size is not known.

    Parameters
    ----------
    table : DataFrame
        With columns named as in `SHAPE`.
    pixel_size_um : float or None
        Micrometres per pixel.
    """
    table = table.copy()
    for name, power in SHAPE.items():
        if power and name in table:
            suffix = "_um" if power == 1 else "_um2"
            table[name + suffix] = table[name] * pixel_size_um**power if pixel_size_um else np.nan
    return table
