"""Grey values of a metaphase: one polarity, one range, whatever the stain and the camera."""

from __future__ import annotations

import cv2
import numpy as np


def to_grey(pixels: np.ndarray) -> np.ndarray:
    """Reduce an image to one channel.

    Parameters
    ----------
    pixels : (H, W) or (H, W, C) uint8, uint16 or float32
        One channel is taken as it is; three or more are read as sRGB and weighted by Rec. 601.

    Returns
    -------
    (H, W) float32
        In the input's own range.

    Raises
    ------
    ValueError
        Two channels.
    """
    pixels = np.asarray(pixels)
    if pixels.ndim == 2:
        return pixels.astype(np.float32)
    if pixels.shape[2] == 1:
        return pixels[..., 0].astype(np.float32)
    if pixels.shape[2] == 2:
        raise ValueError("two channels are two stains; which one is meant has to be chosen before")
    return pixels[..., :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def is_bright_on_dark(grey: np.ndarray) -> bool:
    """Tell fluorescence (bright objects on dark) from bright field (dark objects on bright).

    The background is the most common grey value; objects are where the tail of the histogram is longer.

    Parameters
    ----------
    grey : (H, W) float32

    Returns
    -------
    bool
        True when objects are brighter than the background, and for a flat image.
    """
    low, background, high = np.percentile(grey, [0.5, 50, 99.5])
    return bool(high - background >= background - low)


def normalise_tone(grey: np.ndarray, *, bright_on_dark: bool | None = None) -> tuple[np.ndarray, bool]:
    """Map a metaphase to bright-on-dark with background 0 and bright chromosomes near 1.

    G-bands and Q-bands mark much the same AT-rich regions, so an inverted G-band image and a Q-band image look alike:
    one network can serve both.

    Parameters
    ----------
    grey : (H, W) float32
    bright_on_dark : bool, optional
        The polarity where it is known; None finds it by `is_bright_on_dark`.

    Returns
    -------
    normalised : (H, W) float32, in [0, 1.5]
    bright_on_dark : bool
    """
    if bright_on_dark is None:
        bright_on_dark = is_bright_on_dark(grey)
    signal = grey if bright_on_dark else -grey
    background = float(np.median(signal))
    signal = signal - background
    high = float(np.percentile(signal, 99.5))
    objects = signal[signal > 0.25 * high] if high > 0 else signal[:0]
    scale = float(np.percentile(objects, 90)) if objects.size else 1.0
    return np.clip(signal / max(scale, 1e-6), 0.0, 1.5).astype(np.float32), bright_on_dark


def foreground(normalised: np.ndarray) -> np.ndarray:
    """Threshold a normalised metaphase (Otsu), close band gaps and fill holes.

    Parameters
    ----------
    normalised : (H, W) float32
        From `normalise_tone`.

    Returns
    -------
    (H, W) bool
    """
    from scipy import ndimage

    blurred = cv2.GaussianBlur(normalised, (0, 0), 1.0)
    as_bytes = (np.clip(blurred, 0, 1) * 255).astype(np.uint8)
    level, _ = cv2.threshold(as_bytes, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    mask = (as_bytes > 0.8 * level).astype(np.uint8)
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    return ndimage.binary_fill_holes(closed)
