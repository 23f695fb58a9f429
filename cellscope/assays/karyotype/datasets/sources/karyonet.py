"""KaryoNet's single chromosomes: ``<band>/train/<class>/*`` and ``<band>/val/<cell>/*``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cellscope.assays.karyotype.classes import parse_class
from cellscope.assays.karyotype.datasets.sources.metaphase_record import Record
from cellscope.errors import DatasetError
from cellscope.io.leftovers import files_below
from cellscope.io.read import SUFFIXES

#: ``<cell>_<class>_<number of the object>``
NAME = re.compile(r"(?P<cell>.+)_(?P<class>\d+)_\d+")
BAND = re.compile(r"(?P<stain>[GQR])band")


def _files(folder: Path) -> list[Path]:
    return sorted(
        path for band in folder.glob("**/*band") if BAND.fullmatch(band.name) for path in files_below(band, SUFFIXES)
    )


def detect(folder: Path) -> bool:
    """Tell whether `folder` holds ``Gband`` or ``Rband`` with chromosomes named by cell and class."""
    if not folder.is_dir():
        return False
    files = _files(folder)
    return bool(files) and all(NAME.fullmatch(path.stem) for path in files)


def read(folder: Path) -> Iterator[Record]:
    """Yield one record per file; class and group (the cell) are in its name, the stain is the upper folder's.

    The two stains come from different laboratories, which have no name.
    """
    for path in _files(folder):
        band = next(parent.name for parent in path.parents if BAND.fullmatch(parent.name))
        found = NAME.fullmatch(path.stem)
        class_ = parse_class(found["class"]) if found else None
        if found is None or class_ is None:
            raise DatasetError(f"{path}: the name holds no cell and chromosome class")
        yield Record(
            name=f"{band}/{path.stem}",
            path=path,
            group=found["cell"],
            class_=class_,
            facts={"stain": band[0]},
        )
