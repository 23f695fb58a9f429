"""Figures small enough to be embedded in a page: arrays and picture files in, `data:` URIs out."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PillowImage

from cellscope.io.read import read

LONGEST = 900
"""Longest side of an embedded figure in pixels: two fit side by side and a karyogram's labels stay readable."""

_SMALL = 240  # crops smaller than this are shown magnified by a whole number
_FLAT = 0.95  # share of equal neighbours above which a picture is a drawing: PNG is then small, and sharp
_JPEG_QUALITY = 86


@dataclass(frozen=True)
class Thumbnail:
    """An embedded picture.

    Attributes
    ----------
    uri : str
        ``data:image/png;base64,...`` or ``data:image/jpeg;base64,...``.
    width, height : int
        Size to show it at, in CSS pixels. Small crops are magnified by a whole number, the rest is at its own size.
    pixelated : bool
        True when magnified: the browser should show pixels, not smear them.
    """

    uri: str
    width: int
    height: int
    pixelated: bool = False


def to_display(pixels: np.ndarray) -> np.ndarray:
    """Turn any picture into 8-bit grey or RGB.

    Parameters
    ----------
    pixels : (H, W) or (H, W, C) bool, integer or float
        uint8 is kept. bool becomes 0 and 255. Floats within [0, 1] are scaled by 255. Everything else is stretched
        between its 0.1 and 99.9 percentiles. C = 1 is grey, 2 shows the first channel, 3 is RGB, 4 is RGBA laid over
        white, more show the first three.

    Returns
    -------
    (H, W) or (H, W, 3) uint8

    Raises
    ------
    ValueError
        If the array has no pixels or is not two- or three-dimensional.
    """
    pixels = np.asarray(pixels)
    if pixels.ndim not in (2, 3) or 0 in pixels.shape:
        raise ValueError(f"a figure must be (H, W) or (H, W, C) with pixels in it, not {pixels.shape}")
    if pixels.ndim == 3:
        channels = pixels.shape[2]
        if channels <= 2:
            pixels = pixels[..., 0]
        elif channels == 4:
            return _over_white(pixels)
        else:
            pixels = pixels[..., :3]
    return _to_uint8(pixels)


def _to_uint8(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * 255
    values = np.nan_to_num(pixels.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if not (np.issubdtype(pixels.dtype, np.floating) and low >= 0 and high <= 1):
        # Percentiles of a sample are enough to choose a contrast, and slides are large.
        sample = values[:: max(1, values.shape[0] // 512), :: max(1, values.shape[1] // 512)]
        low, high = (float(value) for value in np.percentile(sample, [0.1, 99.9]))
        if high <= low:
            low, high = float(values.min()), float(values.max())
    else:
        low, high = 0.0, 1.0
    scaled = (values - low) * (255.0 / (high - low)) if high > low else np.zeros_like(values)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def _over_white(rgba: np.ndarray) -> np.ndarray:
    rgba = _to_uint8(rgba)
    alpha = rgba[..., 3:].astype(np.float32) / 255
    return np.rint(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def shrink(pixels: np.ndarray, longest: int = LONGEST) -> np.ndarray:
    """Scale a picture down, by area averaging, until its longest side is at most `longest`; never up.

    Parameters
    ----------
    pixels : (H, W) or (H, W, C)
        uint8, uint16 and float32 keep their type, bool becomes uint8, everything else float32.
    longest : int

    Returns
    -------
    Array of the same number of dimensions.
    """
    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return pixels
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    elif pixels.dtype not in (np.uint8, np.uint16, np.float32):
        pixels = pixels.astype(np.float32)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA)


def encode(pixels: np.ndarray) -> str:
    """Encode an 8-bit picture as a `data:` URI: PNG for drawings and small crops, JPEG for everything else.

    JPEG keeps its colours at full resolution, or thin coloured contours would fade. WebP would halve the page but
    smears the bands of chromosomes where it does, and takes three times as long.

    Parameters
    ----------
    pixels : (H, W) or (H, W, 3) uint8, RGB

    Returns
    -------
    str
    """
    if (
        pixels.ndim == 3
        and np.array_equal(pixels[..., 0], pixels[..., 1])
        and np.array_equal(pixels[..., 1], pixels[..., 2])
    ):
        pixels = pixels[..., 0]
    flat = max(pixels.shape[:2]) <= _SMALL or float(np.mean(pixels[:, 1:] == pixels[:, :-1])) > _FLAT
    picture = PillowImage.fromarray(np.ascontiguousarray(pixels))
    buffer = io.BytesIO()
    if flat:
        picture.save(buffer, "PNG", compress_level=6)
    else:
        picture.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0, optimize=True)
    kind = "png" if flat else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def thumbnail(figure: Path | np.ndarray, longest: int = LONGEST) -> Thumbnail:
    """Make the embedded version of a figure.

    Parameters
    ----------
    figure : path of an image file that `cellscope.io.read.read` can read, or an array as `to_display` takes it
    longest : int
        Longest side in pixels.

    Returns
    -------
    Thumbnail

    Raises
    ------
    InputError
        If the file cannot be read.
    ValueError
        If the array cannot be shown.
    """
    pixels = np.asarray(figure) if isinstance(figure, np.ndarray) else read(Path(figure)).pixels
    pixels = shrink(to_display(pixels), longest)
    height, width = pixels.shape[:2]
    factor = max(1, _SMALL // max(height, width))
    return Thumbnail(encode(pixels), width * factor, height * factor, factor > 1)
