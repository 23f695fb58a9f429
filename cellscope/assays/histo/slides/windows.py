"""Where pixels lie: on the input's own grid, on the model's, and in the windows between them.

All of it follows from the image's shape, its pixel size and the model: never from batch, worker or shard. Model pixel
``i`` has its centre at ``(i + 0.5) / scale`` input pixels, so nothing shifts on the way there and back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from cellscope.assays.histo.nuclei.augmentation import augmented, average
from cellscope.imaging.tiling import Grid, join_windows, windows_within
from cellscope.io.image import Image
from cellscope.io.wsi import Slide

#: A tile whose colours each span no more than 8 of 255 levels is empty glass, or what a program filled in around a
#: cut-out; the palest nucleus differs from its surroundings by tens.
_EVEN = 8.5 / 255
#: An image whose scale is nearer to the model's than this is taken as it is: networks are trained with more jitter.
NEAR = 0.05


class Box(NamedTuple):
    """Rows and columns, half open."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    def grown(self, margin: int, shape: tuple[int, int] | None = None) -> Box:
        """Give the box with a margin on every side, kept inside an image of `shape` if that is given."""
        top, left, bottom, right = self.top - margin, self.left - margin, self.bottom + margin, self.right + margin
        if shape is None:
            return Box(top, left, bottom, right)
        return Box(max(top, 0), max(left, 0), min(bottom, shape[0]), min(right, shape[1]))


@dataclass(frozen=True)
class Tiling:
    """How a network takes an image.

    Attributes
    ----------
    core : int
        Side of what it gives, pixels.
    margin : int
        Context it needs on each side.
    step : int
        Sides of its input must be multiples of this; smaller cores are cut at the image's end. 0: the core is fixed.
    """

    core: int
    margin: int
    step: int = 0

    def grid(self, shape: tuple[int, int], shift: tuple[int, int] = (0, 0)) -> Grid:
        """Lay the grid of tiles over (height, width) pixels, shifted up and left by (rows, columns)."""
        return Grid(shape, self.core, self.margin, shift, self.step)


@dataclass(frozen=True)
class Frame:
    """A window of an image at the model's scale.

    Attributes
    ----------
    shape : (height, width) of the whole image, input pixels
    scale : float
        Model pixels per input pixel.
    window : Box
        The region in which nuclei are segmented, model pixels.
    core : Box
        The part of it whose nuclei are this window's own.
    """

    shape: tuple[int, int]
    scale: float
    window: Box
    core: Box

    @classmethod
    def whole(cls, shape: tuple[int, int], scale: float) -> Frame:
        """Frame an image in one window."""
        box = Box(0, 0, *model_shape(shape, scale))
        return cls(shape, scale, box, box)

    @property
    def inputs(self) -> Box:
        """The input pixels whose centres lie in the window."""
        return self.input_box(self.window)

    def input_box(self, box: Box) -> Box:
        """Give the input pixels whose centres lie in a box of model pixels."""
        edges = [math.ceil(edge / self.scale - 0.5 - 1e-9) for edge in box]
        return Box(max(edges[0], 0), max(edges[1], 0), min(edges[2], self.shape[0]), min(edges[3], self.shape[1]))


def working_um(image: Image | Slide) -> float | None:
    """Give the pixel size that scales go by: the stated one or, where that is not believed, the image's own."""
    return image.pixel_size_um or image.assumed_um


def scale_between(pixel_size_um: float | None, model_um: float | None) -> float:
    """Give the model pixels per input pixel: 1 where a size is not known or both are nearly the same."""
    if not pixel_size_um or not model_um:
        return 1.0
    scale = pixel_size_um / model_um
    return 1.0 if abs(scale - 1) <= NEAR else scale


def model_shape(shape: tuple[int, int], scale: float) -> tuple[int, int]:
    """Give the size of an image at the model's scale; every input pixel's centre lies inside."""
    height, width = (max(math.ceil(side * scale - 1e-9), 1) for side in shape)
    return height, width


