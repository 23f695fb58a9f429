"""Zeiss CZI, read by Zeiss's own `pylibCZIrw`: scenes put together from their tiles, every compression."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from cellscope.io.convert import Decoded, Refused
from cellscope.io.formats.needed import library
from cellscope.io.pixel_size import stated
from cellscope.io.scene import Scene
from cellscope.io.text import reason

_PIXELS = {
    "Gray8": ("uint8", 1), "Gray16": ("uint16", 1), "Gray32Float": ("float32", 1), "Bgr24": ("uint8", 3),
    "Bgr48": ("uint16", 3), "Bgr96Float": ("float32", 3),
}  # fmt: skip
_LOOPS = "TZCHIVRB"


class CziSource:
    """An open CZI file (see `cellscope.io.scene.Source`).

    Raises
    ------
    Refused
        The package is missing, or finds the file damaged, or pixels are of a kind it does not know.
    """

    format = "Zeiss CZI"

    def __init__(self, path: Path):
        czi = library("pylibCZIrw.czi", "Zeiss CZI files", "pylibCZIrw")
        self._stack = ExitStack()
        try:
            self._czi = self._stack.enter_context(czi.open_czi(str(path)))
            box = self._czi.total_bounding_box_no_pyramid
            self._sizes = {axis: box[axis][1] - box[axis][0] for axis in box if axis not in "XYS"}
            self._starts = {axis: box[axis][0] for axis in box if axis not in "XYS"}
            whole = self._czi.total_bounding_rectangle_no_pyramid
            self._areas: list[tuple[int | None, Any]] = list(
                self._czi.scenes_bounding_rectangle_no_pyramid.items()
            ) or [(None, whole)]
            self._kinds = {int(channel): str(kind) for channel, kind in self._czi.pixel_types.items()}
            self.scenes: tuple[Scene, ...] = self._describe()
        except RuntimeError as error:
            self._stack.close()
            raise Refused(f"the CZI file is damaged or cut short ({reason(error)}); copy it again") from error
        except BaseException:
            self._stack.close()
            raise

    def _describe(self) -> tuple[Scene, ...]:
        kinds = {self._kinds.get(channel, "Gray16") for channel in range(self._sizes.get("C", 1))}
        if unknown := kinds - set(_PIXELS):
            raise Refused(
                f"pixels of type {', '.join(sorted(unknown))} are not supported; export it as OME-TIFF in ZEN"
            )
        samples = {_PIXELS[kind][1] for kind in kinds}
        if len(samples) > 1:
            raise Refused("the file mixes colour and grey channels; export the channel that counts as OME-TIFF in ZEN")
        dtype = np.result_type(*(np.dtype(_PIXELS[kind][0]) for kind in kinds))
        facts = (self._czi.metadata or {}).get("ImageDocument", {}).get("Metadata", {})
        size, warnings = stated([1e6 * value for value in _scaling(facts, "XY")])
        step = next(iter(_scaling(facts, "Z")), 0.0)
        loops = tuple((axis, count) for axis, count in self._sizes.items() if count > 1 and axis in _LOOPS)
        names = _scene_names(facts)
        return tuple(
            Scene(
                (*loops, ("Y", area.h), ("X", area.w), *((("S", 3),) if samples == {3} else ())),
                str(dtype),
                name=names.get(number or 0, "") if number is not None else "",
                channels=_channel_names(facts, self._sizes.get("C", 1)),
                pixel_size_um=size,
                pixel_size_from="CZI metadata" if size else "",
                z_step_um=1e6 * step or None,
                warnings=warnings,
            )
            for number, area in self._areas
        )

    def plane(self, scene: int, at: Mapping[str, int]) -> Decoded:
        """Decode one plane; where the microscope took no tile, colour is white and grey is 0."""
        number, area = self._areas[scene]
        place = {axis: start + at.get(axis, 0) for axis, start in self._starts.items()}
        colour = self.scenes[scene].size("S") == 3
        white = (1.0, 1.0, 1.0) if colour else (0.0, 0.0, 0.0)
        pixels = self._czi.read(roi=(area.x, area.y, area.w, area.h), plane=place, scene=number, background_pixel=white)
        if colour:
            return Decoded(np.ascontiguousarray(pixels[..., 2::-1]))
        return Decoded(np.ascontiguousarray(pixels[..., 0]))

    def close(self) -> None:
        """Let go of the file."""
        self._stack.close()


def _listed(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [found] if found else []


def _scaling(facts: Mapping[str, Any], axes: str) -> list[float]:
    """Return metres per pixel along axes; 0 where missing."""
    items = _listed(((facts.get("Scaling") or {}).get("Items") or {}).get("Distance"))
    known = {str(one.get("@Id")): one.get("Value") for one in items if isinstance(one, Mapping)}
    found = []
    for axis in axes:
        try:
            found.append(float(known.get(axis) or 0))
        except (TypeError, ValueError):
            found.append(0.0)
    return found


def _image(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    return ((facts.get("Information") or {}).get("Image") or {}) if isinstance(facts, Mapping) else {}


def _channel_names(facts: Mapping[str, Any], count: int) -> tuple[str, ...]:
    """Return the channels' names, from the display settings where the description of the image has none."""
    for place in (_image(facts).get("Dimensions"), facts.get("DisplaySetting")):
        listed = _listed(((place or {}).get("Channels") or {}).get("Channel"))
        names = [str(one.get("@Name") or "") for one in listed if isinstance(one, Mapping)]
        if len(names) == count and any(names):
            return tuple(names)
    return ()


def _scene_names(facts: Mapping[str, Any]) -> dict[int, str]:
    found = (((_image(facts).get("Dimensions") or {}).get("S") or {}).get("Scenes") or {}).get("Scene")
    listed = [one for one in _listed(found) if isinstance(one, Mapping)]
    return {int(one.get("@Index") or n): str(one.get("@Name") or "") for n, one in enumerate(listed)}
