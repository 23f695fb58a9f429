"""Holes in nuclei: found window by window, filled once all windows are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from cellscope.imaging.labels import look_up


@dataclass
class Holes:
    """Pixels of background that one nucleus alone surrounds, hole by hole.

    Attributes
    ----------
    rows, columns : (P,) int
    numbers : (P,) int32
        The label around each.
    hole : (P,) int
        Which hole a pixel is of, counted from 0.
    """

    rows: np.ndarray
    columns: np.ndarray
    numbers: np.ndarray
    hole: np.ndarray

    def shifted(self, window: tuple[slice, slice], labels: int) -> Holes:
        """Give the same in the image that `window` was cut from, and with higher labels."""
        rows, columns = self.rows + window[0].start, self.columns + window[1].start
        return Holes(rows, columns, self.numbers + np.int32(labels), self.hole)

    def empty_in(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Give rows, columns and numbers of the holes in which there is no label."""
        taken = np.bincount(self.hole, labels[self.rows, self.columns] > 0)
        empty = taken[self.hole] == 0
        return self.rows[empty], self.columns[empty], self.numbers[empty]


def joined(holes: Sequence[Holes]) -> Holes:
    """Put the holes of several windows together; there is at least one window."""
    first = np.cumsum([0, *(int(one.hole.max(initial=-1)) + 1 for one in holes)])
    hole = np.concatenate([one.hole + start for one, start in zip(holes, first, strict=False)])
    rows, columns, numbers = (
        np.concatenate([getattr(one, name) for one in holes]) for name in ("rows", "columns", "numbers")
    )
    return Holes(rows, columns, numbers, hole)


def find_holes(labels: np.ndarray) -> Holes:
    """Find background that one nucleus alone surrounds.

    Parameters
    ----------
    labels : (h, w) int32, not negative

    Returns
    -------
    Holes
    """
    count, parts = cv2.connectedComponents((labels == 0).view(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    closed = np.ones(count, bool)
    for side in (parts[0], parts[-1], parts[:, 0], parts[:, -1]):
        closed[side] = False
    closed[0] = False
    if not closed.any():
        nothing = np.zeros(0, np.int64)
        return Holes(nothing, nothing, nothing.astype(np.int32), nothing)
    # A hole touches no border of the image, so its pixels have all four neighbours.
    rows, columns = np.nonzero(look_up(closed, parts))
    hole = parts[rows, columns]
    low, high = np.full(count, np.iinfo(np.int32).max, np.int32), np.zeros(count, np.int32)
    for row, column in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        beside = labels[rows + row, columns + column]
        rim = beside > 0
        np.minimum.at(low, hole[rim], beside[rim])
        np.maximum.at(high, hole[rim], beside[rim])
    alone = (low == high)[hole]
    return Holes(rows[alone], columns[alone], low[hole[alone]], hole[alone])


def fill_holes(labels: np.ndarray) -> np.ndarray:
    """Give background that one nucleus alone surrounds to that nucleus.

    What several nuclei enclose together, a lumen or a gap between them, stays background.

    Parameters
    ----------
    labels : (h, w) int32, not negative

    Returns
    -------
    (h, w) int32
    """
    holes = find_holes(labels)
    filled = labels.copy()
    filled[holes.rows, holes.columns] = holes.numbers
    return filled
