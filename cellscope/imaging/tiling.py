"""Windows of one size on a fixed grid anchored at the image's origin.

Where a window lies follows from the image's shape alone: never from the batch, the worker or the shard it is computed
in. Every window is a core, which is kept, and a margin of context around it, which is thrown away again; with a margin
of at least the network's reach the cores fit together without a seam.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Grid:
    """A grid of square cores with a margin.

    Attributes
    ----------
    shape : (height, width) of the image, pixels
    core : int
        Side of a core, pixels.
    margin : int
        Context on each side of a core, pixels.
    offset : (row, column), each in [0, core)
        How far the grid is shifted up and left of the origin; not (0, 0) only to measure what a shift changes.
    """

    shape: tuple[int, int]
    core: int
    margin: int
    offset: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if self.core < 1 or self.margin < 0 or min(self.shape) < 1:
            raise ValueError(f"no grid of cores of {self.core} and margins of {self.margin} covers {self.shape}")
        if not all(0 <= value < self.core for value in self.offset):
            raise ValueError(f"the offset {self.offset} must be at least 0 and below the core {self.core}")

    @property
    def window(self) -> int:
        """Side of a window: the core with its margins."""
        return self.core + 2 * self.margin

    @property
    def corners(self) -> list[tuple[int, int]]:
        """First row and column of every core, row by row; those of a shifted grid may be negative."""
        rows = range(-self.offset[0], self.shape[0], self.core)
        columns = range(-self.offset[1], self.shape[1], self.core)
        return [(row, column) for row in rows for column in columns]


def cut_window(image: np.ndarray, grid: Grid, corner: tuple[int, int]) -> np.ndarray:
    """Cut one window; what lies outside the image repeats its border.

    Parameters
    ----------
    image : (H, W) or (H, W, C), any dtype
    grid : Grid
    corner : (row, column)
        One of ``grid.corners``.

    Returns
    -------
    (window, window) or (window, window, C), dtype of `image`
    """
    spans = []
    for start, size in zip(corner, grid.shape, strict=True):
        spans.append(np.clip(np.arange(start - grid.margin, start + grid.core + grid.margin), 0, size - 1))
    return np.ascontiguousarray(image[spans[0][:, None], spans[1][None, :]])


def cut_windows(image: np.ndarray, grid: Grid) -> list[np.ndarray]:
    """Cut all windows of the grid, in the order of ``grid.corners``."""
    return [cut_window(image, grid, corner) for corner in grid.corners]


def join_windows(windows: Iterable[np.ndarray], grid: Grid) -> np.ndarray:
    """Put the cores of windows together again.

    Parameters
    ----------
    windows : iterable of (window, window) or (window, window, C) arrays, all of one dtype
        In the order of ``grid.corners``.
    grid : Grid

    Returns
    -------
    (H, W) or (H, W, C), dtype of the windows
    """
    height, width = grid.shape
    joined: np.ndarray | None = None
    for (row, column), window in zip(grid.corners, windows, strict=True):
        if joined is None:
            joined = np.empty((height, width, *window.shape[2:]), window.dtype)
        top, left = max(row, 0), max(column, 0)
        bottom, right = min(row + grid.core, height), min(column + grid.core, width)
        y, x = top - row + grid.margin, left - column + grid.margin
        joined[top:bottom, left:right] = window[y : y + bottom - top, x : x + right - left]
    assert joined is not None
    return joined
