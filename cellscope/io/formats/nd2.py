"""Nikon ND2, read by the `nd2` package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cellscope.io.convert import Decoded, Refused
from cellscope.io.formats.needed import library
from cellscope.io.pixel_size import stated
from cellscope.io.scene import Scene
from cellscope.io.text import reason

_POSITIONS = "P"


class Nd2Source:
    """An open ND2 file (see `cellscope.io.scene.Source`). Its positions are scenes.

    Raises
    ------
    Refused
        The package is missing, or finds the file damaged.
    """

    format = "Nikon ND2"

    def __init__(self, path: Path):
        nd2 = library("nd2", "Nikon ND2 files")
        try:
            self._file = nd2.ND2File(path)
        except (ValueError, OSError) as error:
            raise Refused(f"the ND2 file is damaged or cut short ({reason(error)}); copy it again") from error
        try:
            sizes = dict(self._file.sizes)
            self._loops = [axis for axis in sizes if axis not in "CYXS"]
            self._frames = {tuple(place.get(axis, 0) for axis in self._loops): n for n, place in self._places()}
            count = sizes.get(_POSITIONS, 1)
            names = self._position_names()
            size, warnings = self._pixel_size()
            shown = tuple((a, n) for a, n in sizes.items() if a in "YXS" or (n > 1 and a != _POSITIONS))
            self.scenes: tuple[Scene, ...] = tuple(
                Scene(
                    tuple(sorted(shown, key=lambda pair: "YXS".find(pair[0]))),
                    str(self._file.dtype),
                    name=names[number] if number < len(names) else "",
                    channels=self._channel_names(sizes.get("C", 1)),
                    pixel_size_um=size,
                    pixel_size_from="ND2 metadata" if size else "",
                    interval_s=self._interval(),
                    z_step_um=float(self._file.voxel_size().z) or None,
                    warnings=warnings,
                )
                for number in range(count)
            )
        except BaseException:
            self._file.close()
            raise

    def _places(self) -> list[tuple[int, Mapping[str, int]]]:
        found: list[tuple[int, Mapping[str, int]]] = []
        seen = set()
        for number, place in enumerate(self._file.loop_indices):
            key = tuple(sorted((axis, index) for axis, index in place.items() if axis != "C"))
            if key not in seen:  # some versions list every channel
                seen.add(key)
                found.append((number if "C" not in place else len(found), place))
        return found or [(0, {})]

    def _position_names(self) -> list[str]:
        for loop in self._file.experiment or []:
            points = getattr(getattr(loop, "parameters", None), "points", None)
            if points:
                return [str(point.name or "") for point in points]
        return []

    def _channel_names(self, count: int) -> tuple[str, ...]:
        listed = getattr(self._file.metadata, "channels", None) or []
        names = [str(one.channel.name or "") for one in listed]
        return tuple(names) if len(names) == count and any(names) else ()

    def _pixel_size(self) -> tuple[float | None, tuple[str, ...]]:
        voxel = self._file.voxel_size()
        return stated([float(voxel.x), float(voxel.y)])

    def _interval(self) -> float | None:
        for loop in self._file.experiment or []:
            period = getattr(getattr(loop, "parameters", None), "periodMs", None)
            if period:
                return float(period) / 1000
        return None

    def plane(self, scene: int, at: Mapping[str, int]) -> Decoded:
        """Decode one plane (see `cellscope.io.scene.Source`)."""
        place = tuple(scene if axis == _POSITIONS else at.get(axis, 0) for axis in self._loops)
        if place not in self._frames:
            raise Refused("the file lacks a plane that its metadata name; the recording was stopped or is cut short")
        frame: Any = np.asarray(self._file.read_frame(self._frames[place]))
        return Decoded(plane_of(frame, self.scenes[scene], at))

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def plane_of(frame: np.ndarray, scene: Scene, at: Mapping[str, int]) -> np.ndarray:
    """Take a channel of a frame whose other axes are rows, columns and colours, in whatever order it has them."""
    shape = (scene.height, scene.width)
    axes = [n for n in range(frame.ndim) if frame.shape[n : n + 2] == shape]
    if not axes:
        raise Refused(f"a plane is of shape {frame.shape}, where {shape} was announced; the file is damaged")
    first = axes[0]
    lead, tail = frame.shape[:first], frame.shape[first + 2 :]
    frame = frame.reshape(int(np.prod(lead)), *shape, int(np.prod(tail)))
    channel = at.get("C", 0)
    samples = scene.size("S")
    plane = frame[channel if frame.shape[0] > 1 else 0]
    if samples > 1:
        plane = plane[..., :samples]
    elif plane.shape[-1] > 1:
        plane = plane[..., channel : channel + 1]
    return plane[..., 0] if plane.shape[-1] == 1 else plane
