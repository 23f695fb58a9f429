"""What the readers of slides have in common, whatever the format."""

from __future__ import annotations

from typing import Protocol

import numpy as np

BLANK = 255
"""What stands where a slide has no pixels: outside it, in tiles never scanned, in tiles that cannot be decoded."""


class SlideReader(Protocol):
    """An open slide. Not for several threads at once.

    Those of a format also have, from the start:

    Attributes
    ----------
    shapes : list of (height, width)
        Of the levels.
    pixel_size_um : float or None
    warnings : tuple of str
    """

    corrupt: set[tuple[int, int, int]]
    """(level, first row, first column) of tiles that could not be decoded so far, or of squares where the format hides
    its tiles; they are blank."""

    def read(self, level: int, top: int, left: int, height: int, width: int) -> np.ndarray:
        """Return (height, width, 3) uint8 of a level; blank outside the slide."""

    def close(self) -> None:
        """Let go of the file."""
