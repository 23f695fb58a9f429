"""Mirrored and turned views of a tile: what a network says about each, brought back and averaged.

A nucleus looks the same from every side, but a network trained for a while does not quite say the same: the mean of
several views is better than any of them, at the price of as many passes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cellscope.assays.histo.nuclei.maps import HORIZONTAL, VERTICAL

#: (transpose, then reverse rows, then reverse columns). The first 2 are half turns, the first 4 quarter turns, the
#: others mirrored.
VIEWS = (
    (False, False, False), (False, True, True), (True, False, True), (True, True, False),
    (False, False, True), (False, True, False), (True, False, False), (True, True, True),
)  # fmt: skip


def seen(tile: np.ndarray, count: int) -> list[np.ndarray]:
    """Give the views of a tile.

    Parameters
    ----------
    tile : (channels, h, w)
    count : int
        1 to 8.

    Returns
    -------
    list of `count` arrays, (channels, h, w) or (channels, w, h)
        The tile itself first.
    """
    return [np.ascontiguousarray(_turn(tile, view, (1, 2))) for view in VIEWS[:count]]


def _turn(array: np.ndarray, view: tuple[bool, bool, bool], axes: tuple[int, int]) -> np.ndarray:
    transpose, rows, columns = view
    if transpose:
        array = np.swapaxes(array, *axes)
    return np.flip(array, tuple(axis for axis, turned in zip(axes, (rows, columns), strict=True) if turned))


def average(maps: Sequence[np.ndarray]) -> np.ndarray:
    """Bring the maps of a tile's views back to the tile and average them.

    Distances change with the view: a column counted from the right has the other sign, and transposing makes rows of
    columns.

    Parameters
    ----------
    maps : sequence of (h, w, 3 + K) or (w, h, 3 + K) float16
        In the order of `seen`.

    Returns
    -------
    (h, w, 3 + K) float16
    """
    if len(maps) == 1:
        return maps[0]
    total = np.zeros(maps[0].shape, np.float32)
    for each, (transpose, rows, columns) in zip(maps, VIEWS, strict=False):
        back = np.flip(each, tuple(axis for axis, turned in ((0, rows), (1, columns)) if turned))
        back = np.swapaxes(back, 0, 1) if transpose else back
        # The view's own axes, then where they lie in the tile.
        places = (VERTICAL, HORIZONTAL) if transpose else (HORIZONTAL, VERTICAL)
        for channel, place, turned in zip((HORIZONTAL, VERTICAL), places, (columns, rows), strict=True):
            total[..., place] += -back[..., channel] if turned else back[..., channel]
        total[..., :HORIZONTAL] += back[..., :HORIZONTAL]
        total[..., VERTICAL + 1 :] += back[..., VERTICAL + 1 :]
    return (total / len(maps)).astype(np.float16)
