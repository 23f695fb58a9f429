"""A reader for napari: the folder of a finished run opens as layers, the tables as their features."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from cellscope.exports.results import ExportedImage, Layer

MOST = 50
"""Images opened of one run: napari holds them all in memory."""

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """Give napari the function that opens `path`, or None where it is no folder of a run (nor its ``run.json``)."""
    folder = _folder(path)
    if folder is None or not (folder / "run.json").is_file() or not (folder / "objects.csv").is_file():
        return None
    return read


def _folder(path: str | list[str]) -> Path | None:
    if isinstance(path, list):
        if len(path) != 1:
            return None
        path = path[0]
    return Path(path).parent if Path(path).name == "run.json" else Path(path)


def read(path: str | list[str]) -> list[LayerData]:
    """Read the run: of every image its pixels, and a layer per sort of object.

    Objects that may overlap (chromosomes) are shapes, others labels. The features of a layer are the rows of its table.
    Lengths are in µm where the pixel size is known. Layers of all images but the first are hidden.

    Returns
    -------
    list of (data, settings, type)
    """
    from cellscope.errors import CellscopeError
    from cellscope.exports.results import Results

    folder = _folder(path)
    assert folder is not None
    found: list[LayerData] = []
    images = list(Results(folder))
    if len(images) > MOST:
        warnings.warn(f"the first {MOST} of {len(images)} images of {folder} are opened", stacklevel=2)
    for number, image in enumerate(images[:MOST]):
        try:
            found += _layers(image, visible=number == 0)
        except CellscopeError as error:
            warnings.warn(str(error), stacklevel=2)
    return found


def _layers(image: ExportedImage, *, visible: bool) -> list[LayerData]:
    size = image.pixel_size_um
    about = {"image": image.name, "path": str(image.path), "kind": image.kind, "pixel_size_um": size}
    common: dict[str, Any] = {"visible": visible, "metadata": {"cellscope": about}}
    if size:
        common |= {"scale": (size, size), "units": ("um", "um")}
    layers = image.layers()
    if not layers:
        return [_strip(image, common)] if image.file(".filmstrip.png") else []
    return [*_pixels(image, common), *(_objects(image, layer, common) for layer in layers)]


def _pixels(image: ExportedImage, common: dict[str, Any]) -> list[LayerData]:
    from cellscope.errors import InputError

    try:
        pixels: np.ndarray = image.pixels()
    except InputError as error:
        warnings.warn(str(error), stacklevel=2)
        return []
    colour = pixels.shape[-1] == 3
    return [(pixels if colour else pixels[..., 0], {"name": image.name, "rgb": colour, **common}, "image")]


def _strip(image: ExportedImage, common: dict[str, Any]) -> LayerData:
    import numpy as np
    from PIL import Image

    path = image.file(".filmstrip.png")
    assert path is not None
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    told = {key: value for key, value in common.items() if key not in ("scale", "units")}
    told["metadata"] = {"cellscope": {**told["metadata"]["cellscope"], "objects": image.rows.to_dict("records")}}
    return pixels, {"name": image.name, "rgb": True, **told}, "image"


def _objects(image: ExportedImage, layer: Layer, common: dict[str, Any]) -> LayerData:
    import numpy as np

    name = f"{image.name} {layer.name}"
    rows = layer.rows.drop(columns="image", errors="ignore")
    if not layer.masks:
        features = rows.rename(columns={"label": "index"})  # napari finds a label's features by `index`
        return layer.labels, {"name": name, "features": features, **common}, "labels"
    outlines = layer.outlines()
    rows = rows[rows["label"].isin(list(outlines))].reset_index(drop=True)
    corners = []
    for label in rows["label"]:
        geometry = outlines[int(label)]
        parts = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
        largest = max((np.asarray(part[0][:-1]) for part in parts), key=len)
        corners.append(largest[:, ::-1] - 0.5)  # napari's pixel centres are whole numbers
    settings = {
        "name": name, "features": rows, "shape_type": "polygon", "edge_width": 1, "face_color": "transparent",
        "edge_color": "class", "text": {"string": "{class}", "size": 9, "color": "yellow"}, **common,
    }  # fmt: skip
    return corners, settings, "shapes"
