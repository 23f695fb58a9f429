"""The white level of a colour image whose number type holds more than the camera gave."""

from __future__ import annotations

import numpy as np

WHITE = (255, 1023, 4095, 16383, 65535)
"""White levels of the bit depths cameras have."""
OUTLIERS = 1e-3
"""Share of the values that may lie above white: hot pixels and dust, never the background."""
FAR_BELOW = 0.1
OVERSHOOT = 1.05
"""By what factor many float values may pass white: interpolation overshoots at edges."""


def white_level(pixels: np.ndarray) -> float:
    """Tell which value is white: that of the smallest usual bit depth that holds all but a few values.

    Parameters
    ----------
    pixels : (H, W, C) uint8, uint16 or float32
        At least one value; colours on a bright background.

    Returns
    -------
    float
        1 for floats up to 1, 255 for uint8; the brightest value where none of the usual levels holds.
    """
    if pixels.dtype == np.uint8:
        return 255.0
    floats = pixels.dtype.kind == "f"
    top = float(pixels.max(initial=0))
    slack = OVERSHOOT if floats else 1.0
    for level in (1, *WHITE) if floats else WHITE:
        if top <= level or np.count_nonzero(pixels > level * slack) <= OUTLIERS * pixels.size:
            return _between(pixels, float(level)) if floats else float(level)
    return _between(pixels, top) if floats else top


def _between(pixels: np.ndarray, level: float) -> float:
    """Give the level, or what nearly all values keep to where that is no tenth of it: floats can have any range."""
    if level == 1:
        return level
    usual = float(np.quantile(pixels, 1 - OUTLIERS))
    return level if usual >= FAR_BELOW * level or usual <= 0 else usual