def resample(pixels: np.ndarray, scale: float, box: Box, origin: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Give a box of model pixels of an image; beyond the image its border repeats.

    Parameters
    ----------
    pixels : (H, W) or (H, W, C) uint8
    scale : float
        Model pixels per pixel of `pixels`. Below 1 the image is smoothed first.
    box : Box
        Model pixels, may reach outside.
    origin : (row, column)
        Where the first pixel of `pixels` lies, in its own pixels from the image's origin.
    """
    height, width = pixels.shape[:2]
    if scale == 1 and all(float(value).is_integer() for value in origin):
        rows = np.clip(np.arange(box.top, box.bottom) - int(origin[0]), 0, height - 1)
        columns = np.clip(np.arange(box.left, box.right) - int(origin[1]), 0, width - 1)
        return np.ascontiguousarray(pixels[rows[:, None], columns[None, :]])
    if scale < 1:
        sigma = 0.5 * math.sqrt(1 / scale**2 - 1)
        pixels = cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    step = 1 / scale
    matrix = np.array(
        [
            [step, 0.0, (box.left + 0.5) * step - 0.5 - origin[1]],
            [0.0, step, (box.top + 0.5) * step - 0.5 - origin[0]],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(pixels, matrix, box.shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)


def labels_at_input(labels: np.ndarray, frame: Frame) -> np.ndarray:
    """Give labels of a window at the input's own pixels.

    Where the model's pixels are larger, each takes the one its centre lies in. Where they are smaller it takes the
    label of two of the four at its quarter points: one would move every nucleus by half a pixel at a scale of two.

    Parameters
    ----------
    labels : (h, w) int, not negative
        At the model's scale, of ``frame.window``.
    frame : Frame

    Returns
    -------
    array of ``frame.inputs.shape``, dtype of `labels`
    """
    if frame.scale == 1:
        return labels
    points = (0.25, 0.75) if frame.scale > 1 else (0.5,)
    at = [_places(labels.shape, frame, point) for point in points]
    samples = np.sort(np.stack([labels[rows[:, None], columns[None, :]] for rows, _ in at for _, columns in at]), 0)
    if len(samples) == 1:
        return np.ascontiguousarray(samples[0])
    return np.where((samples[0] > 0) & (samples[0] == samples[1]), samples[0], samples[2])


def _places(shape: tuple[int, ...], frame: Frame, point: float) -> tuple[np.ndarray, np.ndarray]:
    """Give the rows and columns of a window that points of the input's pixels lie in (0.5: their centres)."""
    box, window = frame.inputs, frame.window
    rows, columns = (
        np.clip(np.floor((np.arange(first, last) + point) * frame.scale).astype(int) - start, 0, size - 1)
        for first, last, start, size in (
            (box.top, box.bottom, window.top, shape[0]),
            (box.left, box.right, window.left, shape[1]),
        )
    )
    return rows, columns


def cut_tiles(
    pixels: np.ndarray, scale: float, box: Box, grid: Grid, *, origin: tuple[float, float] = (0.0, 0.0)
) -> list[np.ndarray]:
    """Cut the network's inputs for a box of model pixels.

    Parameters
    ----------
    pixels, scale, origin
        As for `resample`.
    box : Box
        Model pixels.
    grid : Grid
        Of the box's shape.

    Returns
    -------
    list of (3, h, w) float32 in [0, 1]
        Row by row.
    """
    top, left, bottom, right = grid.reach
    reach = Box(box.top + top, box.left + left, box.top + bottom, box.left + right)
    tiles = windows_within(resample(pixels, scale, reach, origin), grid)
    return [np.ascontiguousarray(tile.transpose(2, 0, 1), np.float32) / np.float32(255) for tile in tiles]


def is_even(tile: np.ndarray) -> bool:
    """Tell whether a tile, (3, h, w) in [0, 1], shows nothing at all."""
    return bool((np.ptp(tile, axis=(1, 2)) < _EVEN).all())


def cut_views(tiles: list[np.ndarray], wanted: list[bool], views: int) -> list[np.ndarray]:
    """Give the augmented copies of the tiles that are wanted."""
    return [view for tile, here in zip(tiles, wanted, strict=True) if here for view in augmented(tile, views)]


def join_views(outputs: list[np.ndarray], wanted: list[bool], views: int, grid: Grid) -> np.ndarray:
    """Put the network's outputs for `cut_views` together; zeros where no tile was wanted.

    Parameters
    ----------
    outputs : list of (core, core, K) arrays
        At least one.
    wanted : list of bool
        For every core of the grid.
    views : int
        Outputs per tile.
    grid : Grid

    Returns
    -------
    (h, w, K), dtype of the outputs
    """
    given = (average(outputs[first : first + views]) for first in range(0, len(outputs), views))
    nothing = np.zeros_like(outputs[0][:1, :1])
    cores = zip(wanted, grid.cores, strict=True)
    return join_windows(
        (
            next(given) if here else np.broadcast_to(nothing, (height, width, nothing.shape[-1]))
            for here, (_, _, height, width) in cores
        ),
        grid,
    )
