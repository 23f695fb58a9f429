"""A run that a person reviewed: fields with the nuclei, classes and micronuclei that stand there now, and crops."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from cellscope.assays.micronucleus.classes import FIELD
from cellscope.assays.micronucleus.datasets.sources.field_record import CropRecord, FieldRecord
from cellscope.assays.micronucleus.field.field import grey_of, to_integers
from cellscope.errors import DatasetError, InputError
from cellscope.io.annotations.label_image import read_label_image
from cellscope.io.choice import Choice, Wants
from cellscope.io.corrections import Reviewed, corrected_rows, is_corrected_run, reviewed_images
from cellscope.io.read import read

TRUE = "True"


def detect(source: Path) -> bool:
    """Tell whether `source` is a run of micronucleus with corrections."""
    return is_corrected_run(source, "micronucleus")


def read_source(source: Path, options: Any) -> Iterator[FieldRecord | CropRecord]:
    """Yield the fields and crops that were marked as reviewed; those in one sub-folder are one group.

    The sub-folder stands for the cell line.

    Cells that cannot be scored have no class. Where a person counted micronuclei that are not outlined, the field is
    one of which not all are.

    Raises
    ------
    DatasetError
        No image was reviewed, or one is not there or damaged.
    """
    cells = corrected_rows(source, "objects")
    bodies: dict[str, list[dict[str, str]]] = {}
    for one in reviewed_images(source):
        own = cells.get(one.image, [])
        if one.kind == FIELD:
            bodies = bodies or corrected_rows(source, "micronuclei")
            yield _field(one, source, options, own, bodies.get(one.image, []))
        elif own:
            yield _crop(one, source, options, own[0]["class"])


def _crop(one: Reviewed, source: Path, options: Any, class_: str) -> CropRecord:
    try:
        image = read(one.path, choice=Choice.of(options), wants=Wants.STAIN)
        grey = to_integers(grey_of(image.pixels, one.path.name), image.pixels.dtype)
    except InputError as error:
        raise DatasetError(str(error)) from error
    name, line, group = _named(one.image, source)
    return CropRecord(name, line, grey, class_, group or name)


def _named(image: str, source: Path) -> tuple[str, str, str]:
    """Give the name of an image, what stands for its cell line, and its group; empty for itself."""
    name = PurePosixPath(image).with_suffix("")
    alone = len(name.parts) == 1
    return "-".join(name.parts), source.resolve().name if alone else name.parts[-2], "" if alone else str(name.parent)


def _field(
    one: Reviewed, source: Path, options: Any, cells: list[dict[str, str]], bodies: list[dict[str, str]]
) -> FieldRecord:
    try:
        image = read(one.path, choice=Choice.of(options), wants=Wants.STAIN)
        grey = to_integers(grey_of(image.pixels, one.path.name), image.pixels.dtype)
        nuclei, micronuclei = (_labels(one, suffix, grey.shape) for suffix in (".labels.tif", ".micronuclei.tif"))
    except InputError as error:
        raise DatasetError(str(error)) from error
    name, line, group = _named(one.image, source)
    parents = {int(row["label"]): int(row["parent"]) for row in bodies}
    owners = set(parents.values())
    classes = {int(row["label"]): row["class"] for row in cells if row["scorable"] == TRUE}
    counted = [int(row["label"]) for row in cells if int(float(row["n_micronuclei"] or 0)) > 0 or row["unseen"] == TRUE]
    return FieldRecord(
        name, line, grey, nuclei, micronuclei, parents, classes,
        group=group,
        complete=set(counted) <= owners,
    )  # fmt: skip


def _labels(one: Reviewed, suffix: str, shape: tuple[int, ...]) -> np.ndarray:
    path = one.file(suffix)
    if path is None:
        raise DatasetError(f"{one.image}: its label image {suffix} is not there")
    labels = read_label_image(path).values.astype(np.int32)
    if labels.shape != shape:
        raise DatasetError(f"{path} is of another size than its image")
    return labels
