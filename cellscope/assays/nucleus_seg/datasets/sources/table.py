"""Image and mask pairs listed in a CSV file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cellscope.assays.nucleus_seg.datasets.sources.meaning import meaning_of
from cellscope.assays.nucleus_seg.datasets.sources.smear_record import Record, load_pair
from cellscope.errors import DatasetError
from cellscope.io.annotations.names import plain
from cellscope.io.table import read_table
from cellscope.io.text import one_line


def detect(folder: Path) -> bool:
    """Tell whether the source is a CSV file."""
    return folder.is_file() and folder.suffix.lower() == ".csv"


def read(folder: Path) -> Iterator[Record]:
    """Yield one record per row of a CSV file with the columns ``image``, ``mask`` and, if known, ``group``.

    Paths are relative to the file's folder. Without ``group`` (patient, slide) every image is one of its own.

    Raises
    ------
    DatasetError
        If a column or a file is missing.
    """
    rows = read_table(folder, ("image", "mask"))
    places = [(_beside(folder, row["image"]), _beside(folder, row["mask"]), row) for row in rows]
    twice = [mask for mask, count in Counter(mask for _, mask, _ in places).items() if count > 1]
    if twice:
        raise DatasetError(f"{one_line(folder)}: {one_line(twice[0].name)} is the mask of two images")
    code = meaning_of([mask for _, mask, _ in places])
    for image, mask, row in places:
        if image == mask:
            raise DatasetError(f"{one_line(folder)}: {one_line(image.name)} is named as its own mask")
        name = plain(row["image"]).with_suffix("").as_posix().replace("/", "-")
        yield Record(name, image, partial(load_pair, image, mask, code), row.get("group") or name)


def _beside(table: Path, name: str) -> Path:
    r"""Give the file that a table names, relative to it, with / or \ between folders."""
    path = Path(name) if Path(name).is_absolute() else table.parent / name.replace("\\", "/")
    if not path.is_file():
        raise DatasetError(f"{one_line(table)} names {one_line(name)}, which is not there")
    return path
