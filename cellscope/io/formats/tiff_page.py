"""One page of a TIFF, decoded by tifffile and imagecodecs: grey or colour, and its alpha.

tifffile fills strips and tiles that are missing with zeros, and libjpeg fills what a cut stream lacks with grey. An
image that is quietly half empty would be measured as if it were whole, so everything is checked before decoding: all
strips or tiles are there, lie inside the file, and JPEG ones end with their end marker.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from tifffile import TiffFrame, TiffPage

from cellscope.io.convert import Decoded, Refused, check_size, cmyk_to_rgb, stretch_bits
from cellscope.io.formats.jpeg import jpeg_header

# what matters of tifffile's log becomes an error or a warning here; the rest would be noise on the user's terminal
logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)

MINISWHITE, MINISBLACK, RGB, PALETTE, MASK, SEPARATED, YCBCR = range(7)
JPEG_COMPRESSIONS = (6, 7, 34892, 33007)
PHOTOMETRICS = {8: "CIELab", 9: "ICCLab", 10: "ITULab", 32803: "colour filter array", 32844: "LogL", 32845: "LogLuv"}
REDUCED_OR_MASK = 0b101
ASSOCIATED, UNASSOCIATED = 1, 2
ALPHA = (ASSOCIATED, UNASSOCIATED)
LARGEST_TILE = 2**28


def tag_number(page: TiffPage, tag: int, default: int) -> int:
    """Return a tag's value where it is one whole number."""
    found = page.tags.get(tag)
    value = default if found is None else found.value
    return int(value) if isinstance(value, (int, np.integer)) else default


def is_reduced(page: TiffPage) -> bool:
    """Tell a thumbnail, a level of a pyramid or a mask by the page's own words."""
    return bool(tag_number(page, 254, 0) & REDUCED_OR_MASK)


def alpha_samples(page: TiffPage) -> list[int]:
    """Return which samples of a page are alpha."""
    first = page.samplesperpixel - len(page.extrasamples)
    return [first + place for place, kind in enumerate(page.extrasamples) if int(kind) in ALPHA]


def is_colour(page: TiffPage) -> bool:
    """Tell whether a page's pixels become red, green and blue."""
    return int(page.photometric) in (RGB, YCBCR, PALETTE, SEPARATED)


def sample_count(page: TiffPage) -> int:
    """Count the channels a page's pixels become, alpha not among them."""
    if is_colour(page):
        return 3
    return max(page.samplesperpixel - len(alpha_samples(page)), 1)


def decode_page(page: TiffPage | TiffFrame, offset: int | None = None, *, stored: bool = False) -> Decoded:
    """Decode one page.

    Parameters
    ----------
    page : TiffPage or TiffFrame
    offset : int, optional
        Where its pixels lie, for planes without a page of their own (large ImageJ stacks, MetaMorph).
    stored : bool
        Give the samples as they are stored, whatever the page says of colours.

    Returns
    -------
    Decoded
        Grey (H, W); several channels (H, W, C); colour (H, W, 3), palette and CMYK as RGB; MINISWHITE inverted.

    Raises
    ------
    Refused
        Whatever is wrong with the page.
    """
    key = page.keyframe
    if not isinstance(key, TiffPage):
        raise Refused("the TIFF holds a page that cannot be read on its own")
    check_kind(key, stored=stored)
    if offset is None:
        _check_segments(page, key)
        array = page.asarray(squeeze=False)
    else:
        array = _plane_at(key, offset)
    if stored:
        return Decoded(_samples(key, array), tag_number(key, 274, 1))
    pixels, alpha = _colours(key, _samples(key, array))
    premultiplied = any(int(kind) == ASSOCIATED for kind in key.extrasamples)
    return Decoded(pixels, tag_number(key, 274, 1), None, _doubts(key), alpha, premultiplied)


def check_page(page: TiffPage, max_pixels: int) -> None:
    """Refuse, before decoding, what is too large, of an unsupported kind, or not wholly there."""
    check_size(page.imagewidth, page.imagelength, max(page.samplesperpixel, 1), max_pixels)
    check_kind(page)
    _check_segments(page, page)


def check_kind(page: TiffPage, *, stored: bool = False) -> None:
    """Refuse, before decoding, pixels of a kind that is not supported."""
    if page.imagedepth > 1:
        raise Refused(f"the page is a volume of {page.imagedepth} slices; save the slices as pages")
    if page.is_tiled and page.tilewidth * page.tilelength > LARGEST_TILE:
        raise Refused(f"its tiles of {page.tilewidth} x {page.tilelength} pixels are above the limit of {LARGEST_TILE}")
    if page.dtype is None or page.dtype.kind not in "buif":
        kind = page.dtype or f"{page.bitspersample} bits, sample format {page.sampleformat}"
        raise Refused(f"pixels of type {kind} are not supported; save the image as 8-bit, 16-bit or 32-bit float")
    if stored:
        return
    photometric = int(page.photometric)
    if photometric > YCBCR or (photometric == YCBCR and page.compression not in JPEG_COMPRESSIONS):
        name = PHOTOMETRICS.get(photometric, "YCbCr without JPEG" if photometric == YCBCR else str(photometric))
        raise Refused(f"the colour space {name} is not supported; save the image as RGB or grey")
    if photometric in (RGB, YCBCR) and page.samplesperpixel < 3:
        raise Refused(f"it calls itself RGB but holds {page.samplesperpixel} channels; the TIFF is damaged")


