"""How large chromosomes are in an image: every metaphase is brought to one scale before a network sees it."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage
from skimage.morphology import skeletonize

from cellscope.imaging.scaling import resize_to, scaled_shape
from cellscope.imaging.tone import foreground

#: Side of the square that the mean chromosome of a metaphase covers at the detector's scale, in pixels.
CANONICAL_SIDE = 26.0
LIMITS = (0.2, 3.0)
EXPECTED = 46


def chromosome_side(normalised: np.ndarray) -> float | None:
    """Estimate the square root of the mean chromosome area, in pixels.

    The foreground (Otsu) without what is much thicker than a chromosome arm (interphase nuclei, debris), shared among
    46.

    Parameters
    ----------
    normalised : (H, W) float32
        From `normalise_tone`.

    Returns
    -------
    float or None
        None when the image holds no foreground.
    """
    mask = foreground(normalised)
    distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    ridge = distance[skeletonize(mask)]
    ridge = ridge[ridge > 1.5]
    if ridge.size == 0:
        return None
    half_width = float(np.median(ridge))
    thick = distance > 2.2 * half_width
    if thick.any():
        mask = mask & (ndimage.distance_transform_edt(~thick) >= 2.6 * half_width)
    area = float(mask.sum())
    return float(np.sqrt(area / EXPECTED)) if area > 0 else None


def detector_scale(normalised: np.ndarray, canonical_side: float = CANONICAL_SIDE) -> float:
    """Give the factor by which to resize a metaphase for a detector; 1 when nothing can be told.

    Parameters
    ----------
    normalised : (H, W) float32
        From `normalise_tone`.
    canonical_side : float
        What the detector was trained at (``normalisation`` of its model card).
    """
    side = chromosome_side(normalised)
    if side is None:
        return 1.0
    return float(np.clip(canonical_side / side, *LIMITS))


def resize(image: np.ndarray, scale: float) -> np.ndarray:
    """Resize by a factor; area averaging when shrinking, linear when growing."""
    return image if abs(scale - 1) < 1e-3 else resize_to(image, scaled_shape(image.shape, scale))
