"""BCCD smears with the masks of Banik et al. 2020: ``images/BloodImage_*.jpg`` and ``masks/BloodImage_*.png``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cellscope.assays.nucleus_seg.datasets.sources import pairs
from cellscope.assays.nucleus_seg.datasets.sources.smear_record import Record, three_levels


def detect(folder: Path) -> bool:
    """Tell whether `folder` holds BCCD's images and masks."""
    return any((folder / "images").glob("BloodImage_*")) and any((folder / "masks").glob("BloodImage_*"))


def read(folder: Path) -> Iterator[Record]:
    """Yield one record per image; the set does not name slides, so every image is a group of its own."""
    for record in pairs.read(folder, code=three_levels):
        yield replace(record, name=record.path.stem, group=record.path.stem)
