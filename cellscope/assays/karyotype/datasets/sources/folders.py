"""Single chromosomes in class folders: ``<class>/*`` or ``<cell>/<class>/*`` (Pki-3's layout among them)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cellscope.assays.karyotype.classes import parse_class
from cellscope.assays.karyotype.datasets.sources.record import Record
from cellscope.errors import DatasetError
from cellscope.io.read import SUFFIXES


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def detect(folder: Path) -> bool:
    """Tell whether every image below `folder` lies in a folder named after a chromosome."""
    if not folder.is_dir():
        return False
    files = _files(folder)
    return bool(files) and all(parse_class(path.parent.name) for path in files)


def read(folder: Path) -> Iterator[Record]:
    """Yield one record per file; the class is its folder's name.

    The group is the cell folder above the class folder; a leading eight-digit culture number of a Pki-3 cell
    (``97002128.7``) groups all cells of that culture. Class folders with no cell above them: the file name up to its
    last ``_`` or ``-``.
    """
    for path in _files(folder):
        class_ = parse_class(path.parent.name)
        if class_ is None:
            raise DatasetError(f"{path}: its folder {path.parent.name!r} names no chromosome")
        above = path.parent.parent
        if above.resolve() == folder.resolve():
            group = re.split(r"[_-][^_-]*$", path.stem)[0]
        else:
            culture = re.match(r"(\d{8})\.", above.name)
            group = culture.group(1) if culture else above.name
        yield Record(name=path.relative_to(folder).with_suffix("").as_posix(), path=path, group=group, class_=class_)
