"""Open an image file of any kind that is known; the kind is told from the content, not from the suffix.

What is not read is refused by name, with the way out. A format's reader, and the library it stands on, load when such
a file comes.
"""

from __future__ import annotations

import importlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cellscope.errors import InputError
from cellscope.io.choice import Unchosen
from cellscope.io.convert import Refused
from cellscope.io.scene import Source
from cellscope.io.text import one_line, reason

MAX_PIXELS = 2**28
"""Default limit of one image: 268 million pixels, for example 16384 x 16384."""

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
OPENSLIDE_SUFFIXES = frozenset({".mrxs", ".vms", ".vmu"})
"""Whole slides that are no TIFF: MIRAX, whose first file looks like a JPEG, and Hamamatsu's older ones."""
START = 132
"""Bytes by which a kind is told."""
_OLE = b"\xd0\xcf\x11\xe0"
_EXPORT = "export it as OME-TIFF"

Test = Callable[[bytes, str], bool]
"""``test(first bytes, suffix)`` -> whether a file is of the kind."""

READERS: tuple[tuple[Test, str, str], ...] = (
    (lambda start, suffix: start[:4] in TIFF_MAGIC and suffix != ".vsi", "tiff", "TiffSource"),
    (lambda start, suffix: start[:4] == b"\xda\xce\xbe\x0a" or suffix == ".nd2", "nd2", "Nd2Source"),
    (lambda start, _: start[:10] == b"ZISRAWFILE", "czi", "CziSource"),
    (lambda start, suffix: start[:4] == b"\x70\0\0\0" and suffix in (".lif", ".lof"), "lif", "LifSource"),
    (lambda start, suffix: suffix in (".oib", ".oif"), "oif", "OifSource"),
    (lambda start, _: start[:16] == b"OLYMPUSRAWFORMAT", "oir", "OirSource"),
    (
        lambda start, suffix: start[8:12] == b"AVI " or (start[4:8] == b"ftyp" and suffix not in (".heic", ".avif")),
        "video",
        "VideoSource",
    ),
)
"""Modules of `cellscope.io.formats` and what they hold; the first that fits reads a file."""

PICTURES: tuple[tuple[Callable[[bytes], bool], str, str, str], ...] = (
    (lambda start: start[:8] == b"\x89PNG\r\n\x1a\n", "PNG", "raster", "decode_png"),
    (lambda start: start[:3] == b"\xff\xd8\xff", "JPEG", "raster", "decode_jpeg"),
    (lambda start: start[:2] == b"BM", "BMP", "raster", "decode_bmp"),
    (lambda start: start[:4] == b"RIFF" and start[8:12] == b"WEBP", "WebP", "raster", "decode_webp"),
    (
        lambda start: start[4:8] == b"jP  " or start[:4] == b"\xff\x4f\xff\x51",
        "JPEG 2000",
        "jpeg2000",
        "decode_jpeg2000",
    ),
)
"""Kinds of one picture: test, name, module, decoder."""

NOT_PICTURES = OPENSLIDE_SUFFIXES | {".nd2"}
"""Suffixes of files that begin as a picture and are none: older ND2 as JPEG 2000, MIRAX as JPEG."""

REFUSED: tuple[tuple[Test, str], ...] = (
    (lambda start, _: start[:4] == b"GIF8", "is a GIF, which holds at most 256 colours; save it as TIFF or PNG"),
    (lambda start, suffix: suffix == ".vsi", f"is an Olympus VSI, which is not read; {_EXPORT} in cellSens or QuPath"),
    (lambda start, _: start[:4] == b"SIS\0", f"is part of an Olympus VSI, which is not read; {_EXPORT} in cellSens"),
    (
        lambda start, suffix: start[:4] == _OLE and suffix == ".zvi",
        f"is a Zeiss ZVI, not read; {_EXPORT} in ZEN",
    ),
    (lambda start, _: start[128:132] == b"DICM", "is a DICOM file; only histo reads those, as whole slides"),
    (lambda _, suffix: suffix in OPENSLIDE_SUFFIXES, f"is a whole slide, which only histo reads; {_EXPORT} in QuPath"),
    (
        lambda start, _: start[:4] == b"\x89HDF",
        f"is an HDF5 file (Imaris, ilastik, BigDataViewer), which is not read; {_EXPORT} in Fiji",
    ),
    (lambda start, suffix: suffix in (".dv", ".r3d"), f"is a DeltaVision file, which is not read; {_EXPORT} in Fiji"),
    (lambda start, suffix: suffix == ".sld", f"is a SlideBook file, which is not read; {_EXPORT} in SlideBook"),
    (lambda start, _: start[:4] == b"%PDF", "is a PDF; export the picture in it as TIFF or PNG"),
    (lambda start, _: start[:2] == b"PK", "is a ZIP archive; unpack it first"),
    (lambda start, _: start[:6] == b"\x93NUMPY", "is a NumPy array, read as a mask only; save the image as TIFF"),
    (lambda start, _: start.lstrip()[:5].lower() in (b"<html", b"<!doc"), "is a web page: the download failed"),
    (lambda start, _: start[:23] == b"version https://git-lfs", "is a link of Git LFS; fetch it with 'git lfs pull'"),
    (lambda start, _: start[4:8] == b"ftyp", "is a HEIC or AVIF picture of a phone; save it as PNG or JPEG"),
)
"""What is recognised and not read: test, words that follow the file's name."""


def open_source(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Source:
    """Open a file. Close what comes back; use it within `one_line_errors`.

    Raises
    ------
    Refused
        What is wrong with the file, in words that follow its name.
    """
    path = Path(path)
    if path.suffix.lower() == ".zarr" and path.is_dir():
        return _made("ome_zarr", "ZarrSource", path)
    with open_regular(path) as handle:
        start = handle.read(START)
    suffix = path.suffix.lower()
    for picture, format, module, decoder in PICTURES:
        if picture(start) and suffix not in NOT_PICTURES:
            from cellscope.io.formats.single import SingleSource

            decode = getattr(importlib.import_module(f"cellscope.io.formats.{module}"), decoder)
            return SingleSource(path, format, decode, max_pixels)
    for fits, module, name in READERS:
        if fits(start, suffix):
            return _made(module, name, path)
    for known, words in REFUSED:
        if known(start, suffix):
            raise Refused(words)
    raise Refused(f"is not an image of a known kind (it starts with {start[:8]!r})")


def _made(module: str, name: str, path: Path) -> Source:
    source: Source = getattr(importlib.import_module(f"cellscope.io.formats.{module}"), name)(path)
    return source


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
        raise InputError(
            f"{shown}: cannot be decoded ({reason(error)}); the file is damaged or of an unusual kind"
        ) from error


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
