"""Leica LIF and LOF, read by `liffile`: every image of the project is a scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cellscope.io.convert import Decoded, Refused
from cellscope.io.formats.nd2 import plane_of
from cellscope.io.formats.needed import library
from cellscope.io.pixel_size import stated
from cellscope.io.scene import Scene
from cellscope.io.text import reason

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
            raise Refused(f"the LIF file is damaged or cut short ({reason(error)}); copy it again") from error
        try:
            self._images: list[tuple[Any, int]] = []
            scenes, lines = [], 0
            for image in self._file.images:
                names = _names(image)
                if names is None:
                    lines += 1
                    continue
                sizes = {names[axis]: size for axis, size in image.sizes.items()}
                tiles = sizes.pop(_MOSAIC, 1)
                for tile in range(tiles):
                    self._images.append((image, tile))
                    scenes.append(_scene(image, names, sizes, f" tile {tile}" if tiles > 1 else ""))
            if lines:
                left = f"{lines} of the images in the file are scans of lines or points, which are left out"
                scenes = [replace(scene, warnings=(*scene.warnings, left)) for scene in scenes]
            if not scenes:
                raise Refused("the LIF file holds no image")
            self.scenes: tuple[Scene, ...] = tuple(scenes)
        except BaseException:
            self._file.close()
            raise

    def plane(self, scene: int, at: Mapping[str, int]) -> Decoded:
        """Decode one plane (see `cellscope.io.scene.Source`)."""
        image, tile = self._images[scene]
        names = _names(image) or {}
        wanted = {axis: at.get(name, 0) for axis, name in names.items() if name not in "YXS"}
        if _MOSAIC in image.sizes:
            wanted[_MOSAIC] = tile
        frame = np.asarray(image.frame(**wanted))
        return Decoded(plane_of(frame, self.scenes[scene], at))

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _names(image: Any) -> dict[str, str] | None:
    """Name an image's axes as `Scene` does: Y and X are what the microscope scanned, of a section through depth, too.

    None for scans of lines and points.
    """
    plane = [axis for axis in image.dims if axis != "S"][-2:]
    names = {axis: axis for axis in image.dims}
    if len(plane) < 2 or not set(plane) <= set("XYZ"):
        return None
    if set(plane) != {"Y", "X"}:  # Z and X, Z and Y: what is scanned at several places of the third has these as slices
        names |= dict(zip(plane, "YX", strict=True))
        names |= {axis: "Z" for axis in "XYZ" if axis in names and axis not in plane}
    return names


def _scene(image: Any, names: Mapping[str, str], sizes: Mapping[str, int], tile: str) -> Scene:
    steps = {name: _step(image, axis) for axis, name in names.items() if name in "XYZT"}  # channels may have names
    size, warnings = stated([1e6 * steps.get("X", 0.0), 1e6 * steps.get("Y", 0.0)])
    if any(axis != name for axis, name in names.items()):
        warnings = ("the image is a section through depth, along Z", *warnings)
    shown = [(axis, n) for axis, n in sizes.items() if axis in "YXS" or n > 1]
    shown.sort(key=lambda pair: "YXS".find(pair[0]))
    return Scene(
        tuple(shown),
        str(image.dtype),
        name=f"{image.name}{tile}",
        pixel_size_um=size,
        pixel_size_from="LIF metadata" if size else "",
        interval_s=steps.get("T") or None,
        z_step_um=1e6 * steps.get("Z", 0.0) or None,
        warnings=warnings,
    )


def _step(image: Any, axis: str) -> float:
    """Return the distance between two places along an axis, in the file's units (metres, seconds); 0 where unknown."""
    places = np.asarray(image.coords.get(axis, ()), float)
    return abs(float(places[1] - places[0])) if places.size > 1 else 0.0
