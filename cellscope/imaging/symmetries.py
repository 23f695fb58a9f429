"""Mirrored and turned copies of an image, and back: test-time augmentation averages a network's results over them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Symmetry(NamedTuple):
    """One of the eight symmetries of a square.

    Attributes
    ----------
    transpose : bool
        Exchange rows and columns first.
    rows, columns : bool
        Then reverse their order.
    """

    transpose: bool = False
    rows: bool = False
    columns: bool = False

    def apply(self, array: np.ndarray, axes: tuple[int, int] = (0, 1)) -> np.ndarray:
        """Give a view of an array, turned; `axes` are its rows and columns."""
        if self.transpose:
            array = np.swapaxes(array, *axes)
        return self._reversed(array, axes)

    def undo(self, array: np.ndarray, axes: tuple[int, int] = (0, 1)) -> np.ndarray:
        """Turn back what `apply` gave."""
        array = self._reversed(array, axes)
        return np.swapaxes(array, *axes) if self.transpose else array

    def _reversed(self, array: np.ndarray, axes: tuple[int, int]) -> np.ndarray:
        return np.flip(array, tuple(axis for axis, turned in zip(axes, self[1:], strict=True) if turned))


IDENTITY = Symmetry()
SYMMETRIES = (
    IDENTITY, Symmetry(False, True, True),
    Symmetry(True, False, True), Symmetry(True, True, False),
    Symmetry(False, False, True), Symmetry(False, True, False),
    Symmetry(True, False, False), Symmetry(True, True, True),
)  # fmt: skip
"""All eight: the first 2 are half turns, the first 4 quarter turns, the others mirrored."""
