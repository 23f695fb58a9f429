"""QuPath's GeoJSON of all versions: ``<name>.geojson`` beside the image or in a folder beside its own."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cellscope.errors import DatasetError
from cellscope.io.annotations import checks
from cellscope.io.annotations.checks import Fault, TooFew
from cellscope.io.annotations.document import parse_json, read_text
from cellscope.io.annotations.outline import AnnotatedImage, Outline, Part, Polygons
from cellscope.io.annotations.pairing import Rule, pair
from cellscope.io.annotations.places import image_files, json_files
from cellscope.io.annotations.regions import without_regions
from cellscope.io.annotations.tally import drop, note
from cellscope.io.leftovers import files_below
from cellscope.io.text import one_line

SUFFIXES = (".geojson", ".geojson.gz", ".json", ".json.gz")
RULE = Rule("outlines (GeoJSON)", ("", "_annotations", "_detections"), ("annotations", "geojson", "labels"), SUFFIXES)

DETECTED = ("detection", "cell")
"""QuPath objects that are nuclei, where a file holds any of them; annotations in it are regions then."""

_NEVER = ("tile", "tma_core", "root")
_AREA, _REGION = "*", "region*"
"""QuPath's classes of areas end with an asterisk: ``Region*`` was worked in; in others, such as ``Ignore*``, nothing is
told."""

_OLD_TYPES = {
    "pathdetectionobject": "detection", "pathcellobject": "cell", "pathannotationobject": "annotation",
    "pathtileobject": "tile", "tmacoreobject": "tma_core",
}  # fmt: skip
"""What QuPath before 0.3 wrote as a feature's id in place of an object type."""

CLASS_KEYS = ("classification", "class", "type", "label", "category")
MANY_PARTS = 4
"""Parts of one object from which on they must be objects of their own."""

FRAGMENT = 0.2
"""A part of less than this share of the largest is a slip of the brush."""


def detect(source: Path) -> bool:
    """Tell whether some image in `source` has a GeoJSON file."""
    return source.is_dir() and bool(geojson_files(source)) and any(_pairs(source).values())


def geojson_files(source: Path) -> list[Path]:
    """List the GeoJSON files below a folder: by their suffix, or JSON that is a collection of features."""
    return [*files_below(source, SUFFIXES[:2]), *json_files(source, is_collection, '"FeatureCollection"')]


def is_collection(content: Any) -> bool:
    """Tell whether JSON is a GeoJSON collection."""
    return isinstance(content, dict) and content.get("type") == "FeatureCollection"


def _pairs(source: Path) -> dict[Path, Path | None]:
    return pair(image_files(source), geojson_files(source), source, RULE)


def read(source: Path) -> list[AnnotatedImage]:
    """Read the images that have a GeoJSON file.

    Raises
    ------
    DatasetError
        Naming the file and, where it is one, the object.
    """
    pairs = _pairs(source)
    bare = [path for path, outlines in pairs.items() if outlines is None]
    if bare and len(bare) < len(pairs):
        names = ", ".join(one_line(path.name) for path in bare[:3])
        note(f"{len(bare)} images have no GeoJSON file and are left out: {names}")
    return [_annotated(image, path) for image, path in pairs.items() if path]


def _annotated(image: Path, path: Path) -> AnnotatedImage:
    found = read_annotation(path)
    return AnnotatedImage(image, path, found.outlines, image.stem, regions=found.regions, ignored=found.ignored)


def features(path: Path) -> list[dict[str, Any]]:
    """Give the features of a file: a collection, a list of features, one feature or a bare geometry.

    Raises
    ------
    DatasetError
        If the file is not GeoJSON.
    """
    try:
        content = parse_json(read_text(path), path)
    except DatasetError as error:
        raise DatasetError(f"{error} (it cannot be read as GeoJSON)") from error
    found = content.get("features", [content]) if isinstance(content, dict) else content
    if not isinstance(found, list):
        raise _no_geojson(path)
    kept = []
    for one in found:
        if isinstance(one, dict) and "geometry" not in one and "coordinates" in one:
            one = {"type": "Feature", "geometry": one, "properties": {}}
        if not isinstance(one, dict) or "geometry" not in one:
            raise _no_geojson(path)
        kept.append(one)
    return kept


def _no_geojson(path: Path) -> DatasetError:
    return DatasetError(
        f"{one_line(path)}: the file is not GeoJSON: expected is a FeatureCollection or a list of features"
    )


@dataclass
class Annotation:
    """What one file holds.

    Attributes
    ----------
    outlines : list of Outline
        The objects.
    regions, ignored : list of Outline
        Areas that were worked in, and areas of which nothing is told.
    """

    outlines: list[Outline] = field(default_factory=list)
    regions: list[Outline] = field(default_factory=list)
    ignored: list[Outline] = field(default_factory=list)


def read_outlines(path: Path) -> list[Outline]:
    """Read the objects of one file, see `read_annotation`."""
    return read_annotation(path).outlines


