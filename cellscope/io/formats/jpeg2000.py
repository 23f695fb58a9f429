"""JPEG 2000, decoded by OpenJPEG (imagecodecs); size and colour space by its own header."""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np

from cellscope.io import pixel_size
from cellscope.io.convert import Decoded, Refused, check_size
from cellscope.io.text import reason

_SIZ = b"\xff\x4f\xff\x51"
_UM_PER_M = 1e6


def decode_jpeg2000(data: bytes, max_pixels: int) -> Decoded:
    """Decode a JP2 file or a bare codestream: grey, RGB or YCC, 1 to 16 bits.

    Raises
    ------
    Refused
        Damaged, cut short, of another number of channels, or too large.
    """
    start = data.find(_SIZ)
    if start < 0 or len(data) < start + 42:
        raise Refused("the JPEG 2000 header is damaged or cut short; copy or export the file again")
    right, bottom, left, top = struct.unpack_from(">IIII", data, start + 8)
    (count,) = struct.unpack_from(">H", data, start + 40)
    check_size(right - left, bottom - top, count, max_pixels)
    if count not in (1, 3, 4):
        raise Refused(f"a JPEG 2000 of {count} channels is not supported; save it as OME-TIFF")
    if data[-2:] != b"\xff\xd9" and b"\xff\xd9" not in data[-64:]:
        raise Refused("the JPEG 2000 is cut short; copy or export the file again")
    try:
        pixels = np.asarray(imagecodecs.jpeg2k_decode(data))
    except RuntimeError as error:
        raise Refused(f"the JPEG 2000 is damaged ({reason(error, 80)}); copy or export the file again") from error
    if pixels.shape[:2] != (bottom - top, right - left):
        raise Refused("the JPEG 2000 is damaged; copy or export the file again")
    alpha = pixels[..., 3] if count == 4 else None
    return Decoded(pixels[..., :3] if count == 4 else pixels, 1, *_pixel_size(data[:start]), alpha=alpha)


def _pixel_size(header: bytes) -> pixel_size.PixelSize:
    """Read the capture resolution: pixels per metre, as fraction and power of ten."""
    place = header.find(b"resc")
    if place < 0 or len(header) < place + 14:
        return pixel_size.UNKNOWN
    top, below, across, under, power, tenth = struct.unpack_from(">HHHHbb", header, place + 4)
    if not below or not under:
        return pixel_size.UNKNOWN
    return pixel_size.from_resolution(across / under * 10.0**tenth, top / below * 10.0**power, _UM_PER_M)
