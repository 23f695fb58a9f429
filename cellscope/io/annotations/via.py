"""VGG Image Annotator (VIA 1 and 2): a project, its annotations as JSON, or as CSV."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from cellscope.errors import DatasetError
from cellscope.io.annotations import checks
from cellscope.io.annotations.checks import Fault, TooFew
from cellscope.io.annotations.document import load_json, parse_json
from cellscope.io.annotations.names import Images
from cellscope.io.annotations.outline import AnnotatedImage, Outline, Part, Polygons
from cellscope.io.annotations.places import image_files, json_files
from cellscope.io.annotations.tally import drop, note
from cellscope.io.leftovers import files_below
from cellscope.io.table import read_table
from cellscope.io.text import one_line

SHAPES, ATTRIBUTES = "region_shape_attributes", "region_attributes"
CLASS_NAMES = ("class", "type", "label", "name", "category")
"""Of several attributes of a region, the one of such a name is its class."""

NO_AREA = ("point", "polyline", "line")


def _entries(content: Any) -> dict[str, Any] | None:
    """Give file key -> entry, or None where the JSON is not VIA's."""
    if isinstance(content, dict) and isinstance(content.get("_via_img_metadata"), dict):
        return dict(content["_via_img_metadata"])
    usable = isinstance(content, dict) and bool(content)
    if usable and all(isinstance(one, dict) and {"filename", "regions"} <= one.keys() for one in content.values()):
        return dict(content)
    return None


def is_via(content: Any) -> bool:
    """Tell whether JSON is VIA's."""
    return _entries(content) is not None or _is_three(content)


def _is_three(content: Any) -> bool:
    return isinstance(content, dict) and {"project", "config", "attribute", "metadata", "view"} <= content.keys()


def _tables(source: Path) -> list[Path]:
    if source.is_file():
        places = [source] if source.suffix.lower() == ".csv" else []
    else:
        places = files_below(source, (".csv",))
    return [path for path in places if SHAPES.encode() in path.read_bytes()[:4096].partition(b"\n")[0]]


def detect(source: Path) -> bool:
    """Tell whether `source` holds annotations of VIA."""
    return bool(json_files(source, is_via, '"_via_')) or bool(_tables(source))


def read(source: Path) -> list[AnnotatedImage]:
    """Read all VIA files of a folder; images without a region are left out, since VIA lists what was never looked at.

    Raises
    ------
    DatasetError
        Naming the file and, where it is one, the region.
    """
    folder = source if source.is_dir() else source.parent
    images = Images(folder, image_files(folder))
    listed: list[tuple[Path, str, list[Any]]] = []
    for path in json_files(source, is_via, '"_via_'):
        entries = _entries(load_json(path))
        if entries is None:
            raise DatasetError(f"{one_line(path)}: is a project of VIA 3; export it as COCO, or annotate with VIA 2")
        for name, entry in entries.items():
            if not isinstance(entry, dict) or not isinstance(entry.get("filename"), str):
                raise DatasetError(f"{one_line(path)}: the entry {one_line(name)[:60]} names no file")
            regions = entry.get("regions") or []
            if not isinstance(regions, list | dict):
                raise DatasetError(f"{one_line(path)}: the regions of {one_line(entry['filename'])[:60]} are no list")
            listed.append((path, entry["filename"], list(regions.values()) if isinstance(regions, dict) else regions))
    for path in _tables(source):
        regions_of: dict[str, list[Any]] = defaultdict(list)
        for row in read_table(path, ("filename", SHAPES, ATTRIBUTES)):
            shape = parse_json(row[SHAPES] or "{}", path)
            if shape:
                attributes = parse_json(row[ATTRIBUTES] or "{}", path)
                regions_of[row["filename"]].append({"shape_attributes": shape, "region_attributes": attributes})
            else:
                regions_of.setdefault(row["filename"], [])
        listed += [(path, name, regions) for name, regions in regions_of.items()]
    return _annotated(listed, images)


def _annotated(listed: list[tuple[Path, str, list[Any]]], images: Images) -> list[AnnotatedImage]:
    found: dict[Path, AnnotatedImage] = {}
    bare = []
    for path, name, regions in listed:
        if not regions:
            bare.append(name)
            continue
        image = images.find(name, path)
        if image in found:
            raise DatasetError(
                f"{one_line(image.name)} is annotated twice, in {one_line(found[image].source.name)} and in "
                f"{one_line(path.name)}; keep one of the two"
            )
        found[image] = AnnotatedImage(image, path, _outlines(regions, path, one_line(image.name)), image.stem)
    if bare and found:
        note(f"{len(bare)} images have no region in VIA and are left out: {', '.join(map(one_line, bare[:3]))}")
    return list(found.values())


def _outlines(regions: list[Any], path: Path, image: str) -> list[Outline]:
    outlines = []
    for place, region in enumerate(regions, 1):
        name = f"region {place} of {image}"
        if not isinstance(region, dict) or not isinstance(region.get("shape_attributes"), dict):
            raise DatasetError(f"{one_line(path)}: {name} has no shape_attributes")
        shape = region["shape_attributes"]
        kind = str(shape.get("name"))
        if kind in NO_AREA:
            drop("points and lines, which have no area", path, name)
            continue
        try:
            outlines.append(Outline(name, _class(region.get("region_attributes")), Polygons((_part(kind, shape),))))
        except TooFew as error:
            drop(str(error), path, name)
        except Fault as error:
            raise DatasetError(f"{one_line(path)}: {name}: {error}; correct it") from error
    return outlines


def _class(attributes: Any) -> str:
    if not isinstance(attributes, dict):
        return ""
    held = {str(key).lower(): value for key, value in attributes.items() if value not in (None, "", {})}
    chosen = next((held[name] for name in CLASS_NAMES if name in held), None)
    if chosen is None:
        if len(held) > 1:
            listed = ", ".join(sorted(held))[:80]
            raise Fault(f"has several attributes ({listed}); call the one that is its class 'class'")
        chosen = next(iter(held.values()), "")
    if isinstance(chosen, dict):  # a check box: {"tumour": true}
        ticked = [str(key) for key, value in chosen.items() if value]
        if len(ticked) > 1:
            raise Fault(f"has two classes ({', '.join(ticked)[:80]}); tick one")
        chosen = ticked[0] if ticked else ""
    return str(chosen)


def _part(kind: str, shape: dict[str, Any]) -> Part:
    if kind in ("polygon", "polyline"):
        x, y = checks.numbers(shape.get("all_points_x", ())), checks.numbers(shape.get("all_points_y", ()))
        if x.ndim != 1 or x.shape != y.shape:
            raise Fault(f"has {x.size} values of x and {y.size} of y")
        return checks.part([np.stack([x, y], 1)])
    if kind == "rect":
        x0, y0, width, height = (checks.number(shape.get(key), key) for key in ("x", "y", "width", "height"))
        if width <= 0 or height <= 0:
            raise TooFew
        return checks.rectangle(x0, y0, x0 + width, y0 + height)
    if kind in ("circle", "ellipse"):
        keys = ("cx", "cy", "r", "r") if kind == "circle" else ("cx", "cy", "rx", "ry")
        turn = np.degrees(checks.number(shape.get("theta", 0.0), "theta"))
        cx, cy, rx, ry = (checks.number(shape.get(key), key) for key in keys)
        return checks.ellipse(cx, cy, rx, ry, float(turn))
    raise Fault(f"its shape {one_line(kind)[:40]!r} is not known")
