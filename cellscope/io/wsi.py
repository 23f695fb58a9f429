"""Whole slides: images too large to hold, read region by region from the level that has the resolution wanted.

Tiled and pyramidal TIFF, OME-TIFF and Aperio's SVS are read by tifffile, tile by tile, so that a corrupt tile costs one
tile; everything else (Hamamatsu's NDPI and VMS, MIRAX, Leica, Ventana, Philips, ...) by OpenSlide. A `Slide` holds no
pixels and no open file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cellscope.io.choice import Choice
from cellscope.io.convert import Refused
from cellscope.io.open import MAX_PIXELS, OPENSLIDE_SUFFIXES, START, TIFF_MAGIC, one_line_errors, open_regular
from cellscope.io.scene import Scene
from cellscope.io.text import one_line
from cellscope.io.wsi_reader import SlideReader

SLIDE_SUFFIXES: frozenset[str] = OPENSLIDE_SUFFIXES | {".svs", ".ndpi", ".scn", ".bif", ".svslide"}
"""Suffixes of files that only `open_slide` understands, lower case; it reads pyramidal ``.tif`` as well."""

SLACK = 1.05
"""A level counts as fine enough for a resolution up to this factor coarser."""


@dataclass(frozen=True)
class Level:
    """One resolution of a slide.

    Attributes
    ----------
    height, width : int
    downsample : float
        Level-0 pixels per pixel of this level.
    """

    height: int
    width: int
    downsample: float


@dataclass(frozen=True, eq=False)
class Slide:
    """A whole slide: an image to the engine, without its pixels.

    Attributes
    ----------
    path : Path
    levels : tuple of Level
        Finest first; at least one.
    pixel_size_um : float or None
        Of level 0.
    name : str
    warnings : tuple of str
    backend : str
        ``tifffile`` or ``openslide``.
    series : int
        Which of a TIFF's series it is.
    taken : str
        What was taken of the file.
    pixel_size_given : bool
        By the user, not by the file.
    """

    path: Path
    levels: tuple[Level, ...]
    pixel_size_um: float | None = None
    name: str = "slide"
    warnings: tuple[str, ...] = ()
    backend: str = "tifffile"
    series: int = 0
    taken: str = ""
    pixel_size_given: bool = False
    assumed_um: float | None = None

    @property
    def height(self) -> int:
        """Rows of level 0."""
        return self.levels[0].height

    @property
    def width(self) -> int:
        """Columns of level 0."""
        return self.levels[0].width

    @property
    def channels(self) -> int:
        """Red, green, blue."""
        return 3

    def level_for(self, downsample: float) -> int:
        """Return the coarsest level that is fine enough for a downsampling of level 0, or level 0."""
        fine = [number for number, level in enumerate(self.levels) if level.downsample <= downsample * SLACK]
        return max(fine, key=lambda number: self.levels[number].downsample, default=0)

    def open(self) -> SlideReader:
        """Open the file for reading.

        Raises
        ------
        InputError
            It cannot be opened any more.
        """
        with one_line_errors(self.path):
            reader, _ = _reader(self.path, self.backend, self.series)
            return reader

    def thumbnail(self, longest: int) -> np.ndarray:
        """Return the whole slide at a small size.

        Parameters
        ----------
        longest : int
            Longest side of the result, pixels; a smaller slide is not enlarged.

        Returns
        -------
        (h, w, 3) uint8
            Averaged over what each of its pixels covers. Read in bands, so the slide's size does not matter.
        """
        import cv2

        factor = max(1.0, max(self.height, self.width) / longest)
        height, width = (max(round(side / factor), 1) for side in (self.height, self.width))
        number = self.level_for(factor)
        level = self.levels[number]
        picture = np.empty((height, width, 3), np.uint8)
        rows = max(1, int(2**24 / max(level.width, 1) * height / level.height))
        reader = self.open()
        try:
            for first in range(0, height, rows):
                last = min(first + rows, height)
                top, bottom = (round(edge * level.height / height) for edge in (first, last))
                band = reader.read(number, top, 0, max(bottom - top, 1), level.width)
                picture[first:last] = cv2.resize(band, (width, last - first), interpolation=cv2.INTER_AREA)
        finally:
            reader.close()
        return picture


def open_slide(
    path: str | os.PathLike[str],
    *,
    choice: Choice = Choice(),  # noqa: B008  frozen
    largest: int = MAX_PIXELS,
) -> Slide | None:
    """Look at a file: the slide it holds, or None for an ordinary image.

    A slide is a scanner's file (SVS, NDPI, MRXS, ...), a TIFF with more than one resolution, or a colour TIFF of more
    than `largest` pixels.

    Parameters
    ----------
    path : path
    choice : Choice
        Which scene, of a file with several.
    largest : int
        Most pixels of an ordinary image.

    Raises
    ------
    InputError
        One line for what is wrong with a slide: damaged, of an unknown kind, not in 8-bit colour, or OpenSlide is
        needed and not installed.
    """
    path = Path(path)
    with one_line_errors(path):
        with open_regular(path) as handle:
            start = handle.read(START)
        tiff = start[:4] in TIFF_MAGIC
        backend = "openslide" if path.suffix.lower() in SLIDE_SUFFIXES or start[128:] == b"DICM" else None
        series, taken, size = 0, "", None
        warnings: tuple[str, ...] = ()
        if tiff:
            from cellscope.io.wsi_tiff import choose_series, slide_backend

            chosen = choose_series(path, choice)
            backend = None if chosen.stack else slide_backend(path, largest, chosen.series)
            series, taken, size = chosen.series, chosen.taken, chosen.pixel_size_um
            warnings = chosen.warnings
        if backend is None:
            return None
        reader, slide = _reader(path, backend, series)
        reader.close()
        return replace(
            slide,
            series=series,
            taken=taken or f"{slide.width} x {slide.height} pixels",
            pixel_size_um=slide.pixel_size_um or size,
            warnings=(*warnings, *slide.warnings),
        )


def slide_scene(path: Path) -> tuple[str, Scene] | None:
    """Look at a slide that is no TIFF: the scanner's name for its format, and level 0; None for any other file.

    Raises
    ------
    Refused
        It is damaged or of an unknown kind.
    """
    if path.is_dir():
        return None
    with open_regular(path) as handle:
        start = handle.read(START)
    if start[:4] in TIFF_MAGIC or not (path.suffix.lower() in OPENSLIDE_SUFFIXES or start[128:] == b"DICM"):
        return None
    from cellscope.io.wsi_openslide import OpenSlideSlide

    reader = OpenSlideSlide(path)
    try:
        levels = _levels(reader.shapes)
        size = reader.pixel_size_um
        sizes = (("Y", levels[0].height), ("X", levels[0].width), ("S", 3))
        said = f"{reader.vendor} metadata" if size else ""
        name = f"{len(levels)} levels" if len(levels) > 1 else ""
        scene = Scene(sizes, "uint8", name, pixel_size_um=size, pixel_size_from=said, warnings=reader.warnings)
        return f"whole slide ({reader.vendor})", scene
    finally:
        reader.close()


def _reader(path: Path, backend: str, series: int = 0) -> tuple[SlideReader, Slide]:
    if backend == "tifffile":
        from cellscope.io.wsi_tiff import TiffSlide

        tiff = TiffSlide(path, series)
        return tiff, Slide(path, _levels(tiff.shapes), None, one_line(path.name), backend=backend)
    from cellscope.io.wsi_openslide import OpenSlideSlide

    other = OpenSlideSlide(path)
    return other, Slide(path, _levels(other.shapes), other.pixel_size_um, one_line(path.name), other.warnings, backend)


def _levels(shapes: Sequence[tuple[int, int]]) -> tuple[Level, ...]:
    height, width = shapes[0]
    if min(height, width) < 1:
        raise Refused("its first level has no pixels; the file is damaged")
    levels = [Level(h, w, (height / h + width / w) / 2) for h, w in shapes if h > 0 and w > 0]
    return tuple(sorted(levels, key=lambda level: level.downsample))
