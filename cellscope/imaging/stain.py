"""Colour deconvolution of H&E images: how much haematoxylin and eosin there is in every pixel."""

from __future__ import annotations

import cv2
import numpy as np
from skimage.color import hed_from_rgb

#: Optical density of every 8-bit value, -log10(value / 255); 0 counts as 1, so that black has a density.
_DENSITY = -np.log10(np.maximum(np.arange(256), 1) / 255).astype(np.float32)
#: From the optical density of red, green and blue to that of haematoxylin and eosin.
_UNMIX = np.ascontiguousarray(hed_from_rgb[:, :2].T, dtype=np.float32)


def optical_density(rgb: np.ndarray) -> np.ndarray:
    """Give the optical density -log10(value / 255) of every value.

    Parameters
    ----------
    rgb : uint8, any shape

    Returns
    -------
    float32, the same shape
        0 for white, 2.4 for 1 and 0.
    """
    return _DENSITY[rgb]


def stains(rgb: np.ndarray) -> np.ndarray:
    """Separate haematoxylin and eosin (Ruifrok and Johnston 2001, with scikit-image's stain vectors).

    Parameters
    ----------
    rgb : (H, W, 3) uint8

    Returns
    -------
    (H, W, 2) float32
        Optical density (base 10) of haematoxylin and of eosin; 0 on white. Not cut off at 0: a hue that is neither
        stain's makes one of them slightly negative, and cutting would bias means.
    """
    density = cv2.LUT(rgb, np.repeat(_DENSITY[None, :, None], 3, axis=2))
    return cv2.transform(density, _UNMIX)
