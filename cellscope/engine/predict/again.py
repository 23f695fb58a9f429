"""Read an input of a finished run once more, as the run read it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cellscope.engine.find import find_assay, find_predict_options
from cellscope.errors import InputError
from cellscope.io.choice import Choice
from cellscope.io.image import Image
from cellscope.io.open import MAX_PIXELS
from cellscope.io.pixel_size import given
from cellscope.io.read import read
from cellscope.options.fields import specs


def read_again(record: Mapping[str, Any], entry: Mapping[str, Any], *, images: Path | None = None) -> Image:
    """Read an input with the run's choice of planes, largest size and pixel size.

    Parameters
    ----------
    record : mapping
        ``run.json``.
    entry : mapping
        The input in ``record["inputs"]``.
    images : Path, optional
        Folder of the images, or the image, if they were moved.

    Raises
    ------
    InputError
        It is not where it was, or cannot be read.
    """
    options = SimpleNamespace(**options_of(record))
    spec, run = find_assay(record["assay"]).inputs, record["options"]["run"]
    path, choice = find_input(entry, images), Choice.of(options, entry.get("scene"))
    limit = run.get("max_pixels") or MAX_PIXELS
    if spec.read is not None:
        found: Image = spec.read(path, choice, limit, options)
    else:
        found = read(path, choice=choice, wants=spec.wants, max_pixels=limit)
    if run.get("pixel_size"):
        found = given(found, run["pixel_size"])
    return found


def options_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Give the assay's options of a run; paths, which are text in its record, as paths."""
    values = dict(record["options"].get(record["assay"], {}))
    for name, spec in specs(type(find_predict_options(record["assay"]))).items():
        if spec.kind.base is Path and isinstance(values.get(name), str):
            values[name] = Path(values[name])
    return values


def find_input(entry: Mapping[str, Any], images: Path | None) -> Path:
    """Find the file of an input; parameters and errors as of `read_again`."""
    places = [Path(str(entry["path"]))]
    if images is not None:
        name = str(entry["image"])
        places = [images] if images.is_file() else [images / name, images / Path(name).name]
    for place in places:
        if place.exists():
            return place
    raise InputError(f"{entry['image']}: the image is not at {places[0]}; say where it is with --images FOLDER")
