"""A run that a person reviewed: fields with the nuclei, classes and micronuclei that stand there now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from cellscope.assays.micronucleus.classes import FIELD
from cellscope.assays.micronucleus.datasets.sources.field_record import FieldRecord
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


def read_source(source: Path, options: Any) -> Iterator[FieldRecord]:
    """Yield the fields that were marked as reviewed; those in one sub-folder are one group, named like a cell line.

    Cells that cannot be scored have no class. Where a person counted micronuclei that are not outlined, the field is
    one of which not all are.

    Raises
    ------
    DatasetError
        No field was reviewed, or one is not there or damaged.
    """
    cells, bodies = corrected_rows(source, "objects"), corrected_rows(source, "micronuclei")
    for one in reviewed_images(source):
        if one.kind == FIELD:
            yield _field(one, source, options, cells.get(one.image, []), bodies.get(one.image, []))


def _field(
    one: Reviewed, source: Path, options: Any, cells: list[dict[str, str]], bodies: list[dict[str, str]]
) -> FieldRecord:
    try:
        image = read(one.path, choice=Choice.of(options), wants=Wants.STAIN)
        grey = to_integers(grey_of(image.pixels, one.path.name), image.pixels.dtype)
        nuclei, micronuclei = (_labels(one, suffix, grey.shape) for suffix in (".labels.tif", ".micronuclei.tif"))
    except InputError as error:
        raise DatasetError(str(error)) from error
    name = PurePosixPath(one.image).with_suffix("")
    parents = {int(row["label"]): int(row["parent"]) for row in bodies}
    owners = set(parents.values())
    classes = {int(row["label"]): row["class"] for row in cells if row["scorable"] == TRUE}
    counted = [int(row["label"]) for row in cells if int(float(row["n_micronuclei"] or 0)) > 0 or row["unseen"] == TRUE]
    return FieldRecord(
        "-".join(name.parts),
        name.parts[-2] if len(name.parts) > 1 else source.resolve().name,
        grey, nuclei, micronuclei, parents, classes,
        group=str(name.parent) if len(name.parts) > 1 else "",
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
