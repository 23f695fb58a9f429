"""A large image: its pixels, region by region, and the windows it is cut into."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cellscope.assays.histo.slides.windows import Box, Frame
from cellscope.imaging.smear import to_rgb8
from cellscope.io.image import Image
from cellscope.io.wsi import Level, Slide
from cellscope.io.wsi_reader import SlideReader


class Pixels:
    """An image's pixels, region by region, from a slide or from memory. One thread at a time."""

    def __init__(self, image: Image | Slide):
        self.slide = image if isinstance(image, Slide) else None
        self.array = None if isinstance(image, Slide) else to_rgb8(image.pixels, image.name)
        self.levels = self.slide.levels if self.slide else (Level(image.height, image.width, 1.0),)
        self._reader: SlideReader | None = None

    @property
    def corrupt(self) -> set[tuple[int, int, int]]:
        """Tiles that could not be read so far: level, row, column."""
        return set() if self._reader is None else self._reader.corrupt

    def region(self, level: int, box: Box) -> tuple[np.ndarray, Box]:
        """Give a box of a level cut to what there is, (h, w, 3) uint8, and the box it came to."""
        inside = box.grown(0, (self.levels[level].height, self.levels[level].width))
        if self.array is not None:
            return np.ascontiguousarray(self.array[inside.top : inside.bottom, inside.left : inside.right]), inside
        if self._reader is None:
            assert self.slide is not None
            self._reader = self.slide.open()
        return self._reader.read(level, inside.top, inside.left, *inside.shape), inside

    def picture(self, longest: int) -> np.ndarray:
        """Give the whole image, made small."""
        if self.slide is not None:
            return self.slide.thumbnail(longest)
        assert self.array is not None
        return shrink(self.array, longest)

    def close(self) -> None:
        """Let go of the file; it is opened again when needed."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None


@dataclass(frozen=True, eq=False)
class Plan:
    """The windows of a large image.

    Attributes
    ----------
    frames : list of Frame
        Row by row; windows without tissue, or outside the regions, are left out.
    level, level_scale : int, float
        What is read, and the model pixels per pixel of it.
    pixels : Pixels
    picture : (h, w, 3) uint8
        The whole, at most `PICTURE` long.
    mask : (h, w) bool or None
        Where nuclei are segmented, at any size; None for everywhere.
    tissue : (h, w) bool or None
        The tissue, whatever the regions; None for everywhere.
    area : float
        Of that, input pixels.
    otsu : float or None
        The baseline's threshold.
    """

    frames: list[Frame]
    level: int
    level_scale: float
    pixels: Pixels
    picture: np.ndarray
    mask: np.ndarray | None
    tissue: np.ndarray | None
    area: float
    otsu: float | None


def shrink(rgb: np.ndarray, longest: int) -> np.ndarray:
    """Average an image down to a longest side."""
    factor = longest / max(rgb.shape[:2])
    if factor >= 1:
        return rgb
    height, width = (max(round(side * factor), 1) for side in rgb.shape[:2])
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
