"""From what a decoder hands over to what an `Image` may hold: number types, orientation, limits.

Number types become one of uint8, uint16 and float32 by a rule that keeps the values:

====================================  ==========================================================================
stored as                             read as
====================================  ==========================================================================
uint8, uint16, float32                the same
1 bit                                 uint8, 0 or 255
2 to 7 bits, unsigned                 uint8, stretched so that the largest storable value is 255
9 to 15 bits, unsigned                uint16, values unchanged
float16, float64, float24             float32, rounded to nearest (refused beyond float32's range)
int8 without negative values          uint8
other integers, all in 0 .. 65535     uint16
other integers up to +-2^24           float32, exact
other integers up to +-2^32           float32, rounded to nearest, with a warning
integers beyond, complex numbers      refused
====================================  ==========================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellscope.imaging.white import white_level
from cellscope.io.image import DTYPES, MIN_SIDE

EXACT_IN_FLOAT32 = 2**24
LARGEST_INTEGER = 2**32


class Refused(Exception):
    """Why a file cannot be read, in words that follow the file's name. `read` turns it into an InputError."""


@dataclass(frozen=True)
class Decoded:
    """What a decoder found in a file.

    Parameters
    ----------
    pixels : (H, W) or (H, W, C) array of any number type
        As stored, before `orientation` is applied.
    orientation : int
        EXIF orientation, 1 to 8.
    pixel_size_um : float or None
        Pixel size in micrometres.
    warnings : tuple of str
        One line each.
    alpha : (H, W) uint8, uint16 or float32, optional
        How opaque each pixel is, from 0 to the type's largest value (1 for floats).
    premultiplied : bool
        The colours already hold alpha's share.
    """

    pixels: np.ndarray
    orientation: int = 1
    pixel_size_um: float | None = None
    warnings: tuple[str, ...] = ()
    alpha: np.ndarray | None = None
    premultiplied: bool = False


def check_size(width: int, height: int, channels: int, max_pixels: int) -> None:
    """Refuse sizes that are too small to hold anything or larger than the limit. Called before any pixel is decoded.

    Raises
    ------
    Refused
        Fewer than 2 rows or columns, more than `max_pixels` pixels, or more than ``4 * max_pixels`` values.
    """
    if width < MIN_SIDE or height < MIN_SIDE:
        raise Refused(f"the image is {width} x {height} pixels; at least {MIN_SIDE} x {MIN_SIDE} are needed")
    if width * height > max_pixels:
        raise Refused(
            f"the image is {width} x {height} pixels, above the limit of {max_pixels} pixels; "
            "raise --max-pixels if you trust the file"
        )
    if width * height * channels > 4 * max_pixels:
        raise Refused(
            f"the image is {width} x {height} pixels with {channels} channels, above the limit of "
            f"{4 * max_pixels} values; raise --max-pixels if you trust the file"
        )


def standard_type(array: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Convert to uint8, uint16 or float32 by the rule of this module; no copy where none is needed.

    Returns
    -------
    (array, warnings)

    Raises
    ------
    Refused
        Complex numbers, or values that no supported type can hold.
    """
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype in DTYPES:
        return array, ()
    if array.dtype.kind == "b":
        # Pillow's booleans may hold 255 for true, which numpy shows as True and multiplies as 255
        return (array.view(np.uint8) != 0).view(np.uint8) * np.uint8(255), ()
    if array.dtype.kind == "f":
        return _float32(array), ()
    if array.dtype.kind in "iu":
        return _integers(array)
    raise Refused(f"pixels of type {array.dtype} are not supported; save the image as 8-bit, 16-bit or 32-bit float")


def _float32(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        result = array.astype(np.float32)
    if array.dtype.itemsize > 4:
        lost = not (np.isfinite(result.min()) and np.isfinite(result.max()))
        if lost and np.isfinite(array.min()) and np.isfinite(array.max()):
            raise Refused("the image holds values beyond the range of 32-bit floats; rescale it and save it again")
    return result


def _integers(array: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    low, high = int(array.min()), int(array.max())
    if low >= 0 and array.dtype.itemsize == 1:
        return array.view(np.uint8), ()
    if low >= 0 and high <= 65535:
        return array.view(np.uint16) if array.dtype.itemsize == 2 else array.astype(np.uint16), ()
    largest = max(-low, high)
    if largest > LARGEST_INTEGER:
        raise Refused(
            f"the image holds {array.dtype} values up to {largest}, more than can be kept; "
            "rescale it to 16 bits and save it again"
        )
    rounded = (
        (f"{array.dtype} values up to {largest} were rounded to 32-bit floats",) if largest > EXACT_IN_FLOAT32 else ()
    )
    return array.astype(np.float32), rounded


def stretch_bits(array: np.ndarray, bits: int) -> np.ndarray:
    """Stretch unsigned values of 2 to 7 bits to the whole range of uint8, rounded to nearest."""
    table = np.rint(np.arange(256) * (255 / (2**bits - 1))).clip(0, 255).astype(np.uint8)
    return table[array]


def cmyk_to_rgb(cmyk: np.ndarray) -> np.ndarray:
    """Convert ink amounts to red, green and blue without colour management.

    Parameters
    ----------
    cmyk : (H, W, 4) uint8 or uint16
        Amount of cyan, magenta, yellow and black ink; the type's largest value is full ink.

    Returns
    -------
    (H, W, 3) of the same type
        ``(M - ink) * (M - black) / M``, rounded, with M the type's largest value.
    """
    top = np.iinfo(cmyk.dtype).max
    wide = np.uint32  # 65535 * 65535 + 32767 still fits
    light = wide(top) - cmyk[..., 3:4].astype(wide)
    product = (wide(top) - cmyk[..., :3].astype(wide)) * light
    return ((product + wide(top // 2)) // wide(top)).astype(cmyk.dtype)


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an array the way its EXIF orientation (TIFF tag 274) says it should be seen.

    Parameters
    ----------
    array : (H, W) or (H, W, C)
    orientation : int
        1 to 8; anything else counts as 1.

    Returns
    -------
    array view; height and width change places for orientations 5 to 8.
    """
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def over_background(decoded: Decoded) -> tuple[np.ndarray, float]:
    """Put the background of the stain where an image is transparent: white in colour, the usual grey value in grey.

    Parameters
    ----------
    decoded : Decoded
        Pixels as an `Image` may hold them.

    Returns
    -------
    pixels : (H, W) or (H, W, C), of the same type
        The very same array where nothing is transparent.
    share : float
        Of the pixels that are less than half opaque.
    """
    pixels, alpha = decoded.pixels, decoded.alpha
    if alpha is None:
        return pixels, 0.0
    opaque = 1.0 if alpha.dtype.kind == "f" else float(np.iinfo(alpha.dtype).max)
    if bool((alpha >= opaque).all()) or not alpha.any():  # all transparent: a channel that means something else
        return pixels, 0.0
    share = np.clip(alpha.astype(np.float32) / opaque, 0, 1)
    solid = share >= 0.5
    colour = pixels.ndim == 3 and pixels.shape[2] >= 3
    background = white_level(pixels) if colour else float(np.median(pixels[solid])) if solid.any() else 0.0
    shown = share if pixels.ndim == 2 else share[..., None]
    front = pixels.astype(np.float32) * (1 if decoded.premultiplied else shown)
    mixed = front + background * (1 - shown)
    return (mixed if pixels.dtype.kind == "f" else np.rint(mixed)).astype(pixels.dtype), 1 - float(solid.mean())
