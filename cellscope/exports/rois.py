"""Outlines as ROI sets of ImageJ: ``<stem>.zip``, further sorts of objects ``<stem>.<sort>.zip``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellscope.errors import UsageError
from cellscope.io.inputs import stem

if TYPE_CHECKING:
    from roifile import ImagejRoi

    from cellscope.exports.formats import Told
    from cellscope.exports.results import Layer, Results

LARGEST = 60_535
"""Largest coordinate of an ImageJ ROI: 16 bits, 5000 of them for what is left of and above an image."""

_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0


def write_rois(results: Results, target: Path, told: Told) -> None:
    """Write a ROI set per image and sort of object."""
    from roifile import roiwrite

    groups = {name: number % 255 + 1 for number, name in enumerate(results.classes)}
    for image in results:
        for number, layer in enumerate(image.layers()):
            name = f"{stem(image.name)}{f'.{layer.name}' if number else ''}.zip"
            rois = _rois(layer, image.name, groups)
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            roiwrite(path, rois, mode="w")


def _rois(layer: Layer, image: str, groups: dict[str, int]) -> list[ImagejRoi]:
    if max(layer.labels.shape) > LARGEST:
        raise UsageError(f"{image}: ImageJ's ROIs end at {LARGEST} pixels; --to spatialdata has no such limit")
    rows = layer.rows.set_index("label")
    found = []
    for label, geometry in layer.outlines().items():
        row = rows.loc[label] if label in rows.index else {}
        class_ = str(row.get("class", layer.singular))
        found.append(
            _roi(geometry, f"{label}-{class_}".replace("/", "_"), group=groups.get(class_, 0), image=image, row=row)
        )
    return found


def _roi(geometry: dict[str, Any], name: str, *, group: int, image: str, row: Any) -> ImagejRoi:
    """Make the ROI of a geometry: a polygon, or a composite of paths where it has holes or several parts."""
    from roifile import ROI_TYPE, ImagejRoi

    parts = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    rings = [np.asarray(ring[:-1], np.float32) for part in parts for ring in part]
    roi = ImagejRoi.frompoints(rings[0], name=name)
    roi.roitype = ROI_TYPE.POLYGON
    if len(rings) > 1:
        every = np.concatenate(rings)
        path: list[float] = []
        for ring in rings:
            path += [_MOVE, *map(float, ring[0])]
            for point in ring[1:]:
                path += [_LINE, *map(float, point)]
            path.append(_CLOSE)
        roi.roitype = ROI_TYPE.RECT
        roi.multi_coordinates = np.array(path, np.float32)
        roi.shape_roi_size = len(path)
        roi.integer_coordinates = roi.subpixel_coordinates = None
        roi.n_coordinates = 0
        (roi.left, roi.top), (roi.right, roi.bottom) = (
            np.floor(every.min(0)).astype(int).tolist(),
            np.ceil(every.max(0)).astype(int).tolist(),
        )
    roi.group = group
    roi.properties = {"image": image} | {key: str(row[key]) for key in ("class", "score", "review") if key in row}
    return roi
