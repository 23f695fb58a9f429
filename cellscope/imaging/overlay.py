"""The scale at which overlays are drawn: small images larger by a whole factor, very wide ones smaller."""

from __future__ import annotations

import cv2
import numpy as np


def overlay_scale(width: int, least: int, most: int | None = None) -> float:
    """Give the factor from an image's pixels to its overlay's.

    Parameters
    ----------
    width : int
        Of the image, pixels.
    least : int
        Narrower images are enlarged by the smallest whole factor that reaches this width.
    most : int, optional
        Wider images are shrunk to this width.
    """
    if width < least:
        return float(-(-least // width))
    return 1.0 if most is None else min(1.0, most / width)


def to_overlay(image: np.ndarray, scale: float, enlarging: int = cv2.INTER_LINEAR) -> np.ndarray:
    """Resize (H, W[, 3]) by the factor of `overlay_scale`: by area average downwards, else by `enlarging`."""
    height, width = (max(round(side * scale), 1) for side in image.shape[:2])
    shrinks = scale < 1 and enlarging != cv2.INTER_NEAREST
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else enlarging)
