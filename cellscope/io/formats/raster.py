"""PNG, JPEG, BMP and WebP, decoded by libpng and libjpeg (imagecodecs) and, for the rest and CMYK JPEG, by Pillow.

Each gives a `Decoded`; `cellscope.io.formats.single` makes sources of them.

Pillow reduces 16-bit colour PNG to 8 bits and accepts PNG files that stop early; libpng does neither, so it gets PNG.
Pillow's plugins are called directly: `PIL.Image.open` has a pixel limit of its own that is global to the process.
"""

from __future__ import annotations

import logging
import struct
from io import BytesIO
from typing import NamedTuple

import imagecodecs
import numpy as np
from PIL import BmpImagePlugin, JpegImagePlugin, WebPImagePlugin

from cellscope.io import pixel_size
from cellscope.io.convert import Decoded, Refused, check_size
from cellscope.io.formats.jpeg import JpegHeader, jpeg_header
from cellscope.io.text import reason

# libpng's remarks on what it repairs would otherwise reach the terminal
logging.getLogger("imagecodecs").setLevel(logging.CRITICAL + 1)

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # by colour type; a palette becomes RGB
_UM_PER_M = 1e6
_GREY_FILL = 128  # what libjpeg leaves where data are missing
_BLOCK = 8


class _Chunk(NamedTuple):
    kind: bytes
    body: memoryview
    raw: memoryview  # length, kind, body and checksum as stored


