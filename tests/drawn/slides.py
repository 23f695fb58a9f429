"""Generated slides: drawn tissue on glass, as pyramidal TIFF."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import tifffile

from drawn.histo import GLASS, tissue


def draw_slide(seed: int = 0, side: int = 320, nuclei: int = 70, glass: int = 40) -> np.ndarray:
    """Draw tissue with glass around it, (side + 3 glass, side + 2 glass, 3) uint8."""
    image, _, _ = tissue(seed, side, nuclei)
    canvas = np.full((side + 3 * glass, side + 2 * glass, 3), GLASS, np.uint8)
    canvas[glass : glass + side, glass : glass + side] = image
    return canvas


def write_pyramid(
    path: Path, image: np.ndarray, *, pixel_size_um: float | None = 0.25, levels: int = 3, tile: int = 64,
    compression: str | None = "zlib", ome: bool = False,
) -> Path:  # fmt: skip
    """Write an image and its halves as a tiled TIFF."""
    resolution = {}
    if pixel_size_um is not None:
        resolution = {"resolution": (1e4 / pixel_size_um,) * 2, "resolutionunit": "CENTIMETER"}
    metadata = None
    if ome:
        metadata = {"axes": "YXS", "PhysicalSizeX": pixel_size_um, "PhysicalSizeY": pixel_size_um}
        resolution = {}
    common = {"tile": (tile, tile), "photometric": "rgb", "compression": compression}
    with tifffile.TiffWriter(path, ome=ome) as writer:
        writer.write(image, subifds=levels - 1 if ome else 0, metadata=metadata, **common, **resolution)
        for level in range(1, levels):
            size = (max(image.shape[1] >> level, 1), max(image.shape[0] >> level, 1))
            small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            writer.write(small, subfiletype=1, metadata=None, **common)
    return path


def spoil_tile(path: Path, index: int) -> None:
    """Overwrite one tile of level 0 with nonsense."""
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[0]
        offset, count = page.dataoffsets[index], page.databytecounts[index]
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\xa5" * count)
