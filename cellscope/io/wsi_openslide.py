"""Slides that OpenSlide reads: Hamamatsu's NDPI and VMS, MIRAX, Leica, Ventana, Philips and others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cellscope.io.convert import Refused
from cellscope.io.pixel_size import MAX_ANISOTROPY, STATED_RANGE_UM
from cellscope.io.text import one_line, reason
from cellscope.io.wsi_reader import BLANK

#: After a failure the region is read again in squares of this side, so that little more than the fault is lost.
SQUARE = 256


class OpenSlideSlide:
    """An open slide (see `cellscope.io.wsi_reader.SlideReader`).

    Raises
    ------
    Refused
        OpenSlide is not installed, does not know the format, or finds the file damaged.
    """

    def __init__(self, path: Path):
        self._path = path
        self._slide = _open(path)
        self.shapes = [(height, width) for width, height in self._slide.level_dimensions]
        self._downsamples = [float(value) for value in self._slide.level_downsamples]
        self.pixel_size_um, self.warnings = _pixel_size(dict(self._slide.properties))
        self.vendor = str(self._slide.properties.get("openslide.vendor", "unknown"))
        self.corrupt: set[tuple[int, int, int]] = set()

    def read(self, level: int, top: int, left: int, height: int, width: int) -> np.ndarray:
        """Return (height, width, 3) uint8 of a level; blank outside the slide and where it is corrupt."""
        try:
            return self._region(level, top, left, height, width)
        except Exception as error:
            if not _is_slide_error(error):
                raise
            self._reopen()
        region = np.full((height, width, 3), BLANK, np.uint8)
        for row in range(top - top % SQUARE, top + height, SQUARE):
            for column in range(left - left % SQUARE, left + width, SQUARE):
                y, x = max(row, top), max(column, left)
                bottom, right = min(row + SQUARE, top + height), min(column + SQUARE, left + width)
                try:
                    square = self._region(level, y, x, bottom - y, right - x)
                except Exception as error:
                    if not _is_slide_error(error):
                        raise
                    self.corrupt.add((level, row, column))
                    self._reopen()
                else:
                    region[y - top : bottom - top, x - left : right - left] = square
        return region

    def _region(self, level: int, top: int, left: int, height: int, width: int) -> np.ndarray:
        factor = self._downsamples[level]
        place = (round(left * factor), round(top * factor))
        pixels = np.asarray(self._slide.read_region(place, level, (width, height)))
        alpha = pixels[..., 3:].astype(np.uint16)
        colour = pixels[..., :3].astype(np.uint16)
        # What was never scanned is transparent: white, like the rest of the glass.
        return ((colour * alpha + BLANK * (255 - alpha) + 127) // 255).astype(np.uint8)

    def _reopen(self) -> None:
        # After an error OpenSlide refuses everything that follows.
        self._slide.close()
        self._slide = _open(self._path)

    def close(self) -> None:
        """Let go of the file."""
        self._slide.close()


def _open(path: Path) -> Any:
    try:
        import openslide
    except (ImportError, OSError):
        raise Refused("this kind of slide needs OpenSlide: pip install openslide-python openslide-bin") from None
    try:
        return openslide.OpenSlide(path)
    except openslide.OpenSlideUnsupportedFormatError:
        folder = path.with_suffix("")
        if path.suffix.lower() == ".mrxs" and not folder.is_dir():
            raise Refused(
                f"the folder {one_line(folder.name)} with its pixels is not beside it; copy it, too"
            ) from None
        raise Refused("OpenSlide does not know this kind of slide; export it as a pyramidal TIFF") from None
    except openslide.OpenSlideError as error:
        raise Refused(
            f"the slide is damaged or incomplete ({reason(error)}); copy it again with all that belongs to it"
        ) from None


def _is_slide_error(error: Exception) -> bool:
    import openslide

    return isinstance(error, openslide.OpenSlideError)


def _pixel_size(properties: dict[str, str]) -> tuple[float | None, tuple[str, ...]]:
    sizes = []
    for axis in "xy":
        try:
            sizes.append(float(properties.get(f"openslide.mpp-{axis}", "")))
        except ValueError:
            return None, ()
    if not all(STATED_RANGE_UM[0] <= size <= STATED_RANGE_UM[1] for size in sizes):
        return None, ()
    if max(sizes) > min(sizes) * (1 + MAX_ANISOTROPY):
        return None, (f"pixels are not square ({sizes[0]:.6g} x {sizes[1]:.6g} um): no pixel size is used",)
    return sum(sizes) / 2, ()
