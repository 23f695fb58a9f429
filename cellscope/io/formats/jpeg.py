"""What a JPEG stream says about itself, and whether all of it is there; no pixel is decoded.

libjpeg, and with it every reader, goes on when the entropy-coded data stop early: the rest comes out grey. Since no
decoder at hand reports that, the stream is walked from marker to marker up to its end marker here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cellscope.io.convert import Refused

_NEXT_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # not a stuffed zero, a restart marker or a fill byte
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN, _END, _APP0, _APP1, _APP14 = 0xDA, 0xD9, 0xE0, 0xE1, 0xEE
_LONE = frozenset({0x01, *range(0xD0, 0xD9)})
_CUT = "the JPEG data are cut short or damaged; copy or export the file again"


@dataclass(frozen=True)
class JpegHeader:
    """Facts of a JPEG stream.

    Parameters
    ----------
    width, height, components, bits : int
        Of the frame.
    end : int
        Offset behind the end marker; what follows is not part of the image.
    density : (int, int, int)
        JFIF: unit (0 none, 1 inch, 2 cm), horizontal and vertical pixels per unit.
    exif : bytes
        The EXIF block, a TIFF structure; empty when there is none.
    """

    width: int
    height: int
    components: int
    bits: int
    end: int
    density: tuple[int, int, int] = (0, 0, 0)
    exif: bytes = b""


def jpeg_header(data: bytes, *, whole: bool = True) -> JpegHeader:
    """Walk a JPEG stream.

    Parameters
    ----------
    data : bytes
        The stream, from its start marker.
    whole : bool
        Whether to insist on the end marker; False stops at the first scan, with ``end`` 0.

    Raises
    ------
    Refused
        No start marker, no frame, or (when `whole`) no end marker.
    """
    if data[:2] != b"\xff\xd8":
        raise Refused(_CUT)
    frame: tuple[int, int, int, int] | None = None
    density, exif = (0, 0, 0), b""
    position = 2
    while True:
        marker, position = _marker(data, position)
        if marker == _END:
            break
        if marker in _LONE:
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        body = data[position + 2 : position + min(length, 65535)]
        if length < 2 or position + length > len(data):
            raise Refused(_CUT)
        position += length
        if marker in _FRAMES and len(body) >= 6:
            frame = (int.from_bytes(body[3:5], "big"), int.from_bytes(body[1:3], "big"), body[5], body[0])
        elif marker == _APP0 and body[:5] == b"JFIF\0" and len(body) >= 12:
            density = (body[7], int.from_bytes(body[8:10], "big"), int.from_bytes(body[10:12], "big"))
        elif marker == _APP1 and body[:6] == b"Exif\0\0" and not exif:
            exif = body[6:]
        elif marker == _SCAN:
            if not whole:
                position = 0
                break
            found = _NEXT_MARKER.search(data, position)
            if found is None:
                raise Refused(_CUT)
            position = found.start()
    if frame is None:
        raise Refused("the JPEG data hold no image; the file is damaged")
    width, height, components, bits = frame
    return JpegHeader(width, height, components, bits, position, density, exif)


def _marker(data: bytes, position: int) -> tuple[int, int]:
    """Read the marker at `position` (fill bytes skipped); returns it and the offset behind it."""
    if data[position : position + 1] != b"\xff":
        raise Refused(_CUT)
    while data[position : position + 1] == b"\xff":
        position += 1
    if position >= len(data):
        raise Refused(_CUT)
    return data[position], position + 1
