"""Images brought to the scale at which a network was trained."""

from __future__ import annotations

import cv2
import numpy as np


def scaled_shape(shape: tuple[int, ...], factor: float) -> tuple[int, int]:
    """Give (height, width) scaled by a factor, at least one pixel each way."""
    return max(round(shape[0] * factor), 1), max(round(shape[1] * factor), 1)


def resize_to(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resize (H, W[, C]) to (height, width): by area average downwards, linearly upwards."""
    if image.shape[:2] == shape:
        return image
    smaller = shape[0] * shape[1] < image.shape[0] * image.shape[1]
    return cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def far_off(found: float, estimated: float, tolerance: float) -> bool:
    """Tell whether an estimated size was wrong by more than a factor, so that another pass at a better scale pays."""
    return not 1 / tolerance <= found / estimated <= tolerance
