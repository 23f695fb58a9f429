"""Read an image file of any supported kind into an `Image`, or say in one line why not.

The kind is told from the content, not from the suffix. Nothing is decoded before the size has been checked against
`max_pixels`, and a file that is not wholly there is an error, never a half-empty image.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from cellscope.errors import InputError
from cellscope.io.convert import Decoded, Refused, standard_type, upright
from cellscope.io.image import Image
from cellscope.io.read_raster import PNG_MAGIC, decode_bmp, decode_jpeg, decode_png, decode_webp
from cellscope.io.read_tiff import decode_tiff, tiff_pages
from cellscope.io.text import one_line

SUFFIXES: frozenset[str] = frozenset({".tif", ".tiff", ".btf", ".tf8", ".png", ".jpg", ".jpeg", ".bmp", ".webp"})
"""Suffixes of the files `read` understands, lower case."""

MAX_PIXELS = 2**28
"""Default limit of `read`: 268 million pixels, for example 16384 x 16384."""

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HEADER_ALLOWANCE = 2**26
_BYTES_PER_PIXEL = 16


def read(path: str | os.PathLike[str], *, page: int | None = None, max_pixels: int = MAX_PIXELS) -> Image:
    """Read one image.

    Parameters
    ----------
    path : path
        A TIFF (also BigTIFF, OME, ImageJ), PNG, JPEG, BMP or WebP file.
    page : int, optional
        Page of a multi-page TIFF, from 0. Without it the first page that is not a thumbnail is read, and a warning
        tells when there are more.
    max_pixels : int
        Largest number of pixels to decode; checked before decoding.

    Returns
    -------
    Image
        Grey as C = 1, colour as C = 3 (palette and CMYK converted, alpha dropped, EXIF orientation applied), as uint8,
        uint16 or float32 by the rule of `cellscope.io.convert`; pixel size by the rule of `cellscope.io.pixel_size`.

    Raises
    ------
    InputError
        One line with the file's name for everything that can be wrong with it: missing, a folder, not readable, empty,
        cut short, damaged, not an image, too small, too large, NaN or infinite values, an unsupported type.
    """
    path = Path(path)
    with one_line_errors(path):
        with open_regular(path) as handle:
            decoded = _decode(handle, page, max_pixels)
        pixels, warnings = standard_type(decoded.pixels)
        pixels = np.ascontiguousarray(upright(pixels if pixels.ndim == 3 else pixels[..., None], decoded.orientation))
        return Image(pixels, decoded.pixel_size_um, path.name, decoded.warnings + warnings)


def count_pages(path: str | os.PathLike[str]) -> int:
    """How many pages `read` can be asked for: 1 for all but multi-page TIFF; no pixel is decoded.

    Raises
    ------
    InputError
        As for `read`.
    """
    path = Path(path)
    with one_line_errors(path), open_regular(path) as handle:
        magic = handle.read(4)
        handle.seek(0)
        return tiff_pages(handle) if magic in _TIFF_MAGIC else 1


@contextmanager
def one_line_errors(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises into one InputError that names the file."""
    shown = one_line(path)
    try:
        yield
    except InputError as error:  # from Image, which knows the name but not the folder
        raise InputError(f"{shown}{str(error).removeprefix(one_line(path.name))}") from error
    except Refused as error:
        raise InputError(f"{shown}: {one_line(str(error))}") from error
    except MemoryError as error:
        raise InputError(f"{shown}: there is not enough memory to read it") from error
    except OSError as error:
        raise InputError(f"{shown}: cannot be read ({one_line(error.strerror or str(error))})") from error
    except Exception as error:  # decoders fail in more ways than can be listed; each is a fault of this file
        reason = one_line(str(error) or type(error).__name__)[:200]
        raise InputError(f"{shown}: cannot be decoded ({reason}); the file is damaged or of an unusual kind") from error


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file that is not empty; never blocks on a pipe or a device."""
    try:
        facts = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Refused("the file does not exist") from error
    except ValueError as error:  # a null byte in the name
        raise Refused("the file name is not valid") from error
    if stat.S_ISDIR(facts.st_mode):
        raise Refused("is a folder, not an image")
    if not stat.S_ISREG(facts.st_mode):
        raise Refused("is not a regular file")
    if facts.st_size == 0:
        raise Refused("the file is empty (0 bytes); copy or export it again")
    try:
        return path.open("rb")
    except PermissionError as error:
        raise Refused("permission to read the file is denied") from error


def _decode(handle: BinaryIO, page: int | None, max_pixels: int) -> Decoded:
    magic = handle.read(12)
    size = handle.seek(0, os.SEEK_END)
    handle.seek(0)
    if magic[:4] in _TIFF_MAGIC:
        return decode_tiff(handle, page, max_pixels)
    if magic[:8] == PNG_MAGIC:
        decoder = decode_png
    elif magic[:3] == b"\xff\xd8\xff":
        decoder = decode_jpeg
    elif magic[:2] == b"BM":
        decoder = decode_bmp
    elif magic[:4] == b"RIFF" and magic[8:] == b"WEBP":
        decoder = decode_webp
    else:
        raise Refused(f"is not a TIFF, PNG, JPEG, BMP or WebP image (it starts with {magic[:8]!r})")
    if page not in (None, 0):
        raise Refused(f"page {page} does not exist; the file holds 1, counted from 0")
    if size > _BYTES_PER_PIXEL * max_pixels + _HEADER_ALLOWANCE:  # these decoders hold the whole file in memory
        raise Refused(f"the file of {size} bytes cannot be an image below the limit of {max_pixels} pixels")
    return decoder(handle.read(), max_pixels)