def _check_segments(page: TiffPage | TiffFrame, key: TiffPage) -> None:
    handle = page.parent.filehandle
    kind = "tiles" if key.is_tiled else "strips"
    offsets, counts = page.dataoffsets, page.databytecounts
    if key.is_contiguous:
        missing = offsets[0] + key.nbytes - handle.size
        if missing > 0:
            raise Refused(f"the file is cut short: {missing} of {key.nbytes} bytes are missing; copy it again")
        return
    expected = int(np.prod(key.chunked))
    segments = list(zip(offsets, counts, strict=False))[:expected]
    whole = sum(offset > 0 and size > 0 and offset + size <= handle.size for offset, size in segments)
    if whole < expected:
        raise Refused(f"the file is cut short or incomplete: {expected - whole} of its {expected} {kind} are missing")
    if key.compression in JPEG_COMPRESSIONS[1:]:
        limit = key.tilewidth * key.tilelength if key.is_tiled else key.imagewidth * key.imagelength
        for offset, size in segments:
            handle.seek(offset)
            header = jpeg_header(handle.read(size))
            if header.width * header.height > 2 * max(limit, 2**16):
                size_text = f"{header.width} x {header.height} pixels"
                raise Refused(f"one of its JPEG {kind} claims to be {size_text}; the file is damaged")


def _plane_at(key: TiffPage, offset: int) -> np.ndarray:
    handle = key.parent.filehandle
    if offset + key.nbytes > handle.size:
        missing = offset + key.nbytes - handle.size
        raise Refused(f"the file is cut short: {missing} of {key.nbytes} bytes are missing; copy it again")
    dtype = np.dtype(key.dtype).newbyteorder(key.parent.byteorder)
    return handle.read_array(dtype, key.nbytes // dtype.itemsize, offset)


def _samples(key: TiffPage, array: np.ndarray) -> np.ndarray:
    """Shape decoded values as (H, W, samples), or (H, W) for a single sample; a view where possible."""
    planes, _, height, width, samples = key.shaped  # (separate planes, depth, height, width, samples together)
    array = array.reshape(key.shaped)
    if planes > 1:
        return np.ascontiguousarray(np.moveaxis(array[:, 0, :, :, 0], 0, -1))
    return array.reshape(height, width) if samples == 1 else array.reshape(height, width, samples)


def _colours(page: TiffPage, array: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Turn stored samples into grey or RGB by the page's photometric interpretation; alpha apart."""
    samples = 1 if array.ndim == 2 else array.shape[2]
    photometric = int(page.photometric)
    alphas = [place for place in alpha_samples(page) if 0 < place < samples]
    alpha = array[..., alphas[0]] if alphas else None
    if photometric in (RGB, YCBCR):
        return _eight_bits(page, array[..., :3]), alpha
    if photometric == PALETTE:
        return _palette(page, array if samples == 1 else array[..., 0]), alpha
    if photometric == SEPARATED:
        if samples < 4 or array.dtype not in (np.uint8, np.uint16) or page.bitspersample not in (8, 16):
            raise Refused(f"CMYK with {samples} channels of {page.bitspersample} bits is not supported; save it as RGB")
        return cmyk_to_rgb(array[..., :4]), alpha
    if photometric == MINISWHITE and array.dtype.kind in "bu":
        array = ~array if array.dtype.kind == "b" else array.dtype.type(2**page.bitspersample - 1) - array
    if alphas:
        keep = [place for place in range(samples) if place not in alphas]
        array = array[..., keep[0]] if len(keep) == 1 else array[..., keep]
    return _eight_bits(page, array), alpha


def _eight_bits(page: TiffPage, array: np.ndarray) -> np.ndarray:
    return stretch_bits(array, page.bitspersample) if array.dtype == np.uint8 and page.bitspersample < 8 else array


def _palette(page: TiffPage, indices: np.ndarray) -> np.ndarray:
    colours: Any = page.colormap
    if colours is None or indices.dtype.kind not in "bu":
        raise Refused("it is a palette image without a usable palette; save it as RGB")
    table = np.asarray(colours).T
    if table.max(initial=0) > 255:  # a palette is 16 bits by the standard; some writers fill in 8-bit values
        table = table >> 8
    indices = indices.view(np.uint8) if indices.dtype.kind == "b" else indices
    if int(indices.max()) >= len(table):
        raise Refused(f"it uses colour {int(indices.max())} of a palette of {len(table)}; the TIFF is damaged")
    return table.astype(np.uint8)[indices]


def _doubts(page: TiffPage) -> tuple[str, ...]:
    if int(page.photometric) == MINISWHITE and page.dtype is not None and page.dtype.kind in "if":
        return ("the file says that low values are bright; signed or float pixels are left as they are",)
    return ()
