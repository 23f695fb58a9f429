"""Between an image's pixels and the finder's scale, where the median nucleus has a fixed diameter."""

from __future__ import annotations

import cv2
import numpy as np

from cellscope.assays.micronucleus.field.field import as_channels
from cellscope.assays.micronucleus.find.finder import DIAMETER
from cellscope.imaging.scaling import resize_to, scaled_shape

LIMITS = (0.05, 8.0)
"""Scales beyond these are taken for a wrong guess of the diameter."""

MOST_PIXELS = 2**26
"""Pixels of the finder's view: a field of tiny nuclei is not blown up beyond memory."""


def finder_scale(shape: tuple[int, ...], diameter: float) -> float:
    """Give the factor from the image to the finder's view."""
    scale = float(np.clip(DIAMETER / diameter, *LIMITS))
    return min(scale, float(np.sqrt(MOST_PIXELS / (shape[0] * shape[1]))))


def finder_view(normalised: np.ndarray, diameter: float) -> np.ndarray:
    """Scale a normalised field so that its median nucleus has the finder's diameter.

    Parameters
    ----------
    normalised : (H, W) float32
    diameter : float
        Median nucleus diameter, pixels.

    Returns
    -------
    (2, h, w) float32
        The finder's input.
    """
    scale = finder_scale(normalised.shape, diameter)
    height, width = scaled_shape(normalised.shape, scale)
    return as_channels(resize_to(normalised, (max(height, 8), max(width, 8))))


def finder_maps(maps: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Bring the finder's output back to the image's size.

    Parameters
    ----------
    maps : (K, h, w) float32
    shape : (H, W) of the image

    Returns
    -------
    (K, H, W) float32
    """
    size = (shape[1], shape[0])
    return np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in maps.astype(np.float32)])
