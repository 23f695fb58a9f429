"""Metaphases annotated as COCO instances, with masks or boxes: published sets and a laboratory's own annotation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cellscope.assays.karyotype.classes import parse_class
from cellscope.assays.karyotype.datasets.sources.record import Instance, Record
from cellscope.io.coco import annotation_file, decode_mask, read_coco

IMAGE_FOLDERS = ("images", "metaphase", ".")


def detect(folder: Path) -> bool:
    """Tell whether `folder` holds a COCO annotation file."""
    return folder.is_dir() and annotation_file(folder) is not None


def read(folder: Path) -> Iterator[Record]:
    """Yield the metaphases of a COCO folder.

    The image's ``group`` or ``case`` field, else its file name, is what a split keeps together. Category names that
    are not one of the 24 chromosomes count as unknown class.
    """
    for _, record in metaphases(folder):
        yield record


def metaphases(folder: Path) -> Iterator[tuple[dict[str, Any], Record]]:
    """Yield what the file says of each image, and its record."""
    names, images = read_coco(folder, IMAGE_FOLDERS)
    classes = {number: parse_class(name) for number, name in names.items()}
    for found in images:
        image = found.facts
        yield (
            image,
            Record(
                name=Path(image["file_name"]).stem,
                path=found.path,
                group=str(image.get("group") or image.get("case") or Path(image["file_name"]).stem),
                case=str(image.get("case") or ""),
                abnormal=bool(image.get("abnormal")),
                instances=[
                    _instance(annotation, classes[annotation["category_id"]], image["height"], image["width"])
                    for annotation in found.annotations
                ],
                facts={"abnormal": str(image.get("abnormal") or "")},
            ),
        )


def _instance(annotation: dict[str, Any], class_: str | None, height: int, width: int) -> Instance:
    segmentation = annotation.get("segmentation")
    bbox = tuple(float(value) for value in annotation["bbox"])
    if not segmentation:
        return Instance(bbox, None, class_)  # type: ignore[arg-type]
    mask = decode_mask(segmentation, height, width)
    x, y, w, h = bbox
    x0, y0 = max(int(np.floor(x)), 0), max(int(np.floor(y)), 0)
    x1, y1 = min(int(np.ceil(x + w)), width), min(int(np.ceil(y + h)), height)
    return Instance((x, y, w, h), np.ascontiguousarray(mask[y0:y1, x0:x1]), class_)
