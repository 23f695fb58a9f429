"""Open a TIFF whose directories lead somewhere: none comes twice, and none is of a size that nothing has."""

from __future__ import annotations

import struct
from typing import Any

from tifffile import TiffFile, TiffPage

from cellscope.io.convert import Refused

MOST_PIXELS = 2**36
"""Pixels of a page at most: an hour at the highest speed at which tiles are unpacked. Larger sizes are damage."""


def open_tiff(file: Any) -> TiffFile:
    """Open a TIFF.

    Parameters
    ----------
    file : path or binary file

    Raises
    ------
    Refused
        Its directories form a circle, or the first page is larger than any image.
    TiffFileError
        It is not a TIFF, or damaged.
    """
    tif = TiffFile(file)
    try:
        _check_directories(tif)
        for page in (one for one in tif.pages[:1] if isinstance(one, TiffPage)):
            width, height = page.imagewidth, page.imagelength
            if width * height > MOST_PIXELS:
                raise Refused(f"states a size of {width} x {height} pixels, which no scanner makes")
    except BaseException:
        tif.close()
        raise
    return tif


def _check_directories(tif: TiffFile) -> None:
    """Follow the chain of directories to its end; a cut file ends it too."""
    handle, format = tif.filehandle, tif.tiff
    place = handle.tell()
    at, seen = 8 if format.version == 43 else 4, set()
    try:
        while True:
            handle.seek(at)
            (offset,) = struct.unpack(format.offsetformat, handle.read(format.offsetsize))
            if not offset:
                return
            if offset in seen:
                raise Refused("its directories form a circle: the file is damaged; copy or export it again")
            seen.add(offset)
            handle.seek(offset)
            (tags,) = struct.unpack(format.tagnoformat, handle.read(format.tagnosize))
            at = offset + format.tagnosize + tags * format.tagsize
    except (struct.error, OSError, ValueError, OverflowError):
        return  # whoever reads the pages says what is wrong
    finally:
        handle.seek(place)
