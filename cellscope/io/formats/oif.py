"""Olympus OIF (with its folder of planes) and OIB, read by `oiffile`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cellscope.io.convert import Decoded, Refused
from cellscope.io.formats.nd2 import plane_of
from cellscope.io.formats.needed import library
from cellscope.io.pixel_size import stated, unit_um
from cellscope.io.scene import Scene
from cellscope.io.text import reason


class OifSource:
    """An open OIF or OIB file (see `cellscope.io.scene.Source`).

    Raises
    ------
    Refused
        The package is missing, or finds the file damaged or its planes gone.
    """

    format = "Olympus OIF/OIB"

    def __init__(self, path: Path):
        oiffile = library("oiffile", "Olympus OIF and OIB files")
        try:
            self._file = oiffile.OifFile(path)
            series = self._file.series[0]
            self._axes = str(series.axes).upper()
            names = [str(name) for name in series]
            self._files = {tuple(map(int, place)): name for place, name in zip(series.indices, names, strict=True)}
            first = self._read(names[0])
        except Exception as error:
            raise Refused(
                f"the OIF or OIB file is damaged or incomplete ({reason(error)}); copy it with its folder"
            ) from error
        shape = dict(zip(self._axes, series.shape, strict=True))
        facts = self._file.mainfile
        size, warnings = stated([_step(facts, n, first.shape[1 - n]) for n in (0, 1)])
        self.scenes: tuple[Scene, ...] = (
            Scene(
                (*((axis, n) for axis, n in shape.items() if n > 1), ("Y", first.shape[0]), ("X", first.shape[1])),
                str(first.dtype),
                pixel_size_um=size,
                pixel_size_from="OIF metadata" if size else "",
                warnings=warnings,
            ),
        )

    def _read(self, name: str) -> np.ndarray:
        return np.asarray(self._file.asarray(name))

    def plane(self, scene: int, at: Mapping[str, int]) -> Decoded:
        """Decode one plane (see `cellscope.io.scene.Source`)."""
        place = tuple(at.get(axis, 0) for axis in self._axes)
        if place not in self._files:
            raise Refused("the file lacks a plane that its metadata name; the recording was stopped or is incomplete")
        return Decoded(plane_of(self._read(self._files[place]), self.scenes[scene], {}))

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _step(facts: Mapping[str, Mapping[str, object]], number: int, count: int) -> float:
    """Return micrometres per pixel along an axis of the file; 0 where it is not said."""
    try:
        axis = facts[f"Axis {number} Parameters Common"]
        first, last = float(str(axis["StartPosition"])), float(str(axis["EndPosition"]))
    except (KeyError, ValueError):
        return 0.0
    return abs(last - first) / count * (unit_um(str(axis.get("UnitName") or "um")) or 0.0)
