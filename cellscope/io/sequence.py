"""Sequences written as ImageJ TIFF, which Fiji opens with their axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tifffile import imwrite

from cellscope.io.write import atomic


def write_sequence(
    path: Path, frames: np.ndarray, *, pixel_size_um: float | None = None, interval_s: float | None = None
) -> None:
    """Write a sequence as an ImageJ TIFF whose axes are time, channel, row and column.

    Parameters
    ----------
    path : Path
    frames : (T, H, W, C) uint8, uint16 or float32
    pixel_size_um, interval_s : float, optional
        Stored when given. The same arguments give the same bytes.

    Raises
    ------
    CellscopeError
        The file cannot be written.
    """
    stored = np.ascontiguousarray(np.moveaxis(frames, -1, 1))
    metadata: dict[str, Any] = {"axes": "TCYX"}
    if interval_s is not None:
        metadata["finterval"] = interval_s
    resolution = None if pixel_size_um is None else (1 / pixel_size_um, 1 / pixel_size_um)
    if pixel_size_um is not None:
        metadata["unit"] = "um"
    with atomic(path) as temporary:
        imwrite(temporary, stored, imagej=True, resolution=resolution, metadata=metadata, photometric="minisblack")
