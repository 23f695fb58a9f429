"""A laboratory's own annotation: images, label images and, where nuclei have types, a CSV of them per image.

``images/<name>.*`` with ``labels/<name>.tif`` (or ``instances``, ``masks``) and ``types/<name>.csv`` (or ``classes``,
or the CSV beside the label image), all in one folder or beside one another: ``<name>_labels.tif``, ``<name>.csv``. What
`predict` wrote, ``<name>.labels.tif``, is such a label image too.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from cellscope.assays.histo.datasets.sources.record import (
    Annotated,
    Choices,
    Record,
    Source,
    check_labels,
    check_types,
    colour,
    group_of,
    image_files,
    open_image,
)
from cellscope.errors import DatasetError, UsageError
from cellscope.io.table import read_table

LABEL_FOLDERS = ("instances", "labels", "masks")
TYPE_FOLDERS = ("types", "classes")
ENDINGS = ("", ".labels", "_labels", "_label", "_instances", "_mask", "_masks")
SUFFIXES = (".tif", ".tiff", ".png")
#: Names of the column with a nucleus's number, and with its type.
NUMBER_COLUMNS, TYPE_COLUMNS = ("id", "label"), ("class", "type")


def find_labels(image: Path, folder: Path) -> Path | None:
    """Find an image's label image by its name: in a folder of label images, or beside it with an ending."""
    for place in (*(folder / name for name in LABEL_FOLDERS), image.parent):
        for ending in ENDINGS:
            for suffix in SUFFIXES:
                path = place / f"{image.stem}{ending}{suffix}"
                if path != image and path.is_file():
                    return path
    return None


def find_types(image: Path, labels: Path, folder: Path) -> Path | None:
    """Find an image's table of types: in a folder of tables, beside its label image or beside itself."""
    for place in (*(folder / name for name in TYPE_FOLDERS), labels.parent, image.parent):
        for ending in ("", *ENDINGS[1:], "_types", "_classes"):
            if (path := place / f"{image.stem}{ending}.csv").is_file():
                return path
    return None


def pairs(folder: Path) -> list[tuple[Path, Path | None]]:
    """List images with their label images; files that serve as one are no images."""
    images = folder / "images"
    found = [(path, find_labels(path, folder)) for path in image_files(images if images.is_dir() else folder)]
    used = {labels for _, labels in found if labels is not None}
    return [(path, labels) for path, labels in found if path not in used]


def detect(folder: Path) -> bool:
    """Tell whether some image in `folder` has a label image."""
    return folder.is_dir() and any(labels is not None for _, labels in pairs(folder))


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
    for image, labels in pairs(folder):
        if labels is None:
            raise DatasetError(
                f"{image}: there is no label image for it; expected is labels/{image.stem}.tif beside its folder or "
                f"{image.stem}_labels.tif beside it"
            )
        table = find_types(image, labels, folder)
        found.append((image, labels, table))
        if table is not None:
            tables[table] = read_types(table, choices.classes)
    named = {type_ for pairs_ in tables.values() for _, type_ in pairs_ if type_}
    classes = choices.classes or tuple(sorted(named))
    records = [
        Record(image.stem, image, partial(load, image, labels, table, classes), group_of(image.stem))
        for image, labels, table in found
    ]
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


def load(image: Path, labels: Path, table: Path | None, classes: tuple[str, ...]) -> Annotated:
    """Read an image, its label image and its types, and check that they belong together."""
    picture = open_image(image)
    pixels = colour(picture, image)
    numbers = check_labels(open_image(labels).pixels, pixels.shape, labels)
    types = None if table is None else check_types(read_types(table, classes), numbers, classes, table)
    return Annotated(pixels, numbers, types, picture.pixel_size_um)


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
            f"{table}: the type {text} is none of the declared 1 to {len(names)} ({', '.join(names)}); correct the "
            "table or declare all types with --classes"
        )
    return names[int(text) - 1]
