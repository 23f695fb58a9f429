"""COCO annotation files, plain or gzipped: find them, read them, decode their masks."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cellscope.errors import DatasetError


@dataclass(frozen=True)
class CocoImage:
    """One image of a COCO file.

    Attributes
    ----------
    path : Path
        The image file.
    facts : dict
        Its entry in ``images``.
    annotations : list of dict
        Its entries of ``annotations``.
    """

    path: Path
    facts: dict[str, Any]
    annotations: list[dict[str, Any]]


def annotation_file(folder: Path) -> Path | None:
    """Find the COCO file of `folder`: the first JSON, by name, with images, annotations and categories."""
    for path in sorted([*folder.glob("*.json"), *folder.glob("*.json.gz")]):
        try:
            content = _load(path)
        except (ValueError, EOFError, gzip.BadGzipFile):
            continue
        if isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys():
            return path
    return None


def _load(path: Path) -> Any:
    """Read a JSON file, gzipped where its name ends in ``.gz``."""
    data = path.read_bytes()
    return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)


def read_coco(folder: Path, image_folders: tuple[str, ...]) -> tuple[dict[int, str], list[CocoImage]]:
    """Read the COCO file of a folder and find its images.

    Parameters
    ----------
    folder : Path
    image_folders : tuple of str
        Where in `folder` images may lie, in the order to look.

    Returns
    -------
    names : dict
        Category id -> name.
    images : list of CocoImage
        In the file's order.

    Raises
    ------
    DatasetError
        If there is no COCO file, or an image it names.
    """
    path = annotation_file(folder)
    if path is None:
        raise DatasetError(f"{folder} holds no COCO file with images, annotations and categories")
    content = _load(path)
    annotations: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in content["annotations"]:
        annotations[annotation["image_id"]].append(annotation)
    found = []
    for image in content["images"]:
        name = image["file_name"]
        file = next((folder / sub / name for sub in image_folders if (folder / sub / name).is_file()), None)
        if file is None:
            raise DatasetError(f"{path} names {name}, which is not in {folder}")
        found.append(CocoImage(file, image, annotations[image["id"]]))
    return {category["id"]: str(category["name"]) for category in content["categories"]}, found


def decode_mask(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Decode a segmentation: polygons, run lengths, or either as a JSON text.

    Returns
    -------
    (height, width) bool
    """
    from pycocotools import mask as rle

    if isinstance(segmentation, str):
        segmentation = json.loads(segmentation)
    if isinstance(segmentation, dict):
        coded = segmentation
        if isinstance(coded["counts"], list):
            coded = rle.frPyObjects(coded, height, width)
    else:
        coded = rle.merge(rle.frPyObjects(segmentation, height, width))
    return rle.decode(coded).astype(bool)
