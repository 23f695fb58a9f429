"""A table of annotated cells: a CSV with ``image``, ``class`` and where the cell's nucleus is.

The place is ``centroid-0`` (row) and ``centroid-1`` (column), or ``y`` and ``x``, in pixels. The corrections that the
review gallery of ``report.html`` saves are such a table.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cellscope.assays.micronucleus.classes import parse_class
from cellscope.assays.micronucleus.datasets.sources.field_record import FieldRecord
from cellscope.assays.micronucleus.field.field import classical_nuclei, grey_of, median_diameter, to_integers
from cellscope.assays.micronucleus.field.masks import find_mask, read_mask
from cellscope.errors import DatasetError, InputError, UsageError
from cellscope.io.annotations.names import Images
from cellscope.io.annotations.picture import read_picture
from cellscope.io.annotations.places import image_files
from cellscope.io.choice import Wants
from cellscope.io.table import read_table

PLACES = (("centroid-0", "centroid-1"), ("y", "x"))
FAR = 0.75
"""How far from the given point, in median nucleus diameters, the nearest nucleus may be."""


def detect(source: Path) -> bool:
    """Tell whether `source` is a CSV file."""
    return source.is_file() and source.suffix.lower() == ".csv"


def read_source(source: Path, options: Any) -> Iterator[FieldRecord]:
    """Yield the fields that the table names, with the classes of the cells it lists.

    Nuclei come from label images where ``--nuclei`` names a folder of them, else from a threshold and a watershed.

    Raises
    ------
    DatasetError, UsageError
        For a table without the columns, a class that is neither of the two, an image that is not there, or a point
        without a nucleus near it.
    """
    rows = read_table(source, ("image", "class"))
    place = next((names for names in PLACES if rows and all(name in rows[0] for name in names)), None)
    if place is None:
        raise UsageError(f"{source}: the table needs the columns centroid-0 and centroid-1, or y and x (pixels)")
    folder = Path(options.images) if options.images else source.parent
    for image_name in sorted({row["image"] for row in rows}):
        path = folder / image_name
        if not path.is_file():
            path = Images(folder, image_files(folder)).find(image_name, source)
        try:
            image = read_picture(path, Wants.STAIN)
            grey = grey_of(image.pixels, image_name)
        except InputError as error:
            raise DatasetError(f"{error}; --images says where the table's images lie") from error
        try:
            given = find_mask(options.nuclei, image_name, path) if options.nuclei else None
            labels = read_mask(given, grey.shape, binary=options.binary) if given else classical_nuclei(grey)
        except InputError as error:
            raise DatasetError(str(error)) from error
        classes = {}
        for row in rows:
            if row["image"] != image_name:
                continue
            class_ = parse_class(row["class"])
            if class_ is None:
                raise UsageError(f"{source}: {row['class']!r} is not a class; write normal or micronucleus")
            try:
                point = float(row[place[0]]), float(row[place[1]])
            except ValueError:
                raise UsageError(
                    f"{source}: {image_name}: {row[place[0]]!r}, {row[place[1]]!r} is not a place"
                ) from None
            label = nucleus_at(labels, point)
            if label is None:
                raise DatasetError(
                    f"{source}: {image_name}: there is no nucleus near row {point[0]:g}, column {point[1]:g}"
                )
            classes[label] = class_
        yield FieldRecord(
            Path(image_name).with_suffix("").as_posix().replace("/", "-"),
            source.stem,
            to_integers(grey, image.pixels.dtype),
            labels,
            None,
            classes=classes,
        )


def nucleus_at(labels: np.ndarray, point: tuple[float, float]) -> int | None:
    """Find the nucleus at, or nearest to, a point (row, column); None when none is near."""
    row, column = round(point[0]), round(point[1])
    height, width = labels.shape
    if 0 <= row < height and 0 <= column < width and labels[row, column]:
        return int(labels[row, column])
    diameter = median_diameter(labels)
    if diameter is None:
        return None
    reach = int(np.ceil(FAR * diameter))
    y0, x0 = max(row - reach, 0), max(column - reach, 0)
    window = labels[y0 : max(row + reach + 1, 0), x0 : max(column + reach + 1, 0)]
    rows, columns = np.nonzero(window)
    if not rows.size:
        return None
    nearest = int(np.argmin((rows + y0 - point[0]) ** 2 + (columns + x0 - point[1]) ** 2))
    return int(window[rows[nearest], columns[nearest]])
