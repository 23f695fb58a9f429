"""Images with their labels as OME-Zarr (NGFF): ``<stem>.ome.zarr`` per image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellscope.errors import InputError
from cellscope.exports.formats import about
from cellscope.exports.results import part_names

if TYPE_CHECKING:
    from cellscope.exports.formats import Told
    from cellscope.exports.results import Results

SMALLEST = 256
"""The pyramid ends when no side is longer."""


def write_ome_zarr(results: Results, target: Path, told: Told) -> None:
    """Write every image with a pyramid, its label images, and what is known of each label (``image-label``)."""
    import zarr
    from ome_zarr.writer import write_multiscale, write_multiscale_labels

    said = json.dumps(about(results))
    names = part_names(results, ".ome.zarr")
    for image in results:
        layers = image.layers()
        if not layers:
            continue
        try:
            pixels = np.moveaxis(image.pixels(), -1, 0)
        except InputError as error:
            told(f"{error}; its labels are written without it")
            pixels = np.zeros((1, *layers[0].labels.shape), np.uint8)
        path = target / names[image.name]
        path.parent.mkdir(parents=True, exist_ok=True)
        group = zarr.open_group(str(path), mode="w")
        unit = {"unit": "micrometer"} if image.pixel_size_um else {}
        space = [{"name": name, "type": "space", **unit} for name in "yx"]
        levels = _halves(pixels, smooth=True)
        write_multiscale(
            levels, group, axes=[{"name": "c", "type": "channel"}, *space], name=image.name,
            coordinate_transformations=_scales(levels, image.pixel_size_um),  # `scale` is of newer versions only
        )  # fmt: skip
        for layer in layers:
            below = _halves(layer.labels, smooth=False)
            write_multiscale_labels(
                below, group, layer.name, axes=space, coordinate_transformations=_scales(below, image.pixel_size_um),
                label_metadata={"properties": properties(layer.rows)},
            )  # fmt: skip
        group.attrs["cellscope"] = {"image": image.name, "path": str(image.path), "export": said}


def properties(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Give what is known of each label as JSON holds it; undefined values are left out."""
    found = []
    for row in rows.drop(columns="image", errors="ignore").to_dict("records"):
        known = {str(key): _plain(value) for key, value in row.items() if key != "label" and not pd.isna(value)}
        found.append({"label-value": int(row["label"]), **known})
    return found


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _halves(pixels: np.ndarray, *, smooth: bool) -> list[np.ndarray]:
    """Give the pyramid: every level half of the one before, means of pixels, or every second label."""
    from skimage.transform import downscale_local_mean

    levels = [np.ascontiguousarray(pixels)]
    while max(levels[-1].shape[-2:]) > SMALLEST:
        last = levels[-1]
        if smooth:
            block = (1,) * (last.ndim - 2) + (2, 2)
            small = downscale_local_mean(last, block)
            small = (np.rint(small) if last.dtype.kind in "ui" else small).astype(last.dtype)
        else:
            small = np.ascontiguousarray(last[..., ::2, ::2])
        levels.append(small)
    return levels


def _scales(levels: list[np.ndarray], pixel_size_um: float | None) -> list[list[dict[str, Any]]]:
    size = pixel_size_um or 1.0
    before = levels[0].ndim - 2
    return [
        [{"type": "scale", "scale": [1.0] * before + [size * 2**level] * 2}] for level in range(len(levels))
    ]  # fmt: skip
