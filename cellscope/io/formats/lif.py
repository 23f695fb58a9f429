"""Leica LIF and LOF, read by `liffile`: every image of the project is a scene."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cellscope.io.convert import Decoded, Refused
from cellscope.io.formats.nd2 import plane_of
from cellscope.io.formats.needed import library
from cellscope.io.pixel_size import stated
from cellscope.io.scene import Scene

_MOSAIC = "M"


class LifSource:
    """An open Leica file (see `cellscope.io.scene.Source`); tiles of a mosaic are scenes of their own.

    Raises
    ------
    Refused
        The package is missing, finds the file damaged, or no image is in it.
    """

    format = "Leica LIF"

    def __init__(self, path: Path):
        liffile = library("liffile", "Leica LIF files")
        try:
            self._file = liffile.LifFile(path)
        except (liffile.LifFileError, ValueError, OSError) as error:
            raise Refused(f"the LIF file is damaged or cut short ({str(error)[:120]}); copy it again") from error
        try:
            self._images: list[tuple[Any, int]] = []
            scenes = []
            for image in self._file.images:
                sizes = dict(image.sizes)
                if not {"Y", "X"} <= set(sizes):
                    continue  # line and spectrum scans
                tiles = sizes.pop(_MOSAIC, 1)
                for tile in range(tiles):
                    self._images.append((image, tile))
                    scenes.append(_scene(image, sizes, f" tile {tile}" if tiles > 1 else ""))
            if not scenes:
                raise Refused("the LIF file holds no image")
            self.scenes: tuple[Scene, ...] = tuple(scenes)
        except BaseException:
            self._file.close()
            raise

    def plane(self, scene: int, at: Mapping[str, int]) -> Decoded:
        """Decode one plane (see `cellscope.io.scene.Source`)."""
        image, tile = self._images[scene]
        wanted = {axis: at.get(axis, 0) for axis in image.sizes if axis not in "YXS"}
        if _MOSAIC in image.sizes:
            wanted[_MOSAIC] = tile
        frame = np.asarray(image.frame(**wanted))
        return Decoded(plane_of(frame, self.scenes[scene], at))

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _scene(image: Any, sizes: Mapping[str, int], tile: str) -> Scene:
    steps = {axis: _step(image, axis) for axis in "XYZT"}
    size, warnings = stated([1e6 * steps["X"], 1e6 * steps["Y"]])
    shown = [(axis, n) for axis, n in sizes.items() if axis in "YXS" or n > 1]
    shown.sort(key=lambda pair: "YXS".find(pair[0]))
    return Scene(
        tuple(shown),
        str(image.dtype),
        name=f"{image.name}{tile}",
        pixel_size_um=size,
        pixel_size_from="LIF metadata" if size else "",
        interval_s=steps["T"] or None,
        z_step_um=1e6 * steps["Z"] or None,
        warnings=warnings,
    )


def _step(image: Any, axis: str) -> float:
    """Return the distance between two places along an axis, in the file's units (metres, seconds); 0 where unknown."""
    places = np.asarray(image.coords.get(axis, ()), float)
    return abs(float(places[1] - places[0])) if places.size > 1 else 0.0
