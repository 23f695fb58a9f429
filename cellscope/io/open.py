"""Open an image file of any kind that is known; the kind is told from the content, not from the suffix.

What is not read is refused by name, with the way out. A format's reader, and the library it stands on, load when such
a file comes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cellscope.errors import InputError
from cellscope.io.choice import Unchosen
from cellscope.io.convert import Refused
from cellscope.io.scene import Source
from cellscope.io.text import one_line

MAX_PIXELS = 2**28
"""Default limit of one image: 268 million pixels, for example 16384 x 16384."""

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
START = 16

REFUSED = (
    (lambda start: start[:4] == b"GIF8", "is a GIF, which holds at most 256 colours; save it as TIFF or PNG"),
    (lambda start: start[:4] == b"%PDF", "is a PDF; export the picture in it as TIFF or PNG"),
    (lambda start: start[:2] == b"PK", "is a ZIP archive; unpack it first"),
)
"""What is recognised and not read: test of the first bytes, words that follow the file's name."""


def open_source(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Source:
    """Open a file. Close what comes back; use it within `one_line_errors`.

    Raises
    ------
    Refused
        What is wrong with the file, in words that follow its name.
    """
    path = Path(path)
    if path.is_dir() and (found := _folder_reader(path)):
        return found(path, max_pixels)
    with open_regular(path) as handle:
        start = handle.read(START)
    reader = _reader(path, start)
    return reader(path, max_pixels)


def _folder_reader(path: Path) -> Callable[[Path, int], Source] | None:
    return None


def _reader(path: Path, start: bytes) -> Callable[[Path, int], Source]:
    """Choose a reader by the first bytes."""
    if start[:4] in TIFF_MAGIC:
        return _tiff
    if start[:8] == b"\x89PNG\r\n\x1a\n":
        return _single("PNG", "raster", "decode_png")
    if start[:3] == b"\xff\xd8\xff":
        return _single("JPEG", "raster", "decode_jpeg")
    if start[:2] == b"BM":
        return _single("BMP", "raster", "decode_bmp")
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return _single("WebP", "raster", "decode_webp")
    if start[8:12] == b"AVI " or (start[4:8] == b"ftyp" and path.suffix.lower() not in (".jp2", ".heic", ".avif")):
        return _video
    for known, words in REFUSED:
        if known(start):
            raise Refused(words)
    raise Refused(f"is not an image of a known kind (it starts with {start[:8]!r}); docs/inputs.md lists those read")


def _tiff(path: Path, max_pixels: int) -> Source:
    from cellscope.io.formats.tiff import TiffSource

    return TiffSource(path)


def _video(path: Path, max_pixels: int) -> Source:
    from cellscope.io.formats.video import VideoSource

    return VideoSource(path)


def _single(format: str, module: str, decoder: str) -> Callable[[Path, int], Source]:
    def reader(path: Path, max_pixels: int) -> Source:
        import importlib

        from cellscope.io.formats.single import SingleSource

        decode = getattr(importlib.import_module(f"cellscope.io.formats.{module}"), decoder)
        return SingleSource(path, format, decode, max_pixels)

    return reader


@contextmanager
def one_line_errors(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises into one InputError that names the file."""
    shown = one_line(path)
    try:
        yield
    except InputError as error:  # from Image, which knows the name but not the folder
        raise InputError(f"{shown}{str(error).removeprefix(one_line(path.name))}") from error
    except (Refused, Unchosen) as error:
        raise InputError(f"{shown}: {one_line(str(error))}") from error
    except MemoryError as error:
        raise InputError(f"{shown}: there is not enough memory to read it") from error
    except OSError as error:
        raise InputError(f"{shown}: cannot be read ({one_line(error.strerror or str(error))})") from error
    except Exception as error:  # decoders fail in more ways than can be listed; each is a fault of this file
        reason = one_line(str(error) or type(error).__name__)[:200]
        raise InputError(f"{shown}: cannot be decoded ({reason}); the file is damaged or of an unusual kind") from error


@contextmanager
def open_regular(path: Path) -> Iterator:
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
        handle = path.open("rb")
    except PermissionError as error:
        raise Refused("permission to read the file is denied") from error
    with handle:
        yield handle
