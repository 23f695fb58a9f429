"""COCO instances of nuclei: a JSON file beside ``images``; its categories are the types."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from cellscope.assays.histo.datasets.sources.record import (
    Annotated,
    Choices,
    Record,
    Source,
    colour,
    group_of,
    open_image,
)
from cellscope.errors import DatasetError
from cellscope.io.coco import CocoImage, annotation_file, decode_mask, read_coco

IMAGE_FOLDERS = ("images", ".")
#: Categories that name no type.
NO_TYPE = ("nucleus", "nuclei", "nuclear", "cell")


def detect(folder: Path) -> bool:
    """Tell whether `folder` holds a COCO annotation file."""
    return folder.is_dir() and annotation_file(folder) is not None


def read(folder: Path, choices: Choices) -> Source:
    """List the images; the image's ``group`` or ``case``, else the TCGA case or the file's name, is the group.

    One category named nucleus means that nuclei have no types. The types are the categories that annotations use.

    Raises
    ------
    DatasetError
        If an image is missing, or a category is not declared.
    """
    names, images = read_coco(folder, IMAGE_FOLDERS)
    known = [annotation.get("category_id") for image in images for annotation in image.annotations]
    stray = [number for number in known if number is not None and number not in names]
    if stray:
        raise DatasetError(
            f"{folder}: an annotation has the category {stray[0]}, but declared are "
            f"{', '.join(map(str, sorted(names)))}; add it to the file's categories"
        )
    used = tuple(name for number, name in sorted(names.items()) if number in known)
    classes = () if all(name.lower() in NO_TYPE for name in used) else choices.classes or used
    unknown = sorted(set(used) - set(classes)) if classes else []
    if unknown:
        raise DatasetError(f"{folder}: the category {unknown[0]!r} is not among --classes {', '.join(classes)}")
    records = []
    for image in images:
        stem = Path(image.facts["file_name"]).stem
        group = str(image.facts.get("group") or image.facts.get("case") or group_of(stem))
        records.append(Record(stem, image.path, partial(load, image, names if classes else None), group))
    return Source(records, classes)


def load(image: CocoImage, names: dict[int, str] | None) -> Annotated:
    """Read an image and draw its masks, the smaller on top of the larger.

    Raises
    ------
    DatasetError
        If an annotation has only a box, or its mask is of another size than the image.
    """
    picture = open_image(image.path)
    pixels = colour(picture, image.path)
    height, width = pixels.shape[:2]
    stated = (image.facts.get("height", height), image.facts.get("width", width))
    if stated != (height, width):
        raise DatasetError(
            f"{image.path}: the image is {width} x {height} pixels but the annotation file says {stated[1]} x "
            f"{stated[0]}; annotate the image as it is"
        )
    single = [annotation for annotation in image.annotations if not annotation.get("iscrowd")]
    masks = []
    for annotation in single:
        if not annotation.get("segmentation"):
            raise DatasetError(
                f"{image.path}: annotation {annotation.get('id')} has no outline; nuclei need one, a box is not enough"
            )
        mask = decode_mask(annotation["segmentation"], height, width)
        if mask.shape != (height, width):
            raise DatasetError(f"{image.path}: the mask of annotation {annotation.get('id')} is of another size")
        masks.append(np.flatnonzero(mask))
    labels = np.zeros(height * width, np.int32)
    for number in sorted(range(len(masks)), key=lambda index: -len(masks[index])):
        labels[masks[number]] = number + 1
    visible = set(np.unique(labels).tolist())
    types = None
    if names is not None:
        given = ((number, annotation.get("category_id")) for number, annotation in enumerate(single, 1))
        types = {number: names[type_] for number, type_ in given if type_ is not None and number in visible}
    return Annotated(pixels, labels.reshape(height, width), types, picture.pixel_size_um)