def decode_png(data: bytes, max_pixels: int) -> Decoded:
    """Decode a PNG of any kind: 16 bits stay, 1 to 4 bits are stretched to 8, palettes become RGB, alpha is apart.

    Raises
    ------
    Refused
        Damaged, cut short, animated, or too large.
    """
    chunks = _png_chunks(data)
    if not chunks or chunks[0].kind != b"IHDR" or len(chunks[0].body) != 13:
        raise Refused("the PNG header is damaged or cut short; copy or export the file again")
    width, height, _, colour = struct.unpack(">IIBB", chunks[0].body[:10])
    check_size(width, height, _PNG_CHANNELS.get(colour, 4), max_pixels)
    if chunks[-1].kind != b"IEND":
        raise Refused("the PNG is cut short; copy or export the file again")
    orientation = 1
    size: pixel_size.PixelSize = pixel_size.UNKNOWN
    for chunk in chunks:
        if chunk.kind == b"pHYs" and len(chunk.body) == 9 and chunk.body[8] == 1:
            x, y = struct.unpack(">II", chunk.body[:8])
            size = pixel_size.from_resolution(x, y, _UM_PER_M)
        elif chunk.kind == b"eXIf":
            orientation = _exif(bytes(chunk.body))[0]
        elif chunk.kind == b"acTL" and int.from_bytes(chunk.body[:4], "big") > 1:
            raise Refused("is an animated PNG of several frames, which is not read; save the frames as a TIFF stack")
    # only what pixels are made of goes to libpng: no colour profiles to complain about
    needed = [chunk.raw for chunk in chunks if chunk.kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")]
    pixels = imagecodecs.png_decode(b"".join([PNG_MAGIC, *needed]))
    alpha = None
    if pixels.ndim == 3:
        alpha = pixels[..., -1] if pixels.shape[2] in (2, 4) else None
        pixels = pixels[..., :1] if pixels.shape[2] < 3 else pixels[..., :3]
    return Decoded(pixels, orientation, *size, alpha=alpha)


def _png_chunks(data: bytes) -> list[_Chunk]:
    """All whole chunks in order, up to IEND."""
    view, position, chunks = memoryview(data), len(PNG_MAGIC), []
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(view[position : position + 4], "big")
        if end > len(data):
            break
        raw = view[position:end]
        chunks.append(_Chunk(bytes(raw[4:8]), raw[8:-4], raw))
        position = end
        if chunks[-1].kind == b"IEND":
            break
    return chunks


def decode_jpeg(data: bytes, max_pixels: int) -> Decoded:
    """Decode a JPEG: grey, YCbCr and RGB, 8 or 12 bits; CMYK and YCCK become RGB.

    Raises
    ------
    Refused
        Damaged, cut short (also where a decoder would fill up with grey), or too large.
    """
    header = jpeg_header(data, whole=False)
    check_size(header.width, header.height, header.components, max_pixels)
    header = jpeg_header(data)
    if header.components == 4:
        pixels = np.array(JpegImagePlugin.JpegImageFile(BytesIO(data)).convert("RGB"))
    else:
        pixels = imagecodecs.jpeg_decode(data, bitspersample=header.bits)
        _refuse_grey_tail(pixels, data[: header.end])
    if pixels.shape[:2] != (header.height, header.width):
        raise Refused("the JPEG data are damaged; copy or export the file again")
    orientation, x, y, unit = _exif(header.exif)
    size = _jpeg_pixel_size(header, x, y, unit)
    return Decoded(pixels, orientation, *size)


def _jpeg_pixel_size(header: JpegHeader, x: float, y: float, unit: int) -> pixel_size.PixelSize:
    units = {2: pixel_size.UM_PER_INCH, 3: pixel_size.UM_PER_CM}
    size = pixel_size.from_resolution(x, y, units[unit]) if unit in units else pixel_size.UNKNOWN
    if size != pixel_size.UNKNOWN:
        return size
    jfif_unit, x, y = header.density
    return pixel_size.from_resolution(x, y, units[jfif_unit + 1]) if jfif_unit + 1 in units else size


def _refuse_grey_tail(pixels: np.ndarray, data: bytes) -> None:
    """Refuse a stream that was cut and closed with an end marker: libjpeg fills up with mid grey and says nothing.

    A last block of exactly that grey raises the suspicion; it is settled by a strict parser of the whole stream, which
    takes about ten times as long as decoding and so is not run on every file.
    """
    rows, columns = ((side - 1) // _BLOCK * _BLOCK for side in pixels.shape[:2])
    if pixels.dtype != np.uint8 or not (pixels[rows:, columns:] == _GREY_FILL).all():
        return
    try:
        imagecodecs.jpegxl_encode_jpeg(data)
    except imagecodecs.DelayedImportError:
        return
    except RuntimeError as error:
        raise Refused("the JPEG data end before the image does; copy or export the file again") from error


def decode_bmp(data: bytes, max_pixels: int) -> Decoded:
    """Decode a BMP of 1 to 32 bits; palettes become RGB, alpha is dropped, for most programs leave it empty.

    Raises
    ------
    Refused
        Damaged, cut short, or too large.
    """
    try:
        picture = BmpImagePlugin.BmpImageFile(BytesIO(data))
        check_size(*picture.size, len(picture.getbands()), max_pixels)
        pixels = np.array(picture if picture.mode in ("1", "L", "RGB") else picture.convert("RGB"))
    except (SyntaxError, OSError, ValueError, struct.error) as error:
        raise Refused(f"the BMP is damaged or cut short ({reason(error)}); copy or export the file again") from error
    if int.from_bytes(data[14:18], "little") < 40:  # the oldest header has no resolution
        return Decoded(pixels)
    x, y = struct.unpack_from("<ii", data, 38)
    return Decoded(pixels, 1, *pixel_size.from_resolution(x, y, _UM_PER_M))


def decode_webp(data: bytes, max_pixels: int) -> Decoded:
    """Decode a WebP, lossy or lossless; alpha is apart.

    Raises
    ------
    Refused
        Damaged, cut short, animated, or too large.
    """
    if len(data) < 8 + int.from_bytes(data[4:8], "little"):
        raise Refused("the WebP is cut short; copy or export the file again")
    try:
        picture = WebPImagePlugin.WebPImageFile(BytesIO(data))
        check_size(*picture.size, len(picture.getbands()), max_pixels)
        if getattr(picture, "n_frames", 1) > 1:
            raise Refused("is an animated WebP of several frames, which is not read; save the frames as a TIFF stack")
        pixels = np.array(picture if picture.mode in ("RGB", "RGBA") else picture.convert("RGB"))
    except (SyntaxError, OSError, ValueError) as error:
        raise Refused(f"the WebP is damaged ({reason(error)}); copy or export the file again") from error
    exif = picture.info.get("exif", b"").removeprefix(b"Exif\0\0")
    alpha = pixels[..., 3] if pixels.shape[2] == 4 else None
    return Decoded(np.ascontiguousarray(pixels[..., :3]), _exif(exif)[0], alpha=alpha)


def _exif(block: bytes) -> tuple[int, float, float, int]:
    """Orientation, XResolution, YResolution and ResolutionUnit of an EXIF block; defaults where missing or damaged.

    Pillow's parser reports damage through `warnings`, which are global to the process and not safe in reader threads.
    """
    found: dict[int, float] = {}
    order = "<" if block[:2] == b"II" else ">"
    try:
        start = struct.unpack_from(f"{order}I", block, 4)[0]
        count = struct.unpack_from(f"{order}H", block, start)[0]
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, _ = struct.unpack_from(f"{order}HHI", block, entry)
            if tag in (274, 296) and kind == 3:
                found[tag] = struct.unpack_from(f"{order}H", block, entry + 8)[0]
            elif tag in (282, 283) and kind == 5:
                offset = struct.unpack_from(f"{order}I", block, entry + 8)[0]
                top, bottom = struct.unpack_from(f"{order}II", block, offset)
                found[tag] = top / bottom if bottom else 0.0
    except struct.error:
        pass  # a damaged EXIF block is no reason to refuse the pixels
    return int(found.get(274, 1)), found.get(282, 0.0), found.get(283, 0.0), int(found.get(296, 2))
