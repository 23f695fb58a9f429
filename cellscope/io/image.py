"""The one image type of cellscope: what every reader returns and every assay receives."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cellscope.errors import InputError
from cellscope.io.text import one_line

DTYPES = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32))
MIN_SIDE = 2
"""Fewest pixels in a row or a column: below that there is nothing to see, and the file is almost surely a mistake."""


@dataclass(frozen=True, eq=False)
class Image:
    """A validated image.

    Parameters
    ----------
    pixels : (H, W, C) uint8, uint16 or float32, C-contiguous, finite
        Grey images have C = 1, colour images C = 3 (sRGB order red, green, blue), others any C >= 1.
    pixel_size_um : float or None
        Side of one (square) pixel on the sample in micrometres; None when unknown.
    name : str
        Name to show, usually the file's.
    warnings : tuple of str
        What a person should know about how the file was read; one line each.
    taken : str
        What was taken of the file: scene, channels, slice, frame, size.
    turned : bool
        Pixels are turned by the EXIF orientation, compared with how the file stores them.
    pixel_size_given : bool
        By the user, not by the file.
    assumed_um : float or None
        Pixel size as the image's own content lets it be guessed, where the stated one is not believed: good for scale,
        not for measuring.

    Raises
    ------
    InputError
        When `pixels` or `pixel_size_um` break the rules above.
    """

    pixels: np.ndarray
    pixel_size_um: float | None = None
    name: str = "image"
    warnings: tuple[str, ...] = ()
    taken: str = ""
    turned: bool = False
    pixel_size_given: bool = False
    assumed_um: float | None = None

    def __post_init__(self) -> None:
        problem = _problem(self.pixels) or _size_problem(self.pixel_size_um)
        if problem:
            raise InputError(f"{one_line(self.name)}: {problem}")

    @property
    def height(self) -> int:
        """Number of rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self.pixels.shape[1])

    @property
    def channels(self) -> int:
        """Number of channels: 1 for grey, 3 for colour."""
        return int(self.pixels.shape[2])


def _problem(pixels: object) -> str | None:
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 3:
        shape = getattr(pixels, "shape", type(pixels).__name__)
        return f"pixels must be an array of height x width x channels, not {shape}"
    height, width, channels = pixels.shape
    if min(height, width) < MIN_SIDE:
        return f"the image is {width} x {height} pixels; at least {MIN_SIDE} x {MIN_SIDE} are needed"
    if channels < 1:
        return "the image has no channel"
    if pixels.dtype not in DTYPES or not pixels.dtype.isnative:
        return f"pixels must be uint8, uint16 or float32, not {pixels.dtype}"
    if not pixels.flags.c_contiguous:
        return "pixels must be C-contiguous"
    # min and max carry NaN along, so two passes without a temporary array answer "all finite?"
    if pixels.dtype == np.float32 and not (np.isfinite(pixels.min()) and np.isfinite(pixels.max())):
        return "the image holds NaN or infinite values; replace them and save it again"
    return None


def _size_problem(pixel_size_um: float | None) -> str | None:
    if pixel_size_um is not None and not (math.isfinite(pixel_size_um) and pixel_size_um > 0):
        return f"pixel size must be a positive number of micrometres, not {pixel_size_um}"
    return None
