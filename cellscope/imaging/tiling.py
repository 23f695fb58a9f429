"""The tiler: windows on a fixed grid anchored at the image's origin, cut and put together again.

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
    """A grid of cores with a margin.

    Attributes
    ----------
    shape : (height, width) of the image, pixels
    core : int
        Side of a core, pixels.
    margin : int
        Context on each side of a core, pixels.
    offset : (row, column), each in [0, core)
        How far the grid is shifted up and left of the origin; not (0, 0) only to measure what a shift changes.
    step : int
        Sides of windows are multiples of this, and cores at the image's end no larger than needed. 0: all windows are
        of one size.
    """

    shape: tuple[int, int]
    core: int
    margin: int
    offset: tuple[int, int] = (0, 0)
    step: int = 0

    def __post_init__(self) -> None:
        if self.core < 1 or self.margin < 0 or min(self.shape) < 1:
            raise ValueError(f"no grid of cores of {self.core} and margins of {self.margin} covers {self.shape}")
        if not all(0 <= value < self.core for value in self.offset):
            raise ValueError(f"the offset {self.offset} must be at least 0 and below the core {self.core}")

    @property
    def window(self) -> int:
        """Side of the largest windows: the core with its margins."""
        return self.core + 2 * self.margin

    def spans(self, axis: int) -> list[tuple[int, int]]:
        """First pixel and size of the cores along an axis; the first core of a shifted grid starts before 0."""
        found = []
        for start in range(-self.offset[axis], self.shape[axis], self.core):
            size = self.core
            if self.step:
                left = self.shape[axis] - start + 2 * self.margin
                size = min(size, -(-left // self.step) * self.step - 2 * self.margin)
            found.append((start, size))
        return found

    @property
    def cores(self) -> list[tuple[int, int, int, int]]:
        """First row, first column, height and width of every core, row by row."""
        columns = self.spans(1)
        return [(row, column, height, width) for row, height in self.spans(0) for column, width in columns]

    @property
    def reach(self) -> tuple[int, int, int, int]:
        """First row, first column, end row and end column of all windows together."""
        rows, columns = self.spans(0), self.spans(1)
        ends = sum(rows[-1]) + self.margin, sum(columns[-1]) + self.margin
        return rows[0][0] - self.margin, columns[0][0] - self.margin, *ends


def cut_window(image: np.ndarray, grid: Grid, core: tuple[int, int, int, int]) -> np.ndarray:
    """Cut one window; what lies outside the image repeats its border.

    Parameters
    ----------
    image : (H, W) or (H, W, C), any dtype
    grid : Grid
    core : (row, column, height, width)
        One of ``grid.cores``.

    Returns
    -------
    (h, w) or (h, w, C), dtype of `image`
    """
    spans = []
    for start, length, size in zip(core[:2], core[2:], grid.shape, strict=True):
        spans.append(np.clip(np.arange(start - grid.margin, start + length + grid.margin), 0, size - 1))
    return np.ascontiguousarray(image[spans[0][:, None], spans[1][None, :]])


def cut_windows(image: np.ndarray, grid: Grid) -> list[np.ndarray]:
    """Cut all windows of the grid, in the order of ``grid.cores``."""
    return [cut_window(image, grid, core) for core in grid.cores]


def windows_within(reach: np.ndarray, grid: Grid) -> list[np.ndarray]:
    """Cut all windows from an array that holds everything within ``grid.reach``; the windows are views of it."""
    top, left, _, _ = grid.reach
    return [
        reach[
            row - grid.margin - top : row + height + grid.margin - top,
            column - grid.margin - left : column + width + grid.margin - left,
        ]
        for row, column, height, width in grid.cores
    ]


def join_windows(windows: Iterable[np.ndarray], grid: Grid) -> np.ndarray:
    """Put the cores of windows together again.

    Parameters
    ----------
    windows : iterable of (h, w) or (h, w, C) arrays, all of one dtype
        In the order of ``grid.cores``: with the margin, as they were cut, or without it.
    grid : Grid

    Returns
    -------
    (H, W) or (H, W, C), dtype of the windows
    """
    height, width = grid.shape
    joined: np.ndarray | None = None
    for (row, column, rows, columns), window in zip(grid.cores, windows, strict=True):
        if joined is None:
            joined = np.empty((height, width, *window.shape[2:]), window.dtype)
        top, left = max(row, 0), max(column, 0)
        bottom, right = min(row + rows, height), min(column + columns, width)
        y, x = top - row + (window.shape[0] - rows) // 2, left - column + (window.shape[1] - columns) // 2
        joined[top:bottom, left:right] = window[y : y + bottom - top, x : x + right - left]
    assert joined is not None
    return joined
