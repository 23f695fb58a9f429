"""Label images and masks as they are stored: numbers, never turned into brightness.

A picture reader inverts "white is zero", stretches 1 bit to 255 and drops alpha, because it wants to show what a person
would see. In a label image the stored number is the meaning: 0 is outside, whatever the file says of white.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from cellscope.io.annotations.label_tiff import read_tiff_labels
from cellscope.io.annotations.tally import note
from cellscope.io.convert import Refused, check_size
from cellscope.io.open import MAX_PIXELS, one_line_errors, open_regular
from cellscope.io.text import one_line

SUFFIXES = (".tif", ".tiff", ".png", ".bmp", ".jpg", ".jpeg", ".npy")
"""What label images are searched by, lower case."""

_JPEG = b"\xff\xd8\xff"
_NPY = b"\x93NUMPY"
_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


HALF, SMOOTHED, SURE = 128, 48, 0.95
"""A JPEG is a mask of two values where this share of its pixels is, so nearly, 0 or 255."""


@dataclass(frozen=True, eq=False)
class LabelImage:
    """A label image.

    Attributes
    ----------
    values : (H, W) or (H, W, 3), integer or float
        Numbers; three different channels are colours, of which the file's reader must know what they mean.
    path : Path
    notes : tuple of str
        What was done to get at the numbers.
    """

    values: np.ndarray
    path: Path
    notes: tuple[str, ...] = ()


def read_label_image(
    path: Path, *, max_pixels: int = MAX_PIXELS, alpha: bool = False, lossy: bool = False
) -> LabelImage:
    """Read a label image: TIFF, PNG, BMP, JPEG or ``.npy``, told apart by their content.

    Parameters
    ----------
    path : Path
    max_pixels : int
    alpha : bool
        Keep an alpha channel as the last of (H, W, 2) or (H, W, 4), for a caller who knows what it means.
    lossy : bool
        Give the values of a JPEG as they are, for a caller who reads ranges of them.

    Returns
    -------
    LabelImage
        Values as stored. Of a palette the indices, unless it is grey: then its grey values. A picture that is only in
        the alpha channel is taken from there; pixels that are wholly transparent are 0.

    Raises
    ------
    InputError
        One line for all that can be wrong, also a pickled ``_seg.npy`` of Cellpose, and a file with several pages of
        labels.
    """
    path = Path(path)
    with one_line_errors(path), open_regular(path) as handle:
        magic = handle.read(8)
        handle.seek(0)
        notes: tuple[str, ...] = ()
        if magic[:6] == _NPY:
            values = _npy(handle, path, max_pixels)
        elif magic[:4] in _TIFF:
            values, notes = read_tiff_labels(handle, max_pixels)
        elif magic == _PNG:
            values = _png(handle.read(), max_pixels)
        elif magic[:3] == _JPEG and not lossy:
            values, notes = _lossy(_picture(path, max_pixels))
        else:
            values = _picture(path, max_pixels)
        values, more = (values, ()) if alpha else _without_alpha(values)
        for text in (*notes, *more):
            note(f"{one_line(path.name)}: {text}")
        if values.dtype == bool:
            values = values.astype(np.uint8)
        return LabelImage(values, path, (*notes, *more))


def _npy(handle: BinaryIO, path: Path, max_pixels: int) -> np.ndarray:
    version = np.lib.format.read_magic(handle)
    try:
        read_header = np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(handle)
    except ValueError as error:
        raise Refused(f"its header is damaged ({one_line(str(error))[:80]})") from error
    if dtype.hasobject:
        what = "Cellpose's own record" if path.stem.endswith("_seg") else "a pickled object"
        raise Refused(
            f"holds {what}, which only Python can unpack and which could run any code; in Cellpose save the masks as "
            "PNG or TIFF (File > Save masks), or np.save the array of masks alone"
        )
    flat = tuple(side for side in shape if side != 1) or shape
    if len(flat) != 2 or dtype.kind not in "buif":
        raise Refused(f"holds an array of {dtype} and shape {shape}; a label image has height x width whole numbers")
    check_size(int(flat[1]), int(flat[0]), 1, max_pixels)
    handle.seek(0)
    try:
        return np.asarray(np.lib.format.read_array(handle, allow_pickle=False)).reshape(flat)
    except (ValueError, EOFError) as error:
        raise Refused("the array is cut short; copy it again") from error


def _png(data: bytes, max_pixels: int) -> np.ndarray:
    """Decode by libpng but for palettes and less than 8 bits, whose stored numbers Pillow gives."""
    import imagecodecs
    from PIL import PngImagePlugin

    from cellscope.io.formats.raster import decode_png

    decode_png(data, max_pixels)  # refuses what is damaged, cut short or too large
    bits, colour = data[24], data[25]
    if colour == 3:
        picture = PngImagePlugin.PngImageFile(io.BytesIO(data))
        indices = np.array(picture)
        table = np.array(picture.getpalette() or [], np.uint8).reshape(-1, 3)
        used = np.unique(indices)
        shown = table[used][:, 0] if len(table) > int(used.max()) else used
        grey = len(table) > int(used.max()) and bool((table[used] == shown[:, None]).all())
        # two numbers of one grey are two numbers still
        return table[indices][..., 0] if grey and len(np.unique(shown)) == len(used) else indices
    values = np.asarray(imagecodecs.png_decode(data))
    if colour == 0 and bits < 8:
        return values // (255 // (2**bits - 1))
    return values


def _picture(path: Path, max_pixels: int) -> np.ndarray:
    from cellscope.io.read import read

    pixels = read(path, max_pixels=max_pixels).pixels
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels


def _lossy(values: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Undo what a JPEG did to a mask of 0 and 255; numbers of objects cannot be had back.

    Raises
    ------
    Refused
    """
    grey = values if values.ndim == 2 else values.mean(2)
    high = grey >= HALF
    sure = np.abs(grey - np.where(high, 255, 0)) <= SMOOTHED
    if not high.any() or sure.mean() < SURE:
        raise Refused("is a JPEG, which changes the numbers of a mask; save the mask as PNG or TIFF")
    return np.where(high, 255, 0).astype(np.uint8), ("a JPEG smooths a mask: what is brighter than half is inside",)


def _without_alpha(values: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Give (H, W) numbers or (H, W, 3) colours, and a note where alpha decided."""
    if values.ndim == 2:
        return values, ()
    channels = values.shape[2]
    if channels in (2, 4):
        colour, alpha = values[..., : channels - 1], values[..., -1]
        if (alpha == alpha.flat[0]).all():
            return _grey(colour), ()
        if (colour == colour[:1, :1]).all():
            return alpha, ("the mask is in its alpha channel; the colours are the same everywhere",)
        visible = np.where((alpha > 0)[..., None], colour, 0).astype(colour.dtype)
        hidden = bool((colour[alpha == 0] != 0).any())
        return _grey(visible), ("what is transparent counts as outside",) if hidden else ()
    return _grey(values), ()


def _grey(colour: np.ndarray) -> np.ndarray:
    return colour[..., 0] if (colour == colour[..., :1]).all() else colour
