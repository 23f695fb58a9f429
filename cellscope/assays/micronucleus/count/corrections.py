"""The corrections a person made in the review gallery of ``report.html``, read back."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from cellscope.assays.micronucleus.classes import parse_class
from cellscope.assays.micronucleus.options import PredictOptions
from cellscope.errors import UsageError
from cellscope.io.events import table_number
from cellscope.io.table import read_table

COLUMNS = ("image", "centroid-0", "centroid-1", "class")


def with_corrections(options: PredictOptions) -> PredictOptions:
    """Read the table that ``--corrections`` names into the options.

    Raises
    ------
    UsageError
        If the table cannot be read, lacks a column, or holds a class or a place that is none.
    """
    if options.corrections is None:
        return options
    filled = dataclasses.replace(options)
    object.__setattr__(filled, "corrected", read_corrections(Path(options.corrections)))
    return filled


def read_corrections(path: Path) -> dict[str, list[tuple[float, float, str]]]:
    """Read corrections: image -> (row, column, class) of each cell; a cell listed twice keeps its last class."""
    found: dict[str, dict[tuple[float, float], str]] = {}
    for number, row in enumerate(read_table(path, COLUMNS), 2):
        class_ = parse_class(row["class"])
        if class_ is None:
            raise UsageError(f"{path}, line {number}: {row['class']!r} is not a class; write normal or micronucleus")
        y, x = (table_number(path, f"line {number}", name, row[name]) for name in COLUMNS[1:3])
        place = y, x
        found.setdefault(row["image"], {})[place] = class_
    return {image: [(*place, class_) for place, class_ in cells.items()] for image, cells in found.items()}
