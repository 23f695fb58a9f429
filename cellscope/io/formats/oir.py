"""Olympus OIR, read by `oirfile`, which needs Python 3.12 or newer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cellscope.io.convert import Decoded, Refused
from cellscope.io.formats.needed import library
from cellscope.io.pixel_size import stated
from cellscope.io.scene import Scene
from cellscope.io.text import reason


class OirSource:
    """An open OIR file (see `cellscope.io.scene.Source`).

    Raises
    ------
    Refused
        The package is missing, or finds the file damaged.
    """

    format = "Olympus OIR"

    def __init__(self, path: Path):
        oirfile = library("oirfile", "Olympus OIR files (in Python 3.12 or newer)")
        try:
            self._file = oirfile.OirFile(path)
            self._sizes = dict(self._file.sizes)
            dtype = str(self._file.dtype)
            steps = dict(self._file.coord_scales)
            names = tuple(str(channel.name) for channel in self._file.channels)
        except Exception as error:
            raise Refused(f"the OIR file is damaged or cut short ({reason(error)}); copy it again") from error
        size, warnings = stated([steps.get("X", 0.0), steps.get("Y", 0.0)])
        shown = [(axis, n) for axis, n in self._sizes.items() if axis in "YXS" or n > 1]
        shown.sort(key=lambda pair: "YXS".find(pair[0]))
        self.scenes: tuple[Scene, ...] = (
            Scene(
                tuple(shown),
                dtype,
                channels=names if len(names) == self._sizes.get("C", 1) else (),
                pixel_size_um=size,
                pixel_size_from="OIR metadata" if size else "",
                interval_s=steps.get("T"),
                z_step_um=steps.get("Z"),
                warnings=warnings,
            ),
        )
        self._whole: np.ndarray | None = None  # the library decodes all planes at once

    def plane(self, scene: int, at: Mapping[str, int]) -> Decoded:
        """Decode one plane (see `cellscope.io.scene.Source`)."""
        if self._whole is None:
            self._whole = np.asarray(self._file.asarray())
        place = tuple(slice(None) if axis in "YXS" else at.get(axis, 0) for axis in self._sizes)
        left = "".join(axis for axis in self._sizes if axis in "YXS")
        order = [left.index(axis) for axis in "YXS" if axis in left]
        return Decoded(np.ascontiguousarray(self._whole[place].transpose(order)))

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
