"""CoNSeP as PNG and CSV: ``images``, ``instances`` and ``types`` with the codes of the four merged types."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from cellscope.assays.histo.classes import CLASSES, PIXEL_SIZE_UM
from cellscope.assays.histo.datasets.sources import labels
from cellscope.assays.histo.datasets.sources.tissue_record import Choices, Source, image_files

_NAME = re.compile(r"(train|test)_\d+")


def detect(folder: Path) -> bool:
    """Tell whether `folder` holds CoNSeP's images with instances and types."""
    if not all((folder / part).is_dir() for part in ("images", "instances", "types")):
        return False
    return any(_NAME.fullmatch(path.stem) for path in image_files(folder / "images"))


def read(folder: Path, choices: Choices) -> Source:
    """List the tiles: 1 other, 2 inflammatory, 3 epithelial, 4 spindle, 0.25 um a pixel.

    The set does not tell which tiles are from one patient, so every tile is a group of its own; its test tiles stay
    in the test split.
    """
    found = labels.read(folder, replace(choices, classes=CLASSES))
    records = [
        replace(record, fixed_split="test" if record.name.startswith("test_") else "") for record in found.records
    ]
    return Source(records, CLASSES, PIXEL_SIZE_UM)
