"""Test-time augmentation: the maps of mirrored and rotated copies of a tile, transformed back and averaged.

A network does not say quite the same of a tile and of its mirror image. The mean over several is better than any of
them, at the price of as many passes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cellscope.assays.histo.nuclei.maps import HORIZONTAL, VERTICAL
from cellscope.imaging.symmetries import SYMMETRIES


def augmented(tile: np.ndarray, count: int) -> list[np.ndarray]:
    """Give the first `count` of `SYMMETRIES` of a tile.

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
    return [np.ascontiguousarray(symmetry.apply(tile, (1, 2))) for symmetry in SYMMETRIES[:count]]


def average(maps: Sequence[np.ndarray]) -> np.ndarray:
    """Turn the maps of a tile's copies back and average them.

    Distances turn too: a column counted from the right has the other sign, and transposing makes rows of columns.

    Parameters
    ----------
    maps : sequence of (h, w, 3 + K) or (w, h, 3 + K) float16
        In the order of `augmented`.

    Returns
    -------
    (h, w, 3 + K) float16
    """
    if len(maps) == 1:
        return maps[0]
    total = np.zeros(maps[0].shape, np.float32)
    for each, symmetry in zip(maps, SYMMETRIES, strict=False):
        back = symmetry.undo(each)
        # The copy's own axes, then where they lie in the tile.
        places = (VERTICAL, HORIZONTAL) if symmetry.transpose else (HORIZONTAL, VERTICAL)
        reversed_ = (symmetry.columns, symmetry.rows)
        for channel, place, turned in zip((HORIZONTAL, VERTICAL), places, reversed_, strict=True):
            total[..., place] += -back[..., channel] if turned else back[..., channel]
        total[..., :HORIZONTAL] += back[..., :HORIZONTAL]
        total[..., VERTICAL + 1 :] += back[..., VERTICAL + 1 :]
    return (total / len(maps)).astype(np.float16)