def read_annotation(path: Path) -> Annotation:
    """Read one file. Objects are detections and cells where there are any, of a cell its nucleus; else annotations.

    Raises
    ------
    DatasetError
    """
    found = [(number, one, kind_of(one)) for number, one in enumerate(features(path), 1)]
    detected = any(kind in DETECTED for _, _, kind in found)
    read = Annotation()
    for number, one, kind in found:
        name, class_ = _called(number, one), class_of(one)
        if kind in _NEVER:
            drop("tiles and TMA cores", path, name)
        elif class_.endswith(_AREA):
            drop(f"areas of the class {class_}", path, name)
            into = read.regions if class_.lower() == _REGION else read.ignored
            into += _area(name, class_, one)
        elif detected and kind not in DETECTED:
            drop("annotations beside detections: they are regions, not nuclei", path, name)
            read.regions += _area(name, class_, one)
        else:
            try:
                read.outlines += _objects(number, one, drawn=not detected, path=path)
            except TooFew as error:
                drop(str(error), path, name)
            except Fault as error:
                raise DatasetError(f"{one_line(path)}: {name}: {error}; export outlined nuclei only") from error
    if not detected:
        read.outlines, around = without_regions(read.outlines, path)
        read.regions += around
    return read


def _area(name: str, class_: str, one: dict[str, Any]) -> list[Outline]:
    """Make the outline of an area; none of points and lines, which have no area."""
    try:
        return [Outline(name, class_, Polygons(parts_of(one.get("geometry"))))]
    except (TooFew, Fault):
        return []


def _properties(one: dict[str, Any]) -> dict[str, Any]:
    found = one.get("properties")
    return found if isinstance(found, dict) else {}


def _called(number: int, one: dict[str, Any]) -> str:
    name = _properties(one).get("name")
    return f"object {number}" + (f" ({one_line(name)[:40]})" if isinstance(name, str) and name else "")


def kind_of(one: dict[str, Any]) -> str:
    """Give the type of a QuPath object in lower case, such as ``detection``; empty where the file does not say."""
    stated = _properties(one).get("objectType")
    if isinstance(stated, str) and stated:
        return stated.lower()
    return _OLD_TYPES.get(str(one.get("id")).lower(), "")


def class_of(one: dict[str, Any]) -> str:
    """Give a feature's class: QuPath's classification (an object or a text), else a property of such a name."""
    held = {key.lower(): value for key, value in _properties(one).items()}
    for name in CLASS_KEYS:
        value = held.get(name)
        if isinstance(value, dict):
            names = value.get("names")
            value = value.get("name") or (": ".join(map(str, names)) if isinstance(names, list) else "")
        if isinstance(value, str) and value.strip():
            return value
    return ""


def _objects(number: int, one: dict[str, Any], *, drawn: bool, path: Path) -> list[Outline]:
    """Make the object of a feature, or several where its parts are objects of their own."""
    class_, measured = class_of(one), measurements(one)
    name = _called(number, one)
    parts = parts_of(one.get("nucleusGeometry") or one.get("geometry"))
    if len(parts) == 1:
        return [Outline(name, class_, Polygons(parts), measured=measured)]
    whole = Polygons(parts)
    sizes = [Polygons((part,)).size((0, 0)) for part in parts]
    bodies = [part for part, size in zip(parts, sizes, strict=True) if size >= FRAGMENT * max(sizes)]
    numbered = "label" in measured  # written by `predict`: in parts, and one object all the same
    if not numbered and (len(bodies) >= MANY_PARTS or (drawn and len(bodies) > 1)):
        note(f"{one_line(path.name)}: {name} is a MultiPolygon of {len(parts)} parts: each part is one object")
        return [Outline(f"{name}, part {place}", class_, Polygons((part,))) for place, part in enumerate(parts, 1)]
    return [Outline(name, class_, whole, measured=measured)]


def measurements(one: dict[str, Any]) -> dict[str, float]:
    """Give a feature's measurements: an object, or QuPath's older list of names and values; finite numbers only."""
    held = _properties(one).get("measurements")
    if isinstance(held, list):
        held = {pair.get("name"): pair.get("value") for pair in held if isinstance(pair, dict)}
    if not isinstance(held, dict):
        return {}
    numbers = {str(name): value for name, value in held.items() if isinstance(value, (int, float))}
    return {name: float(value) for name, value in numbers.items() if math.isfinite(value)}


def parts_of(geometry: Any) -> tuple[Part, ...]:
    """Give the polygons of a geometry.

    Raises
    ------
    Fault
        It has no area.
    """
    if not isinstance(geometry, dict):
        raise Fault("has no geometry")
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind == "GeometryCollection" and isinstance(geometry.get("geometries"), list):
        inner = [one for one in geometry["geometries"] if isinstance(one, dict) and "olygon" in str(one.get("type"))]
        if not inner:
            raise Fault("a GeometryCollection without polygons has no area")
        return tuple(part for one in inner for part in parts_of(one))
    if kind not in ("Polygon", "MultiPolygon"):
        raise Fault(f"a {one_line(str(kind))[:40]} has no area")
    if not isinstance(coordinates, list) or not coordinates:
        raise TooFew
    return checks.parts([coordinates] if kind == "Polygon" else coordinates)
