"""What a source holds that no reader takes: named, with the way out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from cellscope.errors import DatasetError
from cellscope.io.annotations.document import load_json, load_xml
from cellscope.io.annotations.geojson import geojson_files
from cellscope.io.annotations.places import image_files
from cellscope.io.leftovers import files_below
from cellscope.io.text import one_line

_SHORT = 4096
_MOST = 200
"""Files looked at."""
_NUMBERS = re.compile(rb"\s*\d+(\s+-?\d*\.?\d+(e-?\d+)?){4,}\s*")
_MASKS = ("masks", "mask", "labels", "label", "annotations", "gt", "ground_truth", "targets", "target")
_AS_COCO = "export the annotations as COCO"


def why_unread(source: Path) -> str:
    """Name the first file below `source` that looks like an annotation and cannot be read, and why; else empty.

    Examples
    --------
    ``a.xml is Pascal VOC, which has boxes only; export the annotations as COCO``
    """
    if not source.is_dir():
        return _of_file(source)
    for path in files_below(source, (".json", ".xml", ".csv", ".txt", "_seg.npy"))[:_MOST]:
        if said := _of_file(path):
            return said
    outlines = geojson_files(source)
    if outlines:
        return f"{one_line(outlines[0].name)} belongs to no image; call it as its image"
    images = image_files(source)
    masks = [path for path in images if any(part.lower() in _MASKS for part in path.relative_to(source).parts[:-1])]
    if masks and len(masks) < len(images):
        shown = one_line(masks[0].relative_to(source).as_posix())
        return f"{shown} fits no image, or several; masks lie in the same sub-folders and have the same names as images"
    folders = sorted({path.parent.name for path in images if path.parent != source})
    if len(folders) > 1:
        names = ", ".join(map(one_line, folders[:4]))
        return f"its folders ({names}) are no class names that are known, and nothing else annotates the images"
    return f"it holds {len(images)} images and nothing that annotates them" if images else "it holds no image"


def _of_file(path: Path) -> str:
    name = one_line(path.name)
    said = {".json": _of_json, ".xml": _of_xml, ".csv": _of_csv, ".txt": _of_text}.get(path.suffix.lower())
    if path.name.lower().endswith("_seg.npy"):
        return f"{name} is Cellpose's own record, a pickle, which is not read; save the masks as PNG or TIFF"
    try:
        found = said(path) if said else ""
    except (DatasetError, OSError):
        return ""
    return f"{name} {found}" if found else ""


def _of_json(path: Path) -> str:
    content: Any = load_json(path)
    if isinstance(content, list):
        listed = bool(content) and all(isinstance(one, dict) and "image_id" in one for one in content)
        return f"is a list of COCO's annotations without images and categories; {_AS_COCO}, whole" if listed else ""
    keys = {"images", "annotations", "categories"}
    if not isinstance(content, dict) or not {"images", "annotations"} & content.keys():
        return ""
    lacking = ", ".join(sorted(keys - content.keys()))
    return f"looks like COCO but lacks its {lacking}; {_AS_COCO}, whole" if lacking else ""


def _of_xml(path: Path) -> str:
    root: ElementTree.Element = load_xml(path)
    return f"is Pascal VOC, which has boxes only; {_AS_COCO}" if root.find("object/bndbox") is not None else ""


def _of_csv(path: Path) -> str:
    with path.open("rb") as stream:
        start = stream.read(_SHORT)
    three = b"VGG Image Annotator" in start and b"metadata_id" in start
    return "is a table of VIA 3; export it as COCO, or annotate with VIA 2" if three else ""


def _of_text(path: Path) -> str:
    with path.open("rb") as stream:
        lines = [line for line in stream.read(_SHORT).splitlines()[:20] if line.strip()]
    return f"is YOLO's text; {_AS_COCO}" if lines and all(map(_NUMBERS.fullmatch, lines)) else ""
