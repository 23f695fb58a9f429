"""TIFF, BigTIFF, OME-TIFF and ImageJ TIFF, decoded by tifffile and imagecodecs.

tifffile fills strips and tiles that are missing with zeros, and libjpeg fills what a cut stream lacks with grey. An
image that is quietly half empty would be measured as if it were whole, so everything is checked before decoding: all
strips or tiles are there, lie inside the file, and JPEG ones end with their end marker.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from tifffile import TiffFile, TiffFileError, TiffPage

from cellscope.io import pixel_size
from cellscope.io.convert import Decoded, Refused, check_size, cmyk_to_rgb, stretch_bits
from cellscope.io.jpeg import jpeg_header

# what matters of tifffile's log becomes an error or a warning here; the rest would be noise on the user's terminal
logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)

MINISWHITE, MINISBLACK, RGB, PALETTE, MASK, SEPARATED, YCBCR = range(7)
JPEG_COMPRESSIONS = (6, 7, 34892, 33007)
PHOTOMETRICS = {8: "CIELab", 9: "ICCLab", 10: "ITULab", 32803: "colour filter array", 32844: "LogL", 32845: "LogLuv"}
REDUCED_OR_MASK = 0b101
ALPHA = (1, 2)
MAX_INSPECTED_PAGES = 256


@dataclass(frozen=True)
class _Choice:
    page: TiffPage
    plane: int  # planes behind the page that have no page of their own (ImageJ stacks above 4 GB)
    warnings: tuple[str, ...]


def decode_tiff(handle: BinaryIO, page: int | None, max_pixels: int) -> Decoded:
    """Decode one page of a TIFF.

    Parameters
    ----------
    handle : binary file
        Open at its start.
    page : int or None
        Which page, from 0. None: the first that is not a thumbnail or a mask, with a warning when there are more.
    max_pixels : int
        Most pixels to decode.

    Returns
    -------
    Decoded
        Grey (H, W) or (H, W, C); colour (H, W, 3); alpha dropped; palette and CMYK as RGB; MINISWHITE inverted.

    Raises
    ------
    Refused
        Whatever is wrong with the file.
    """
    try:
        with TiffFile(handle) as tif:
            choice = _choose(tif, page)
            check_page(choice.page, handle, tif.filehandle.size, max_pixels)
            pixels = _colours(choice.page, _samples(tif, choice))
            size, notes = _pixel_size(tif, choice.page)
            orientation = _number(choice.page, 274, 1)
            return Decoded(pixels, orientation, size, choice.warnings + notes + _doubts(choice.page))
    except TiffFileError as error:
        raise Refused(f"the TIFF is damaged or cut short ({error}); copy or export it again") from error


def tiff_pages(handle: BinaryIO) -> int:
    """How many pages `decode_tiff` can be asked for.

    Raises
    ------
    Refused
        Not a readable TIFF.
    """
    try:
        with TiffFile(handle) as tif:
            return max(_count(tif))
    except TiffFileError as error:
        raise Refused(f"the TIFF is damaged or cut short ({error}); copy or export it again") from error


def _count(tif: TiffFile) -> tuple[int, int]:
    """Pages of the file, and planes that ImageJ wrote behind a single page (0 if it did not)."""
    count = len(tif.pages)
    if count == 0:
        raise Refused("the TIFF holds no image; it is damaged or cut short")
    return count, _imagej_planes(_page(tif, 0)) if count == 1 else 0


def _choose(tif: TiffFile, page: int | None) -> _Choice:
    count, hidden = _count(tif)
    first = _page(tif, 0)
    total = max(count, hidden)
    if page is not None:
        if not 0 <= page < total:
            raise Refused(f"page {page} does not exist; the file holds {total}, counted from 0")
        return _Choice(first, page, ()) if hidden else _Choice(_page(tif, page), 0, ())
    if hidden or count > MAX_INSPECTED_PAGES:
        return _Choice(first, 0, _more_pages(total, 0))
    full = [i for i in range(count) if not _number(_page(tif, i), 254, 0) & REDUCED_OR_MASK] or [0]
    return _Choice(_page(tif, full[0]), 0, _more_pages(len(full), full[0]))


def _page(tif: TiffFile, index: int) -> TiffPage:
    page = tif.pages[index]
    if not isinstance(page, TiffPage):
        raise Refused("the TIFF holds a page that cannot be read on its own")
    return page


def _more_pages(count: int, index: int) -> tuple[str, ...]:
    if count < 2:
        return ()
    return (f"the file holds {count} pages (channels, slices or time points); only page {index} was read",)


def _imagej_planes(page: TiffPage) -> int:
    """How many planes ImageJ wrote behind a single page: it stores stacks above 4 GB that way."""
    fields = dict(line.partition("=")[::2] for line in page.description.splitlines())
    images = fields.get("images", "")
    if "ImageJ" not in fields or not images.isdecimal() or not page.is_contiguous:
        return 0
    end = page.dataoffsets[0] + int(images) * page.nbytes
    return int(images) if int(images) > 1 and end <= page.parent.filehandle.size else 0


def check_page(page: TiffPage, handle: BinaryIO, file_size: int, max_pixels: int) -> None:
    """Refuse, before decoding, what is too large, of an unsupported kind, or not wholly there."""
    width, height, samples = page.imagewidth, page.imagelength, page.samplesperpixel
    check_size(width, height, max(samples, 1), max_pixels)
    if page.imagedepth > 1:
        raise Refused(f"the page is a volume of {page.imagedepth} slices; save the slices as pages")
    if page.is_tiled and page.tilewidth * page.tilelength > max(max_pixels, 2**24):
        raise Refused(f"its tiles of {page.tilewidth} x {page.tilelength} pixels are above the limit of {max_pixels}")
    if page.dtype is None or page.dtype.kind not in "buif":
        kind = page.dtype or f"{page.bitspersample} bits, sample format {page.sampleformat}"
        raise Refused(f"pixels of type {kind} are not supported; save the image as 8-bit, 16-bit or 32-bit float")
    photometric = int(page.photometric)
    if photometric > YCBCR or (photometric == YCBCR and page.compression not in JPEG_COMPRESSIONS):
        name = PHOTOMETRICS.get(photometric, "YCbCr without JPEG" if photometric == YCBCR else str(photometric))
        raise Refused(f"the colour space {name} is not supported; save the image as RGB or grey")
    _check_segments(page, handle, file_size, max_pixels)


def _check_segments(page: TiffPage, handle: BinaryIO, file_size: int, max_pixels: int) -> None:
    kind = "tiles" if page.is_tiled else "strips"
    if page.is_contiguous:
        missing = page.dataoffsets[0] + page.nbytes - file_size
        if missing > 0:
            raise Refused(f"the file is cut short: {missing} of {page.nbytes} bytes are missing; copy it again")
        return
    expected = int(np.prod(page.chunked))
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=False))[:expected]
    whole = sum(offset > 0 and size > 0 and offset + size <= file_size for offset, size in segments)
    if whole < expected:
        raise Refused(f"the file is cut short or incomplete: {expected - whole} of its {expected} {kind} are missing")
    if page.compression in JPEG_COMPRESSIONS[1:]:
        limit = page.tilewidth * page.tilelength if page.is_tiled else page.imagewidth * page.imagelength
        for offset, size in segments:
            handle.seek(offset)
            header = jpeg_header(handle.read(size))
            if header.width * header.height > 2 * max(limit, 2**16):
                size_text = f"{header.width} x {header.height} pixels"
                raise Refused(f"one of its JPEG {kind} claims to be {size_text}; the file is damaged")


def _samples(tif: TiffFile, choice: _Choice) -> np.ndarray:
    """Decode to (H, W, samples), or (H, W) for a single sample; a view of the decoder's array where possible."""
    page = choice.page
    if choice.plane:
        handle = tif.filehandle
        dtype = np.dtype(page.dtype).newbyteorder(tif.byteorder)
        offset = page.dataoffsets[0] + choice.plane * page.nbytes
        array = handle.read_array(dtype, page.nbytes // dtype.itemsize, offset).reshape(page.shaped)
    else:
        array = page.asarray(squeeze=False)
    planes, _, height, width, samples = page.shaped  # (separate planes, depth, height, width, samples together)
    if planes > 1:
        return np.ascontiguousarray(np.moveaxis(array[:, 0, :, :, 0], 0, -1))
    return array.reshape(height, width) if samples == 1 else array.reshape(height, width, samples)


def _colours(page: TiffPage, array: np.ndarray) -> np.ndarray:
    """Turn stored samples into grey or RGB by the page's photometric interpretation."""
    samples = 1 if array.ndim == 2 else array.shape[2]
    photometric = int(page.photometric)
    if photometric in (RGB, YCBCR):
        if samples < 3:
            raise Refused(f"it calls itself RGB but holds {samples} channels; the TIFF is damaged")
        return _eight_bits(page, array[..., :3])
    if photometric == PALETTE:
        return _palette(page, array if samples == 1 else array[..., 0])
    if photometric == SEPARATED:
        if samples < 4 or array.dtype not in (np.uint8, np.uint16) or page.bitspersample not in (8, 16):
            raise Refused(f"CMYK with {samples} channels of {page.bitspersample} bits is not supported; save it as RGB")
        return cmyk_to_rgb(array)
    if photometric == MINISWHITE and array.dtype.kind in "bu":
        array = ~array if array.dtype.kind == "b" else array.dtype.type(2**page.bitspersample - 1) - array
    if samples > 1:
        alphas = [samples - len(page.extrasamples) + i for i, kind in enumerate(page.extrasamples) if kind in ALPHA]
        keep = [i for i in range(samples) if i not in alphas] or [0]
        array = array if len(keep) == samples else array[..., keep]
    return _eight_bits(page, array)


def _eight_bits(page: TiffPage, array: np.ndarray) -> np.ndarray:
    return stretch_bits(array, page.bitspersample) if array.dtype == np.uint8 and page.bitspersample < 8 else array


def _palette(page: TiffPage, indices: np.ndarray) -> np.ndarray:
    colours = page.colormap
    if colours is None or indices.dtype.kind not in "bu":
        raise Refused("it is a palette image without a usable palette; save it as RGB")
    table = np.asarray(colours).T
    if table.max(initial=0) > 255:  # a palette is 16 bits by the standard; some writers fill in 8-bit values
        table = table >> 8
    indices = indices.view(np.uint8) if indices.dtype.kind == "b" else indices
    if int(indices.max()) >= len(table):
        raise Refused(f"it uses colour {int(indices.max())} of a palette of {len(table)}; the TIFF is damaged")
    return table.astype(np.uint8)[indices]


def _number(page: TiffPage, tag: int, default: int) -> int:
    found = page.tags.get(tag)
    value = default if found is None else found.value
    return int(value) if isinstance(value, (int, np.integer)) else default


def tiff_pixel_size(tif: TiffFile) -> pixel_size.PixelSize:
    """Return the pixel size in micrometres that a file's first page states, and doubts about it."""
    return _pixel_size(tif, _page(tif, 0))


def _pixel_size(tif: TiffFile, page: TiffPage) -> pixel_size.PixelSize:
    x, y = _rational(page, 282), _rational(page, 283)
    description = page.description or ""
    first = _page(tif, 0).description or ""  # OME and ImageJ describe the whole file in the first page
    size, warnings = pixel_size.from_ome(first, page.imagewidth, page.imagelength)
    if size is None:
        for text in dict.fromkeys((description, first)):
            size, notes = pixel_size.from_imagej(text, x, y)
            warnings += notes
            if size is not None:
                return size, warnings
        unit = {2: pixel_size.UM_PER_INCH, 3: pixel_size.UM_PER_CM}.get(_number(page, 296, 2))
        if unit is not None and not warnings:
            return pixel_size.from_resolution(x, y, unit)
    return size, warnings


def _rational(page: TiffPage, tag: int) -> float:
    found = page.tags.get(tag)
    value = () if found is None else found.value
    if not isinstance(value, tuple) or len(value) != 2 or not value[1]:
        return 0.0
    return float(value[0]) / float(value[1])


def _doubts(page: TiffPage) -> tuple[str, ...]:
    if int(page.photometric) == MINISWHITE and page.dtype is not None and page.dtype.kind in "if":
        return ("the file says that low values are bright; signed or float pixels are left as they are",)
    return ()
