"""LabelMe: a JSON file per image, with polygons, rectangles, circles and masks."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any

import numpy as np

from cellscope.errors import DatasetError
from cellscope.io.annotations import checks
from cellscope.io.annotations.checks import Fault, TooFew
from cellscope.io.annotations.document import load_json
from cellscope.io.annotations.names import Images
from cellscope.io.annotations.outline import AnnotatedImage, Geometry, Outline, Part, Polygons, Window
from cellscope.io.annotations.places import image_files
from cellscope.io.annotations.tally import drop, note
from cellscope.io.convert import Refused, check_size
from cellscope.io.leftovers import files_below
from cellscope.io.text import one_line

NO_AREA = ("point", "points", "line", "linestrip")


def is_labelme(content: Any) -> bool:
    """Tell whether JSON is LabelMe's."""
    return isinstance(content, dict) and isinstance(content.get("shapes"), list) and "imagePath" in content


def _files(source: Path) -> list[Path]:
    if not source.is_dir():
        return []
    found = []
    for path in files_below(source, (".json",)):
        try:
            fits = is_labelme(load_json(path))
        except DatasetError:
            fits = b'"imagePath"' in path.read_bytes()[-(2**16) :] or b'"shapes"' in path.read_bytes()[: 2**16]
        if fits:
            found.append(path)
    return found


def detect(source: Path) -> bool:
    """Tell whether `source` holds LabelMe files."""
    return bool(_files(source))


def read(source: Path) -> list[AnnotatedImage]:
    """Read all LabelMe files of a folder, each with the image it names, or that of its own name.

    Raises
    ------
    DatasetError
        Naming the file and, where it is one, the shape.
    """
    images = Images(source, image_files(source))
    found: dict[Path, AnnotatedImage] = {}
    for path in _files(source):
        content = load_json(path)
        if not is_labelme(content):
            raise DatasetError(f"{one_line(path)}: is not LabelMe, which has shapes and an imagePath")
        name = content["imagePath"]
        if not isinstance(name, str) or not name:
            name = path.stem
        image = images.find(name, path)
        if image in found:
            raise DatasetError(
                f"{one_line(image.name)} is annotated twice, in {one_line(found[image].source.name)} and in "
                f"{one_line(path.name)}; keep one of the two"
            )
        width, height = content.get("imageWidth"), content.get("imageHeight")
        stated = (width, height) if isinstance(width, int) and isinstance(height, int) else None
        found[image] = AnnotatedImage(image, path, _outlines(content["shapes"], path), image.stem, stated)
    if images.unnamed and found:
        names = ", ".join(one_line(path.name) for path in images.unnamed[:3])
        note(f"{len(images.unnamed)} images have no LabelMe file and are left out: {names}")
    return list(found.values())


def _outlines(shapes: list[Any], path: Path) -> list[Outline]:
    """Make objects of shapes; polygons of one ``group_id`` and label are one object."""
    outlines: list[Outline] = []
    groups: dict[tuple[Any, str], int] = {}
    for place, shape in enumerate(shapes, 1):
        name = f"shape {place}"
        if not isinstance(shape, dict):
            raise DatasetError(f"{one_line(path)}: {name} is not an object")
        kind = str(shape.get("shape_type") or "polygon")
        if kind in NO_AREA:
            drop("points and lines, which have no area", path, name)
            continue
        label = str(shape.get("label") or "")
        try:
            geometry = _geometry(kind, shape)
        except TooFew as error:
            drop(str(error), path, name)
            continue
        except Fault as error:
            raise DatasetError(f"{one_line(path)}: {name}: {error}; correct it") from error
        group = shape.get("group_id")
        joined = groups.get((str(group), label)) if group is not None else None
        if joined is not None and isinstance(geometry, Polygons):
            before = outlines[joined].geometry
            if isinstance(before, Polygons):
                whole = Polygons((*before.parts, *geometry.parts))
                outlines[joined] = Outline(outlines[joined].name, label, whole)
                continue
        if group is not None:
            groups[str(group), label] = len(outlines)
        outlines.append(Outline(name, label, geometry))
    return outlines


def _geometry(kind: str, shape: dict[str, Any]) -> Geometry:
    points = shape.get("points")
    if kind == "polygon":
        return Polygons((checks.part([points]),))
    corners = checks.numbers(points)
    if corners.shape != (2, 2):
        raise Fault(f"a {one_line(kind)[:40]} has two points")
    if kind == "circle":
        radius = float(np.hypot(*(corners[1] - corners[0])))
        return Polygons((checks.ellipse(float(corners[0, 0]), float(corners[0, 1]), radius, radius),))
    low, high = corners.min(0), corners.max(0)
    if kind == "rectangle":
        return Polygons((_rectangle(low, high),))
    if kind == "mask":
        return Window(_mask(shape.get("mask")), (round(float(low[1])), round(float(low[0]))))
    raise Fault(f"its shape_type {one_line(kind)[:40]!r} is not known")


def _rectangle(low: np.ndarray, high: np.ndarray) -> Part:
    if not (high > low).all():
        raise TooFew
    return checks.rectangle(*low.tolist(), *high.tolist())


def _mask(text: Any) -> np.ndarray:
    from cellscope.io.formats.raster import decode_png

    try:
        data = base64.b64decode(text, validate=True)
        if len(data) > 24:
            check_size(int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"), 1, 2**28)
        pixels = decode_png(data, 2**28).pixels
    except (binascii.Error, TypeError, ValueError, RuntimeError, Refused) as error:
        raise Fault("its mask is no PNG in base64") from error
    return np.asarray((pixels if pixels.ndim == 2 else pixels[..., 0]) > 0)
