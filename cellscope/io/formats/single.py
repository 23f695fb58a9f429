"""Files of one picture as sources: PNG, JPEG, BMP, JPEG 2000, WebP. The picture is decoded when the file is opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from cellscope.io.convert import Decoded, Refused
from cellscope.io.scene import Scene

_HEADER_ALLOWANCE = 2**26
_BYTES_PER_PIXEL = 16


class SingleSource:
    """An open file of one picture (see `cellscope.io.scene.Source`).

    Parameters
    ----------
    path : Path
    format : str
    decode : callable
        ``decode(data, max_pixels)`` -> `Decoded`; it checks the size before it decodes.
    max_pixels : int

    Raises
    ------
    Refused
        What is wrong with the file.
    """

    def __init__(self, path: Path, format: str, decode: Callable[[bytes, int], Decoded], max_pixels: int):
        size = os.path.getsize(path)
        if size > _BYTES_PER_PIXEL * max_pixels + _HEADER_ALLOWANCE:  # these decoders hold the whole file in memory
            raise Refused(f"the file of {size} bytes cannot be an image below the limit of {max_pixels} pixels")
        self.format = format
        self._decoded = decoded = decode(path.read_bytes(), max_pixels)
        height, width = decoded.pixels.shape[:2]
        samples = decoded.pixels.shape[2] if decoded.pixels.ndim == 3 else 1
        sizes = (("Y", height), ("X", width), *((("S", samples),) if samples > 1 else ()))
        known = decoded.pixel_size_um
        self.scenes: tuple[Scene, ...] = (
            Scene(
                sizes,
                str(decoded.pixels.dtype),
                pixel_size_um=known,
                pixel_size_from="resolution tag" if known else "",
                warnings=decoded.warnings,
            ),
        )

    def plane(self, scene: int, at: Mapping[str, int]) -> Decoded:
        """Return the picture."""
        return self._decoded

    def close(self) -> None:
        """Nothing to do: the file is closed already."""
