"""COCO instances: BioImLab (masks, single chromosomes beside), Tseng 2023 (boxes) and a laboratory's own annotation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cellscope.assays.karyotype.classes import parse_class
from cellscope.assays.karyotype.datasets.sources.record import Instance, Record
from cellscope.errors import DatasetError
from cellscope.io.coco import annotation_file, decode_mask, read_coco

IMAGE_FOLDERS = ("images", "metaphase", ".")


def detect(folder: Path) -> bool:
    """Tell whether `folder` holds a COCO annotation file."""
    return folder.is_dir() and annotation_file(folder) is not None


def read(folder: Path) -> Iterator[Record]:
    """Yield the metaphases of a COCO folder, then the single chromosomes of a ``single`` folder beside them.

    The image's ``group`` or ``case`` field, else its file name, is what a split keeps together. Category names that
    are not one of the 24 chromosomes count as unknown class.
    """
    names, images = read_coco(folder, IMAGE_FOLDERS)
    classes = {number: parse_class(name) for number, name in names.items()}
    group_of_cell: dict[str, str] = {}
    for found in images:
        image = found.facts
        group = str(image.get("group") or image.get("case") or Path(image["file_name"]).stem)
        cell = image.get("patient_cell")
        if cell is not None:
            group_of_cell[str(cell)] = group
        yield Record(
            name=Path(image["file_name"]).stem,
            path=found.path,
            group=group,
            case=str(image.get("case") or ""),
            abnormal=bool(image.get("abnormal")),
            instances=[
                _instance(annotation, classes[annotation["category_id"]], image["height"], image["width"])
                for annotation in found.annotations
            ],
            # BioImLab: a metaphase that matched no single may share a patient with any cell.
            train_only="patient_cell" in image and cell is None,
            facts={"abnormal": str(image.get("abnormal") or "")},
        )
    yield from _singles(folder / "single", group_of_cell)


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


def _singles(folder: Path, group_of_cell: dict[str, str]) -> Iterator[Record]:
    """Read ``<cell>/<cell> <class>[a|b].bmp``; cells without a metaphase go to training under a group of their own."""
    if not folder.is_dir():
        return
    for path in sorted(folder.rglob("*.bmp")):
        cell, _, label = path.stem.partition(" ")
        class_ = parse_class(label.rstrip("ab"))
        if class_ is None:
            raise DatasetError(f"{path}: the name holds no chromosome class")
        yield Record(
            name=f"single/cell{cell}/{path.stem.replace(' ', '-')}",
            path=path,
            group=group_of_cell.get(cell, f"cell{cell}"),
            class_=class_,
            train_only=cell not in group_of_cell,
        )
