"""Label images for Labkit (Fiji): an index image and, beside it, which labels every index stands for.

Labkit opens ``a.tif`` with ``a.tif.labels``, JSON ``{"labelSets": [[], ["1 nucleus"], ...]}``. An index may stand for
several labels, so that objects that overlap keep all their pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellscope.errors import UsageError
from cellscope.io.inputs import stem
from cellscope.io.write import write_json

if TYPE_CHECKING:
    from cellscope.exports.formats import Told
    from cellscope.exports.results import ExportedImage, Layer, Results


def write_labkit(results: Results, target: Path, told: Told) -> None:
    """Write ``<stem>.tif`` and ``<stem>.tif.labels`` of every image."""
    import tifffile

    for image in results:
        layers = image.layers()
        if not layers:
            continue
        indices, sets = label_sets(layers, image)
        path = target / f"{stem(image.name)}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        resolution: dict[str, Any] = {}
        if image.pixel_size_um:
            resolution = {"resolution": (1 / image.pixel_size_um,) * 2, "metadata": {"unit": "um", "axes": "YX"}}
        tifffile.imwrite(path, indices, imagej=True, **resolution)
        write_json(path.with_name(f"{path.name}.labels"), {"labelSets": sets}, indent=None)


def label_sets(layers: list[Layer], image: ExportedImage) -> tuple[np.ndarray, list[list[str]]]:
    """Give the index image and the labels of every index.

    Parameters
    ----------
    layers : list of Layer
    image : ExportedImage

    Returns
    -------
    indices : (H, W) uint8 or uint16
        0 where no object is.
    sets : list of list of str
        The labels of every index, ``<number> <class>``; further sorts of objects ``<sort> <number>``.

    Raises
    ------
    UsageError
        More than 65,535 of them.
    """
    indices = np.zeros(layers[0].labels.shape, np.int64)
    sets: list[frozenset[str]] = [frozenset()]
    known = {sets[0]: 0}
    for number, layer in enumerate(layers):
        names = _names(layer, first=number == 0)
        for window, inside, name in _places(layer, names):
            part = indices[window]
            for old in np.unique(part[inside]):
                held = sets[old] | {name}
                new = known.setdefault(held, len(sets))
                if new == len(sets):
                    sets.append(held)
                part[inside & (part == old)] = new
    used, indices = np.unique(indices, return_inverse=True)
    if used[0] != 0:  # no background at all
        used, indices = np.concatenate([[0], used]), indices + 1
    if len(used) > 2**16:
        raise UsageError(f"{image.name}: Labkit's label images hold 65,535 labels, not {len(used) - 1}")
    shape = layers[0].labels.shape
    kind = np.uint8 if len(used) <= 256 else np.uint16
    return indices.reshape(shape).astype(kind), [sorted(sets[index]) for index in used]


def _names(layer: Layer, *, first: bool) -> dict[int, str]:
    if not first:
        return {int(label): f"{layer.singular} {label}" for label in np.unique(layer.labels) if label}
    return {int(row["label"]): f"{row['label']} {row['class']}" for row in layer.rows.to_dict("records")}


def _places(layer: Layer, names: dict[int, str]) -> Any:
    """Give the window, the pixels in it and the name of every object."""
    from scipy import ndimage

    if layer.masks:
        for label, mask in layer.masks.items():
            height, width = mask.pixels.shape
            window = slice(mask.row, mask.row + height), slice(mask.column, mask.column + width)
            yield window, mask.pixels, names[label]
        return
    for label, window in enumerate(ndimage.find_objects(layer.labels.astype(np.int64)), 1):
        if window is not None and label in names:
            yield window, layer.labels[window] == label, names[label]
