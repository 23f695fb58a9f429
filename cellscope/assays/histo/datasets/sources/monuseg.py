"""MoNuSeg and KUMAR as published: images (``Tissue Images``) and Aperio XML outlines (``Annotations``)."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from cellscope.assays.histo.datasets.sources.record import (
    Annotated,
    Choices,
    Record,
    Source,
    colour,
    group_of,
    image_files,
    open_image,
)
from cellscope.errors import DatasetError
from cellscope.imaging.polygons import fill

#: Pixel sizes Aperio's XML may state; others are placeholders.
PLAUSIBLE = (0.1, 2.0)


def _annotations(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.xml") if b"<Annotations" in path.open("rb").read(4096))


def detect(folder: Path) -> bool:
    """Tell whether `folder` holds Aperio annotations."""
    return folder.is_dir() and bool(_annotations(folder))


def read(folder: Path, choices: Choices) -> Source:
    """List the annotated images; the TCGA case in the name groups, a folder named ``*test*`` is the test split.

    Raises
    ------
    DatasetError
        If an annotation has no image.
    """
    records = []
    for path in _annotations(folder):
        places = [path.parent, *sorted(place for place in path.parent.parent.iterdir() if place.is_dir())]
        image = next((file for place in places for file in image_files(place) if file.stem == path.stem), None)
        if image is None:
            raise DatasetError(f"{path}: there is no image {path.stem} beside it or in a folder beside its own")
        parts = path.relative_to(folder).parts[:-1]
        split = "test" if any("test" in part.lower() for part in parts) else ""
        records.append(Record(path.stem, path, partial(load, image, path), group_of(path.stem), split))
    return Source(records)


def load(image: Path, path: Path) -> Annotated:
    """Read an image and draw its outlines; where two overlap, the first in the file is on top.

    Raises
    ------
    DatasetError
        If the XML is broken, or an outline lies outside the image.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise DatasetError(f"{path}: the XML cannot be parsed ({error}); download it again") from error
    picture = open_image(image)
    pixels = colour(picture, image)
    labels = np.zeros(pixels.shape[:2], np.int32)
    regions = [region for region in root.iter("Region") if region.get("NegativeROA", "0") != "1"]
    outside = 0
    for number, region in reversed(list(enumerate(regions, 1))):
        ring = [[float(v.get("X", "nan")), float(v.get("Y", "nan"))] for v in region.iter("Vertex")]
        if len(ring) < 3:  # a click that made no outline
            continue
        if not np.isfinite(ring).all():
            raise DatasetError(f"{path}: region {number} has a vertex without X or Y")
        corner = np.min(ring, 0)
        outside += bool(corner[0] >= pixels.shape[1] or corner[1] >= pixels.shape[0])
        fill(labels, {"type": "Polygon", "coordinates": [ring]}, number)
    if outside:
        raise DatasetError(
            f"{path}: {outside} outlines lie outside {image.name} ({pixels.shape[1]} x {pixels.shape[0]} pixels); they "
            "belong to another image or another magnification"
        )
    return Annotated(pixels, labels, None, picture.pixel_size_um or _stated(root))


def _stated(root: ElementTree.Element) -> float | None:
    try:
        value = float(root.get("MicronsPerPixel", ""))
    except ValueError:
        return None
    return value if PLAUSIBLE[0] <= value <= PLAUSIBLE[1] else None
