"""Colour images of stained smears: one range, the three-class Otsu baseline, a first guess of the scale."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage
from skimage.filters import threshold_multiotsu

from cellscope.errors import InputError
from cellscope.imaging.white import white_level


def to_rgb8(pixels: np.ndarray, name: str = "image") -> np.ndarray:
    """Bring a colour image to 8 bits per channel.

    Parameters
    ----------
    pixels : (H, W, C) uint8, uint16 or float32
        C = 3, or 4 whose last channel is dropped. Values are scaled by their white level (a 12-bit camera's images in
        16-bit files keep their brightness); what lies above it is white.
    name : str
        For the error.

    Returns
    -------
    (H, W, 3) uint8, sRGB

    Raises
    ------
    InputError
        If the image is grey or has two or more than four channels.
    """
    channels = pixels.shape[2]
    if channels == 1:
        raise InputError(
            f"{name}: the image is grey, but nuclei are found by the colour of the stain; give it in colour"
        )
    if channels not in (3, 4):
        raise InputError(f"{name}: the image has {channels} channels; a colour image (red, green, blue) is needed")
    colour = np.ascontiguousarray(pixels[..., :3])
    if colour.dtype == np.uint8:
        return colour
    white = white_level(colour)
    # In place, since whole smears come here: a second float copy would double the memory.
    scaled = colour.astype(np.float32)
    scaled *= 255.0 / white
    np.rint(scaled, out=scaled)
    return np.clip(scaled, 0, 255, out=scaled).astype(np.uint8)


def has_colour(rgb: np.ndarray) -> bool:
    """Tell whether an image has any colour, or no contrast at all (then there is nothing to tell).

    Parameters
    ----------
    rgb : (H, W, 3) uint8
    """
    sample = rgb[:: max(1, rgb.shape[0] // 256), :: max(1, rgb.shape[1] // 256)].astype(np.int16)
    return bool((sample.max(2) - sample.min(2)).max() > 8 or np.ptp(sample) < 16)


def background_colour(rgb: np.ndarray) -> np.ndarray:
    """Guess the colour of the bare background: the median of the brightest quarter.

    Parameters
    ----------
    rgb : (H, W, 3) uint8

    Returns
    -------
    (3,) float
    """
    pixels = rgb.reshape(-1, 3)[::7]
    green = pixels[:, 1]
    return np.median(pixels[green >= np.percentile(green, 75)], axis=0)


def stain_densities(labels: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    """Measure how strongly objects are stained: mean optical density over the background's, by channel.

    Parameters
    ----------
    labels : (H, W) int, 0 is background
    rgb : (H, W, 3) uint8

    Returns
    -------
    (N + 1, 3) float
        Natural optical densities by label, from 0; 0 for the background and numbers without a pixel.
    """
    paper = np.maximum(background_colour(rgb), 30)
    inside = labels > 0
    numbers = labels[inside]
    count = int(numbers.max(initial=0)) + 1
    area = np.maximum(np.bincount(numbers, minlength=count), 1)
    means = []
    for channel in range(3):
        density = -np.log(np.clip(np.arange(256) / paper[channel], 0.02, 1))
        means.append(np.bincount(numbers, weights=density[rgb[..., channel][inside]], minlength=count) / area)
    return np.stack(means, 1)


def otsu_classes(rgb: np.ndarray) -> np.ndarray:
    """Segment by three-class Otsu on the green channel, opened and filled: the baseline every network must beat.

    Parameters
    ----------
    rgb : (H, W, 3) uint8

    Returns
    -------
    (H, W) uint8
        0 background, 1 the middle class (cytoplasm and red cells), 2 the darkest (nuclei).
    """
    green = rgb[..., 1]
    found = np.unique(green[:: max(1, green.shape[0] // 1024), :: max(1, green.shape[1] // 1024)])
    if len(found) < 2:
        return np.zeros(green.shape, np.uint8)
    # Of two grey values, as in a drawing, the dark one is the nuclei and there is no middle class.
    low, high = threshold_multiotsu(green, classes=3) if len(found) > 2 else (int(found[0]), -1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    nuclei = cv2.morphologyEx((green <= low).astype(np.uint8), cv2.MORPH_OPEN, kernel)
    nuclei = ndimage.binary_fill_holes(nuclei)
    return np.where(nuclei, 2, (green <= high).astype(np.uint8)).astype(np.uint8)


def guess_diameter(rgb: np.ndarray, *, side: int = 1024) -> float | None:
    """Guess the size of the nuclei from the darkest Otsu class.

    Even where red cells are taken for nuclei the guess is of the right order, for they are about as large.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
    side : int
        Larger images are reduced to this size first.

    Returns
    -------
    float or None
        Area-weighted median over components of twice the largest inscribed radius, pixels of `rgb`; None where nothing
        stands out.
    """
    factor = min(1.0, side / max(rgb.shape[:2]))
    small = cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) if factor < 1 else rgb
    mask = otsu_classes(small) == 2
    numbers, count = ndimage.label(mask)
    if not count:
        return None
    index = np.arange(1, count + 1)
    radius = ndimage.maximum(ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1], numbers, index)
    area = np.bincount(numbers.ravel())[1:].astype(float)
    keep = radius >= 2
    if not keep.any():
        return None
    radius, area = radius[keep], area[keep]
    order = np.argsort(radius)
    middle = order[np.searchsorted(np.cumsum(area[order]), area.sum() / 2)]
    return float(2 * radius[middle] / factor)
