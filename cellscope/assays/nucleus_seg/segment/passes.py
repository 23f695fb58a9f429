"""How an image goes through the network: at which scale, mirrored or not, in one piece or on the grid.

All of it follows from the image and the options alone, so that results do not depend on batch, worker or shard.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cellscope.imaging.scaling import resize_to, scaled_shape
from cellscope.imaging.symmetries import IDENTITY, Symmetry
from cellscope.imaging.tiling import Grid, cut_windows, join_windows

#: Images up to this many pixels in each direction, at the network's scale, go through in one piece.
LARGEST_WHOLE = 640
CORE, MARGIN = 512, 64
#: Sides of what enters the network are multiples of this.
MULTIPLE = 32
#: The grid of the check lies half a core and an odd number of pixels away, so that no core border is shared.
SHIFT = (CORE // 2 + 21, CORE // 2 - 27)
#: Smallest and largest factor by which an image is scaled for the network.
LIMITS = (0.02, 6.0)
#: Factors of the scales averaged: 1 scale, 2, 3.
SCALES: dict[int, tuple[float, ...]] = {1: (1.0,), 2: (1.0, 0.75), 3: (1.0, 0.75, 1.33)}
#: Copies of the image averaged, mirrored along columns, rows, both.
VIEWS: dict[int, tuple[Symmetry, ...]] = {
    1: (IDENTITY,),
    2: (IDENTITY, Symmetry(columns=True)),
    4: (IDENTITY, Symmetry(columns=True), Symmetry(rows=True), Symmetry(rows=True, columns=True)),
}


@dataclass(frozen=True)
class Pass:
    """One way of an image through the network.

    Attributes
    ----------
    shape : (height, width) of the scaled image
    symmetry : Symmetry
        How the image is mirrored.
    grid : Grid or None
        None for an image in one piece.
    """

    shape: tuple[int, int]
    symmetry: Symmetry
    grid: Grid | None

    @property
    def items(self) -> int:
        """Number of network inputs it takes."""
        return 1 if self.grid is None else len(self.grid.cores)


def plan_passes(
    shape: tuple[int, ...], factor: float, *, views: int = 1, scales: int = 1, shift: bool = False
) -> list[Pass]:
    """Plan the passes of an image.

    Parameters
    ----------
    shape : (height, width, ...) of the image
    factor : float
        From the image's to the network's scale.
    views, scales : int
        How many of each to average.
    shift : bool
        Use the shifted grid, also for an image that would fit in one piece.
    """
    passes = []
    for relative in SCALES[scales]:
        size = scaled_shape(shape, factor * relative)
        grid = None
        if shift:
            grid = Grid(size, CORE, MARGIN, SHIFT)
        elif max(size) > LARGEST_WHOLE:
            grid = Grid(size, CORE, MARGIN)
        passes += [Pass(size, symmetry, grid) for symmetry in VIEWS[views]]
    return passes


def as_input(rgb: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 -> (3, h, w) float32 in [0, 1]."""
    return np.ascontiguousarray(rgb.transpose(2, 0, 1), np.float32) / 255


def cut_pass(rgb: np.ndarray, way: Pass) -> list[np.ndarray]:
    """Scale, cut and mirror.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
    way : Pass

    Returns
    -------
    list of (3, h, w) float32 in [0, 1], sides multiples of `MULTIPLE`
    """
    scaled = resize_to(rgb, way.shape)
    if way.grid is None:
        bottom, right = -way.shape[0] % MULTIPLE, -way.shape[1] % MULTIPLE
        windows = [cv2.copyMakeBorder(scaled, 0, bottom, 0, right, cv2.BORDER_REPLICATE)]
    else:
        windows = cut_windows(scaled, way.grid)
    return [as_input(way.symmetry.apply(window)) for window in windows]


def join_pass(outputs: list[np.ndarray], way: Pass) -> np.ndarray:
    """Undo `cut_pass` for the network's outputs.

    Parameters
    ----------
    outputs : list of (h, w, K) arrays
    way : Pass

    Returns
    -------
    (height, width, K) of ``way.shape``
    """
    windows = [way.symmetry.undo(output) for output in outputs]
    if way.grid is None:
        return windows[0][: way.shape[0], : way.shape[1]]
    return join_windows(windows, way.grid)


def average_passes(outputs: list[np.ndarray], passes: list[Pass]) -> np.ndarray:
    """Join every pass and average them at the scale of the first.

    Parameters
    ----------
    outputs : list of (h, w, K) uint8
        Of all passes, in order.
    passes : list of Pass

    Returns
    -------
    (height, width, K) uint8
    """
    if len(passes) == 1:
        return join_pass(outputs, passes[0])
    total: np.ndarray | None = None
    start = 0
    for way in passes:
        joined = resize_to(join_pass(outputs[start : start + way.items], way), passes[0].shape)
        start += way.items
        total = joined.astype(np.uint16) if total is None else total + joined
    assert total is not None
    return ((total + len(passes) // 2) // len(passes)).astype(np.uint8)
