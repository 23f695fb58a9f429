"""A laboratory's own annotation: images, label images and, where nuclei have types, a CSV of them per image.

``images/<name>.*`` with ``labels/<name>.tif`` (or ``instances``, ``masks``) and ``types/<name>.csv`` (or ``classes``,
or the CSV beside the label image), all in one folder or beside one another: ``<name>_labels.tif``, ``<name>.csv``. What
`predict` wrote, ``<name>.labels.tif``, is such a label image too. A mask in ``unknown/<name>.png``, or
``<name>_unknown.png`` beside the image, is not 0 where the annotation tells nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from cellscope.assays.histo.datasets.sources.tissue_record import (
    Annotated,
    Choices,
    Record,
    Source,
    check_labels,
    check_types,
    colour,
    group_of,
    open_image,
)
from cellscope.errors import DatasetError, InputError, UsageError
from cellscope.io.annotations.label_image import SUFFIXES, read_label_image
from cellscope.io.annotations.meaning import whole_numbers
from cellscope.io.annotations.pairing import Rule, images_among, pair
from cellscope.io.annotations.tally import drop
from cellscope.io.leftovers import files_below, why_left_out
from cellscope.io.read import SUFFIXES as IMAGES
from cellscope.io.table import read_table

ENDINGS = ("", ".labels", "_labels", "_label", "_instances", "_mask", "_masks", "_cp_masks", "_seg")
LABELS = Rule("label image", ENDINGS, ("instances", "labels", "masks"), SUFFIXES)
UNKNOWN = Rule("mask of what is not annotated", ("", "_unknown", ".unknown"), ("unknown",), SUFFIXES)
TYPES = Rule("table of types", (*ENDINGS, "_types", "_classes"), ("types", "classes", *LABELS.folders), (".csv",))
#: Names of the column with a nucleus's number, and with its type.
NUMBER_COLUMNS, TYPE_COLUMNS = ("id", "label"), ("class", "type")


def pairs(folder: Path) -> dict[Path, Path | None]:
    """List images with their label images; files that serve as one are no images."""
    files = [path for path in files_below(folder, SUFFIXES, keep_results=True) if not _says_unknown(path, folder)]
    images = [path for path in images_among(files, folder, LABELS) if path.suffix.lower() in IMAGES]
    return pair([path for path in images if why_left_out(path.name) is None], files, folder, LABELS)


def unknown_of(images: Iterable[Path], folder: Path) -> dict[Path, Path | None]:
    """List images with the masks of what is not annotated in them."""
    masks = [path for path in files_below(folder, SUFFIXES, keep_results=True) if _says_unknown(path, folder)]
    found = pair(list(images), masks, folder, UNKNOWN)
    for path in sorted(set(masks) - set(found.values())):
        drop("masks of what is not annotated that belong to no image", path)
    return found


def _says_unknown(path: Path, folder: Path) -> bool:
    """Tell a mask of what is not annotated; among label images a file of such a name is that of an image called so."""
    folders = [part.lower() for part in path.relative_to(folder).parts[:-1]]
    last = next((part for part in reversed(folders) if part in (*LABELS.folders, *UNKNOWN.folders)), "")
    return last not in LABELS.folders and UNKNOWN.is_partner(path, folder)


def detect(folder: Path) -> bool:
    """Tell whether some image in `folder` has a label image."""
    return folder.is_dir() and any(pairs(folder).values())


def read(folder: Path, choices: Choices) -> Source:
    """List images with their label images; the TCGA case in a name groups, else every image is a group of its own.

    The types are those of ``--classes``, else whatever the tables name, in alphabetical order. Types given by number
    (a column ``type`` of 1, 2, ...) need ``--classes``.

    Raises
    ------
    DatasetError, UsageError
        If an image has no label image, or a table is not as it should be.
    """
    found, tables = [], {}
    paired = pairs(folder)
    unknown = unknown_of(paired, folder)
    tables_of = pair(list(paired), files_below(folder, (".csv",)), folder, TYPES)
    for image, labels in paired.items():
        if labels is None:
            raise DatasetError(
                f"{image}: there is no label image for it; expected is labels/{image.stem}.tif beside its folder or "
                f"{image.stem}_labels.tif beside it"
            )
        table = tables_of[image]
        found.append((image, labels, table))
        if table is not None:
            tables[table] = read_types(table, choices.classes)
    named = {type_ for pairs_ in tables.values() for _, type_ in pairs_ if type_}
    classes = choices.classes or tuple(sorted(named))
    stems = Counter(image.stem for image, _, _ in found)
    names = {
        image: image.stem if stems[image.stem] == 1 else "-".join(image.relative_to(folder).with_suffix("").parts)
        for image, _, _ in found
    }
    records = [
        Record(
            names[image], image, partial(load, image, labels, table, classes, choices.binary, unknown[image]),
            group_of(image.stem),
        )
        for image, labels, table in found
    ]  # fmt: skip
    return Source(records, classes if tables else ())


def read_types(table: Path, names: tuple[str, ...]) -> list[tuple[int, str]]:
    """Read a table of types: a column ``id`` or ``label`` and a column ``class`` or ``type``.

    Parameters
    ----------
    table : Path
    names : tuple of str
        What the numbers 1, 2, ... of a table of numbers mean.

    Returns
    -------
    list of (label, type)
    """
    rows = read_table(table)
    number, type_ = _column(table, rows, NUMBER_COLUMNS), _column(table, rows, TYPE_COLUMNS)
    given = [row[type_] for row in rows]
    if any(text.isdigit() for text in given) and not set(given) <= {*names, ""}:
        given = [_name(text, names, table) for text in given]
    try:
        return [(int(row[number]), text) for row, text in zip(rows, given, strict=True)]
    except ValueError as error:
        raise DatasetError(f"{table}: the column {number} must hold whole numbers ({error})") from error


def load(
    image: Path, labels: Path, table: Path | None, classes: tuple[str, ...], binary: str, unknown: Path | None = None
) -> Annotated:
    """Read an image, its label image, its types and the mask of what is not annotated, and check them."""
    picture = open_image(image)
    pixels = colour(picture, image)
    try:
        values = read_label_image(labels).values
    except InputError as error:
        raise DatasetError(str(error)) from error
    numbers = check_labels(values, pixels.shape, labels, binary=binary)
    types = None if table is None else check_types(read_types(table, classes), numbers, classes, table)
    return Annotated(pixels, numbers, types, picture.pixel_size_um, _mask(unknown, pixels.shape) if unknown else None)


def _mask(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    try:
        values = whole_numbers(read_label_image(path).values, shape, path)
    except InputError as error:
        raise DatasetError(str(error)) from error
    return values != 0 if values.any() else None


def _column(table: Path, rows: list[dict[str, str]], names: Iterable[str]) -> str:
    names = tuple(names)
    if not rows:
        return names[0]
    for name in names:
        if name in rows[0]:
            return name
    raise DatasetError(f"{table}: the table has no column {' or '.join(names)}; it has {', '.join(rows[0])}")


def _name(text: str, names: tuple[str, ...], table: Path) -> str:
    if not names:
        raise UsageError(f"{table}: the types are numbers; name them in their order with --classes A,B,...")
    if not text:
        return ""
    if not text.isdigit() or not 1 <= int(text) <= len(names):
        raise DatasetError(
            f"{table}: the type {text} is not one of the declared 1 to {len(names)} ({', '.join(names)}); correct the "
            "table or declare all types with --classes"
        )
    return names[int(text) - 1]
