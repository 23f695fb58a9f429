"""OME-Zarr (NGFF 0.4 and 0.5) in a local folder, read by `zarr`: an image, several of them, or a plate of wells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cellscope.io.convert import Decoded, Refused
from cellscope.io.formats.needed import library
from cellscope.io.pixel_size import stated, unit_um, unknown_unit
from cellscope.io.scene import Scene
from cellscope.io.text import reason

_SECONDS = {"second": 1.0, "millisecond": 1e-3, "minute": 60.0, "hour": 3600.0}


class ZarrSource:
    """An open OME-Zarr (see `cellscope.io.scene.Source`): full resolution only.

    Raises
    ------
    Refused
        The package is missing, the store is damaged, or holds no image.
    """

    format = "OME-Zarr"

    def __init__(self, path: Path):
        zarr = library("zarr", "OME-Zarr images")
        try:
            root = zarr.open_group(str(path), mode="r")
        except Exception as error:  # zarr's errors differ between its versions
            raise Refused(f"the Zarr store is damaged or no group ({reason(error)}); copy it again") from error
        self._arrays: list[tuple[Any, str]] = []
        scenes = []
        for name, group in _images(root):
            try:
                array, scene = _scene(group, name)
            except (KeyError, TypeError, ValueError) as error:
                raise Refused(f"its image {name or '/'} is damaged or incomplete ({reason(error)})") from error
            self._arrays.append(array)
            scenes.append(scene)
        if not scenes:
            raise Refused("the Zarr store holds no OME image (no multiscales); export it as OME-Zarr or OME-TIFF")
        self.scenes: tuple[Scene, ...] = tuple(scenes)

    def plane(self, scene: int, at: Mapping[str, int]) -> Decoded:
        """Decode one plane (see `cellscope.io.scene.Source`)."""
        array, axes = self._arrays[scene]
        place = tuple(slice(None) if axis in "YX" else at.get(axis, 0) for axis in axes)
        plane = np.asarray(array[place])
        return Decoded(plane if axes.index("Y") < axes.index("X") else plane.T)

    def close(self) -> None:
        """Nothing to do: arrays are read chunk by chunk."""


def _facts(group: Any) -> Mapping[str, Any]:
    attributes = dict(group.attrs)
    return attributes.get("ome", attributes)


def _images(root: Any) -> Iterator[tuple[str, Any]]:
    """Yield the images of a store: its own, those of a plate's wells, or those numbered as bioformats2raw does."""
    facts = _facts(root)
    if "multiscales" in facts:
        yield str((facts["multiscales"] or [{}])[0].get("name") or ""), root
    elif "plate" in facts:
        for well in facts["plate"].get("wells", []):
            for image in _facts(root[well["path"]]).get("well", {}).get("images", []):
                path = f"{well['path']}/{image['path']}"
                yield path, root[path]
    else:
        for name, group in sorted(root.groups(), key=lambda one: (len(one[0]), one[0])):
            if "multiscales" in _facts(group):
                yield str(name), group


def _scene(group: Any, name: str) -> tuple[tuple[Any, str], Scene]:
    facts = _facts(group)
    image = facts["multiscales"][0]
    level = image["datasets"][0]
    array = group[level["path"]]
    listed = image.get("axes") or [{"name": axis} for axis in "tczyx"[-array.ndim :]]
    named = [one if isinstance(one, Mapping) else {"name": one} for one in listed]
    axes = "".join(str(one["name"])[:1].upper() for one in named)
    if len(axes) != array.ndim or not {"Y", "X"} <= set(axes) or len(set(axes)) < len(axes):
        raise ValueError(f"axes {axes} of an array of {array.ndim}")
    units = dict(zip(axes, (str(one.get("unit") or "") for one in named), strict=True))
    steps = dict.fromkeys(axes, 0.0)
    for change in (*image.get("coordinateTransformations", []), *level.get("coordinateTransformations", [])):
        if change.get("type") == "scale":
            steps = {
                axis: (steps[axis] or 1.0) * float(value) for axis, value in zip(axes, change["scale"], strict=True)
            }
    size, warnings = stated([steps[axis] * (unit_um(units[axis]) or 0.0) for axis in "XY"])
    warnings += unknown_unit(units["X"])
    shown_as = (facts.get("omero") or {}).get("channels", [])
    channels = ["" if one.get("label") is None else str(one["label"]) for one in shown_as]
    sizes = dict(zip(axes, array.shape, strict=True))
    shown = tuple((axis, n) for axis, n in sizes.items() if axis not in "YX" and n > 1)
    return (array, axes), Scene(
        (*shown, ("Y", sizes["Y"]), ("X", sizes["X"])),
        str(array.dtype),
        name=name,
        channels=tuple(channels) if len(channels) == sizes.get("C", 1) and any(channels) else (),
        pixel_size_um=size,
        pixel_size_from="OME-Zarr metadata" if size else "",
        interval_s=(steps.get("T", 0.0) * _SECONDS.get(units.get("T", ""), 0.0)) or None,
        z_step_um=(steps.get("Z", 0.0) * (unit_um(units.get("Z", "")) or 0.0)) or None,
        warnings=warnings,
    )
