"""XML annotations: CVAT for images, and Aperio's (ImageScope, MoNuSeg)."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from cellscope.errors import DatasetError
from cellscope.io.annotations import checks, rle
from cellscope.io.annotations.checks import Fault, TooFew
from cellscope.io.annotations.document import load_xml
from cellscope.io.annotations.outline import Geometry, Outline, Polygons, Window
from cellscope.io.annotations.tally import drop
from cellscope.io.leftovers import files_below
from cellscope.io.text import one_line

_START = 4096


def xml_files(source: Path, tag: bytes) -> list[Path]:
    """List the XML files below a folder whose beginning holds a tag; or the file itself."""
    if source.is_file():
        places = [source] if source.suffix.lower() == ".xml" else []
    else:
        places = files_below(source, (".xml",))
    found = []
    for path in places:
        with path.open("rb") as stream:
            if tag in stream.read(_START).replace(b"\0", b""):
                found.append(path)
    return found


def is_number(text: str | None) -> bool:
    """Tell whether an attribute is a whole number."""
    return text is not None and text.strip().isdecimal()


def cvat_outlines(image: ElementTree.Element, path: Path) -> list[Outline]:
    """Make the objects of one ``image`` of CVAT's format 1.1.

    Raises
    ------
    DatasetError
        Naming the file and the object.
    """
    outlines = []
    shown = one_line(image.get("name", "an image without a name"))
    for place, one in enumerate(image, 1):
        name = f"object {place} ({one_line(str(one.tag))[:20]}) of {shown}"
        if one.tag in ("tag", "points", "polyline", "skeleton", "cuboid"):
            drop("points, lines and tags, which have no area", path, name)
            continue
        try:
            outlines.append(Outline(name, one.get("label", ""), _cvat_geometry(one)))
        except TooFew as error:
            drop(str(error), path, name)
        except Fault as error:
            raise DatasetError(f"{one_line(path)}: {name}: {error}; correct it") from error
    return outlines


def _cvat_geometry(one: ElementTree.Element) -> Geometry:
    def value(key: str) -> float:
        return checks.number(one.get(key), key)

    if one.tag == "polygon":
        points = [pair.split(",") for pair in (one.get("points") or "").split(";") if pair.strip()]
        return Polygons((checks.part([points]),))
    if one.tag == "box":
        corners = (value("xtl"), value("ytl"), value("xbr"), value("ybr"))
        if corners[2] <= corners[0] or corners[3] <= corners[1]:
            raise TooFew
        return Polygons((checks.rectangle(*corners),))
    if one.tag == "ellipse":
        turn = value("rotation") if one.get("rotation") else 0.0
        return Polygons((checks.ellipse(value("cx"), value("cy"), value("rx"), value("ry"), turn),))
    if one.tag == "mask":
        left, top, width, height = (round(value(key)) for key in ("left", "top", "width", "height"))
        try:
            counts = [int(text) for text in (one.get("rle") or "").split(",")]
            pixels = rle.decode(rle.parse_counts(counts), height, width, by_columns=False)
        except ValueError as error:
            raise Fault(f"its run lengths {error}") from error
        return Window(pixels, (top, left))
    raise Fault(f"a {one_line(str(one.tag))[:40]} is not known")


def aperio_outlines(root: ElementTree.Element, path: Path) -> list[Outline]:
    """Make the objects of Aperio's XML: regions that are not taken out, clicks of less than three points left out.

    Raises
    ------
    DatasetError
        Naming the file and the region.
    """
    outlines = []
    regions = [region for region in root.iter("Region") if region.get("NegativeROA", "0") != "1"]
    for number, region in enumerate(regions, 1):
        points = [[vertex.get("X", "nan"), vertex.get("Y", "nan")] for vertex in region.iter("Vertex")]
        try:
            ring = checks.numbers(points)
            if len(ring) < 3:
                raise TooFew
        except TooFew as error:
            drop(str(error), path, f"region {number}")
            continue
        except Fault as error:
            missing = "has a vertex without X or Y" if "finite" in str(error) else f"is wrong: {error}"
            raise DatasetError(f"{one_line(path)}: region {number} {missing}") from error
        outlines.append(Outline(f"region {number}", "", Polygons(((np.asarray(ring),),))))
    return outlines


def load(path: Path) -> ElementTree.Element:
    """Read an XML file, see `document.load_xml`."""
    return load_xml(path)
