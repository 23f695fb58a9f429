"""QuPath: images with ``<name>.geojson`` beside them or in a folder beside theirs, also what `predict` wrote."""

from __future__ import annotations

import gzip
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cellscope.assays.histo.datasets.sources.record import (
    Annotated,
    Choices,
    Record,
    Source,
    check_types,
    colour,
    group_of,
    image_files,
    open_image,
)
from cellscope.errors import DatasetError
from cellscope.imaging.polygons import fill

FOLDERS = ("", "annotations", "geojson", "labels")
SUFFIXES = (".geojson", ".geojson.gz")
#: QuPath objects that are nuclei, when a file holds any of them; annotations in it are regions then.
FOUND = ("detection", "cell")


def _outlines(image: Path, folder: Path) -> Path | None:
    places = [image.parent, *(folder / name for name in FOLDERS)]
    files = (place / f"{image.stem}{suffix}" for place in places for suffix in SUFFIXES)
    return next((path for path in files if path.is_file()), None)


def _pairs(folder: Path) -> list[tuple[Path, Path]]:
    images = folder / "images"
    found = [(path, _outlines(path, folder)) for path in image_files(images if images.is_dir() else folder)]
    return [(image, path) for image, path in found if path is not None]


def detect(folder: Path) -> bool:
    """Tell whether some image in `folder` has a GeoJSON file."""
    return folder.is_dir() and bool(_pairs(folder))


def read(folder: Path, choices: Choices) -> Source:
    """List the images that have a GeoJSON file; the TCGA case in a name groups.

    The types are those of ``--classes``, else the classifications in the files, in alphabetical order.
    """
    pairs = _pairs(folder)
    named = {_class(feature) for _, path in pairs for feature in features(path)} - {""}
    classes = choices.classes or tuple(sorted(named))
    if not named or (not choices.classes and named == {"nucleus"}):
        classes = ()
    records = [
        Record(image.stem, path, partial(load, image, path, classes), group_of(image.stem)) for image, path in pairs
    ]
    return Source(records, classes)


def features(path: Path) -> list[dict[str, Any]]:
    """Read the features of a file that are nuclei.

    Raises
    ------
    DatasetError
        If the file is not GeoJSON.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        content = json.loads(raw)
    except (OSError, EOFError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read as GeoJSON ({error}); export it again") from error
    found = content.get("features", [content]) if isinstance(content, dict) else content
    if not isinstance(found, list) or not all(isinstance(one, dict) and "geometry" in one for one in found):
        raise DatasetError(f"{path}: the file is not GeoJSON: expected is a FeatureCollection or a list of features")
    nuclei = [one for one in found if (one.get("properties") or {}).get("objectType") in FOUND]
    return nuclei or found


def load(image: Path, path: Path, classes: tuple[str, ...]) -> Annotated:
    """Read an image and draw its outlines, the smaller on top of the larger; of a QuPath cell, its nucleus.

    Raises
    ------
    DatasetError
        If an object has no area, lies outside the image, or has a type that is not declared.
    """
    picture = open_image(image)
    pixels = colour(picture, image)
    labels = np.zeros(pixels.shape[:2], np.int32)
    found = features(path)
    shapes = [one.get("nucleusGeometry") or one["geometry"] or {} for one in found]
    sizes = [_size(shape) for shape in shapes]
    for number in sorted(range(len(found)), key=lambda index: -sizes[index]):
        try:
            drawn = fill(labels, shapes[number], number + 1)
        except (ValueError, TypeError) as error:
            raise DatasetError(f"{path}: object {number + 1}: {error}; export outlined nuclei only") from error
        if not drawn and sizes[number] > 1:
            raise DatasetError(
                f"{path}: object {number + 1} lies outside {image.name} ({pixels.shape[1]} x {pixels.shape[0]} "
                "pixels); export in pixels of the full image"
            )
    types = None
    if classes:
        visible = set(np.unique(labels).tolist())
        pairs = [(number, _class(one)) for number, one in enumerate(found, 1) if number in visible]
        types = check_types(pairs, labels, classes, path)
    return Annotated(pixels, labels, types, picture.pixel_size_um)


def _class(feature: dict[str, Any]) -> str:
    classification = (feature.get("properties") or {}).get("classification") or {}
    return str(classification.get("name") or ": ".join(classification.get("names") or []))


def _size(shape: dict[str, Any]) -> float:
    """Give the area of an outline's box, enough to tell a nucleus from the larger one it lies on."""
    points = np.array(list(_points(shape.get("coordinates") or [])), float)
    return float(np.prod(np.ptp(points, 0))) if len(points) else 0.0


def _points(coordinates: Any) -> Any:
    if coordinates and isinstance(coordinates[0], (int, float)):
        yield coordinates[:2]
    else:
        for inner in coordinates:
            yield from _points(inner)
