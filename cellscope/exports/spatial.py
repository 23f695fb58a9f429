"""A run as one SpatialData store: images, labels, outlines as shapes, a table of the objects."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellscope.errors import InputError
from cellscope.exports.formats import about
from cellscope.exports.tables import as_anndata
from cellscope.io.inputs import stem

if TYPE_CHECKING:
    from cellscope.exports.formats import Told
    from cellscope.exports.results import Layer, Results

REGION, INSTANCE = "region", "label"


def write_spatialdata(results: Results, target: Path, told: Told) -> None:
    """Write the store.

    Elements are ``<image>_image``, ``<image>_<sort>`` (labels) and ``<image>_<sort>_shapes``; letters that SpatialData
    does not allow in a name become ``_``. Every image has a coordinate system of its own, ``<image>``, in µm where the
    pixel size is known and in pixels where not. The table ``objects`` annotates the outlines of the first sort.
    """
    import spatialdata
    from spatialdata.models import Image2DModel, Labels2DModel, TableModel
    from spatialdata.transformations import Identity, Scale

    names = element_names([image.name for image in results])
    images: dict[str, Any] = {}
    labels: dict[str, Any] = {}
    shapes: dict[str, Any] = {}
    region: dict[str, str] = {}
    for image in results:
        layers = image.layers()
        if not layers:
            continue
        name, size = names[image.name], image.pixel_size_um
        place = {name: Scale([size, size], axes=("x", "y")) if size else Identity()}
        try:
            pixels = np.moveaxis(image.pixels(), -1, 0)
            channels = ["r", "g", "b"] if len(pixels) == 3 else None
            images[f"{name}_image"] = Image2DModel.parse(
                pixels, dims=("c", "y", "x"), c_coords=channels, transformations=place
            )
        except InputError as error:
            told(f"{error}; its labels and outlines are written without it")
        for layer in layers:
            element = f"{name}_{layer.name}"
            labels[element] = Labels2DModel.parse(layer.labels, dims=("y", "x"), transformations=place)
            if (found := _shapes(layer, place)) is not None:
                shapes[f"{element}_shapes"] = found
        if len(image.rows) and (first := f"{name}_{layers[0].name}_shapes") in shapes:
            region[image.name] = first
    table = as_anndata(results)
    table = table[table.obs["image"].isin(list(region))].copy()
    tables = {}
    if len(table):
        table.obs[REGION] = pd.Categorical(table.obs["image"].astype(str).map(region))
        tables["objects"] = TableModel.parse(
            table, region=sorted(set(region.values())), region_key=REGION, instance_key=INSTANCE
        )
    attributes = {"cellscope": {"elements": names, "export": json.dumps(about(results))}}
    whole = spatialdata.SpatialData(images=images, labels=labels, shapes=shapes, tables=tables, attrs=attributes)
    whole.write(target)


def element_names(images: list[str]) -> dict[str, str]:
    """Name the elements of images: letters, digits, ``_``, ``-`` and ``.`` only, and no two alike in lower case."""
    found: dict[str, str] = {}
    used: set[str] = set()
    for image in images:
        base = re.sub(r"[^A-Za-z0-9_.-]+", "_", stem(image)).strip("_.") or "image"
        name, repeat = base, 1
        while name.lower() in used:
            repeat += 1
            name = f"{base}_{repeat}"
        used.add(name.lower())
        found[image] = name
    return found


def _shapes(layer: Layer, place: dict[str, Any]) -> Any:
    """Give the outlines as polygons, indexed by label; None for none."""
    import geopandas
    from shapely.geometry import shape
    from spatialdata.models import ShapesModel

    outlines = layer.outlines()
    if not outlines:
        return None
    frame = geopandas.GeoDataFrame(
        {"geometry": [shape(geometry) for geometry in outlines.values()]}, index=pd.Index(outlines, name="label")
    )
    return ShapesModel.parse(frame, transformations=place)
