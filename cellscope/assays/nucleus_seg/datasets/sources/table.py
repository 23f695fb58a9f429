"""Image and mask pairs listed in a CSV file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pandas as pd

from cellscope.assays.nucleus_seg.datasets.sources.record import Record, either, load_pair
from cellscope.errors import DatasetError


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
    try:
        rows = pd.read_csv(folder, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:
        raise DatasetError(f"{folder} cannot be read as a table: {error}") from error
    missing = [name for name in ("image", "mask") if name not in rows]
    if missing:
        raise DatasetError(f"{folder} has no column {' and '.join(missing)}; it needs image, mask and may have group")
    for row in rows.to_dict("records"):
        image, mask = folder.parent / row["image"], folder.parent / row["mask"]
        name = Path(row["image"]).with_suffix("").as_posix().replace("/", "-")
        yield Record(name, image, partial(load_pair, image, mask, either), row.get("group") or name)
