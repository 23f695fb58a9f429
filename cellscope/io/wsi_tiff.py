"""Slides in TIFF, read tile by tile with tifffile: generic pyramids, OME-TIFF, Aperio's SVS."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tifffile import TiffFile, TiffFileError, TiffPage

from cellscope.io.choice import Choice, Wants
from cellscope.io.convert import Refused
from cellscope.io.formats.tiff import TiffSource
from cellscope.io.formats.tiff_open import open_tiff
from cellscope.io.formats.tiff_page import RGB, YCBCR
from cellscope.io.planes import told
from cellscope.io.select import select
from cellscope.io.wsi_reader import BLANK

#: Scanners' own TIFFs that OpenSlide reads better: tiles out of order, several regions, colours of their own.
_OPENSLIDE = ("is_ndpi", "is_scn", "is_bif", "is_philips")
#: JPEG 2000 in YCbCr, as some Aperio scanners write it: only OpenSlide turns the colours back.
_YCBCR_JPEG2000 = 33003
#: The same by the names that `TiffSource` gives them, and those whose pages are not what tifffile makes of them.
_SCANNERS = ("Hamamatsu NDPI", "Leica SCN", "Ventana BIF")
_REDUCED = 1
#: Pixels of a tile or strip that is unpacked at once.
_LARGEST_TILE = 2**27


@dataclass(frozen=True)
class Chosen:
    """Which image of a TIFF is the slide.

    Attributes
    ----------
    series : int
        tifffile's number.
    stack : bool
        It has slices, time points or channels: no slide.
    taken : str
    pixel_size_um : float or None
    warnings : tuple of str
    """

    series: int = 0
    stack: bool = False
    taken: str = ""
    pixel_size_um: float | None = None
    warnings: tuple[str, ...] = ()


def choose_series(path: Path, choice: Choice) -> Chosen:
    """Choose among a TIFF's images.

    Raises
    ------
    Unchosen
        The scene named is not there.
    """
    try:
        with closing(TiffSource(path)) as source:
            if source.format in _SCANNERS:
                return Chosen()
            chosen = select(source.scenes, Choice(scene=choice.scene), Wants.ANY)
            scene = source.scenes[chosen.scene]
            said = told(scene, chosen, len(source.scenes))
            series, size = source.series(chosen.scene), scene.pixel_size_um
            return Chosen(series, bool(scene.many), said, size, chosen.warnings + scene.warnings)
    except (Refused, TiffFileError, IndexError, ValueError, KeyError):  # what comes next says what is wrong
        return Chosen()


def slide_backend(path: Path, largest: int, series: int = 0) -> str | None:
    """Tell who reads a TIFF as a slide: ``tifffile``, ``openslide``, or None where it is an ordinary image.

    Raises
    ------
    Refused
        A scanner's file that cannot be parsed.
    """
    try:
        with open_tiff(path) as tif:
            if any(getattr(tif, name) for name in _OPENSLIDE):
                return "openslide"
            pages = _level_pages(tif, series)
            first = pages[0]
            if first.compression == _YCBCR_JPEG2000 and tif.is_svs:
                return "openslide"
            large = first.imagewidth * first.imagelength > largest
            return "tifffile" if tif.is_svs or ((len(pages) > 1 or large) and _colour(first)) else None
    except (TiffFileError, Refused, IndexError, ValueError):
        if path.suffix.lower() in (".tif", ".tiff", ".btf", ".tf8"):
            return None  # the reader of ordinary images says what is wrong with it
        raise Refused("the slide is damaged or cut short; copy or export it again") from None


def _level_pages(tif: TiffFile, series: int) -> list[TiffPage]:
    """Return the pages of all resolutions, finest first."""
    levels = [level.keyframe for level in tif.series[series].levels]
    first = levels[0]
    if len(levels) == 1 and not tif.is_svs and series == 0:  # pyramids whose pages tifffile does not join
        for page in list(tif.pages)[1:64]:
            if not isinstance(page, TiffPage) or not page.subfiletype & _REDUCED or not _colour(page):
                continue
            ratios = first.imagelength / max(page.imagelength, 1), first.imagewidth / max(page.imagewidth, 1)
            if min(ratios) > 1 and max(ratios) < 1.05 * min(ratios):
                levels.append(page)
    pages = [page for page in levels if isinstance(page, TiffPage)] or [first]
    return sorted(pages, key=lambda page: -page.imagelength)


def _colour(page: TiffPage) -> bool:
    return int(page.photometric) in (RGB, YCBCR) and page.samplesperpixel in (3, 4) and page.dtype == np.uint8


class TiffSlide:
    """An open TIFF slide (see `cellscope.io.wsi_reader.SlideReader`).

    Raises
    ------
    Refused
        Not 8-bit colour, colours in separate planes, or no tile is there.
    """

    def __init__(self, path: Path, series: int = 0):
        self._tif = open_tiff(path)
        try:
            self._pages = _level_pages(self._tif, series)
            for page in self._pages:
                if not _colour(page):
                    raise Refused("the slide is not in 8-bit colour; export it as RGB")
                if page.planarconfig != 1:
                    raise Refused("the slide keeps its colours in separate planes; export it with interleaved RGB")
                if min(page.chunks[-3:-1]) < 1:
                    raise Refused("its tiles have no pixels: the file is damaged; copy or export it again")
                if page.chunks[-3] * page.chunks[-2] > _LARGEST_TILE and not page.is_contiguous:
                    raise Refused("the slide is compressed in one piece, too large to unpack; save it as a tiled TIFF")
            self.shapes = [(page.imagelength, page.imagewidth) for page in self._pages]
        except BaseException:
            self._tif.close()
            raise
        self.corrupt: set[tuple[int, int, int]] = set()

    def read(self, level: int, top: int, left: int, height: int, width: int) -> np.ndarray:
        """Return (height, width, 3) uint8 of a level; blank outside the slide and in corrupt tiles."""
        page = self._pages[level]
        region = np.full((height, width, 3), BLANK, np.uint8)
        if page.is_contiguous and not page.is_tiled:
            return self._rows(page, region, top, left)
        tile_height, tile_width = page.chunks[-3], page.chunks[-2]
        across = -(-page.imagewidth // tile_width)
        rows = range(max(top, 0) // tile_height, -(-min(top + height, page.imagelength) // tile_height))
        columns = range(max(left, 0) // tile_width, -(-min(left + width, page.imagewidth) // tile_width))
        for row in rows:
            for column in columns:
                tile = self._tile(level, row * across + column)
                if tile is None:
                    continue
                y, x = row * tile_height - top, column * tile_width - left
                bottom = min(y + tile.shape[0], height, page.imagelength - top)
                right = min(x + tile.shape[1], width, page.imagewidth - left)
                if bottom > max(y, 0) and right > max(x, 0):
                    region[max(y, 0) : bottom, max(x, 0) : right] = tile[
                        max(-y, 0) : bottom - y, max(-x, 0) : right - x, :3
                    ]
        return region

    def _rows(self, page: TiffPage, region: np.ndarray, top: int, left: int) -> np.ndarray:
        """Fill a region from a page that is not compressed: only its rows are read."""
        first, last = max(top, 0), min(top + region.shape[0], page.imagelength)
        here, there = max(left, 0), min(left + region.shape[1], page.imagewidth)
        if first >= last or here >= there:
            return region
        samples = page.samplesperpixel
        offset = page.dataoffsets[0] + first * page.imagewidth * samples
        count = (last - first) * page.imagewidth * samples
        whole = min(count, max(self._tif.filehandle.size - offset, 0)) // (page.imagewidth * samples)
        if whole < last - first:  # the file is cut short
            self.corrupt.add((self._pages.index(page), first + whole, 0))
        rows = self._tif.filehandle.read_array(np.dtype(np.uint8), whole * page.imagewidth * samples, offset)
        rows = rows.reshape(whole, page.imagewidth, samples)
        region[first - top : first - top + whole, here - left : there - left] = rows[:, here:there, :3]
        return region

    def _tile(self, level: int, index: int) -> np.ndarray | None:
        """Decode a tile or strip, (h, w, samples); None where there is nothing to see."""
        page = self._pages[level]
        if index < len(page.databytecounts) and not page.databytecounts[index]:
            return None  # never scanned
        try:
            handle = self._tif.filehandle
            handle.seek(page.dataoffsets[index])
            data = handle.read(page.databytecounts[index])
            if len(data) < page.databytecounts[index]:
                raise ValueError("the file ends before the tile does")
            segment, _, shape = page.decode(data, index, jpegtables=page.jpegtables, jpegheader=page.jpegheader)
            tile = np.asarray(segment).reshape(shape)[0]
        except MemoryError:
            raise
        except Exception:  # decoders fail in more ways than can be listed; each is a fault of this tile
            tile_height, tile_width = page.chunks[-3], page.chunks[-2]
            row, column = divmod(index, -(-page.imagewidth // tile_width))
            self.corrupt.add((level, row * tile_height, column * tile_width))
            return None
        return tile if tile.shape[-1] >= 3 else None

    def close(self) -> None:
        """Let go of the file."""
        self._tif.close()
