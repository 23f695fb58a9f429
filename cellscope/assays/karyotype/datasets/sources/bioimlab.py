"""BioImLab (Padova): metaphases as COCO with masks, single chromosomes of the same patients in files beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cellscope.assays.karyotype.classes import parse_class
from cellscope.assays.karyotype.datasets.sources.metaphase_record import Record
from cellscope.assays.karyotype.datasets.sources.outlines import Outlines
from cellscope.errors import DatasetError
from cellscope.io.leftovers import files_below

SINGLES = "single"
COCO = Outlines("coco")


def detect(folder: Path) -> bool:
    """Tell whether `folder` holds a COCO annotation file and a folder of single chromosomes."""
    return (folder / SINGLES).is_dir() and COCO.detect(folder)


def read(folder: Path) -> Iterator[Record]:
    """Yield the metaphases, then the single chromosomes.

    ``patient_cell`` of a metaphase names the cell whose single chromosomes are of the same patient: they share its
    group. A metaphase that has none may share a patient with any cell, so it goes to training.
    """
    group_of_cell: dict[str, str] = {}
    for facts, record in COCO.metaphases(folder):
        cell = facts.get("patient_cell")
        if cell is not None:
            group_of_cell[str(cell)] = record.group
        record.train_only = "patient_cell" in facts and cell is None
        yield record
    yield from _singles(folder / SINGLES, group_of_cell)


def _singles(folder: Path, group_of_cell: dict[str, str]) -> Iterator[Record]:
    """Read ``<cell>/<cell> <class>[a|b].bmp``; cells without a metaphase go to training under a group of their own."""
    for path in files_below(folder, (".bmp",)):
        cell, _, label = path.stem.partition(" ")
        class_ = parse_class(label.rstrip("ab"))
        if class_ is None:
            raise DatasetError(f"{path}: the name holds no chromosome class")
        yield Record(
            name=f"single/cell{cell}/{path.stem.replace(' ', '-')}",
            path=path,
            group=group_of_cell.get(cell, f"cell{cell}"),
            class_=class_,
            train_only=cell not in group_of_cell,
        )
