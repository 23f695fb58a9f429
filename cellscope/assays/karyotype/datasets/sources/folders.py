"""Single chromosomes in class folders: ``<class>/*`` or ``<cell>/<class>/*`` (Pki-3's layout among them)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from cellscope.assays.karyotype.classes import parse_class, refuse_from_zero
from cellscope.assays.karyotype.datasets.sources.metaphase_record import Record
from cellscope.io.annotations.tally import note
from cellscope.io.leftovers import files_below
from cellscope.io.read import SUFFIXES
from cellscope.io.text import one_line


def _files(folder: Path) -> list[Path]:
    return files_below(folder, SUFFIXES)


def detect(folder: Path) -> bool:
    """Tell whether most images below `folder` lie in folders named after a chromosome."""
    if not folder.is_dir():
        return False
    named = [parse_class(path.parent.name) is not None for path in _files(folder)]
    return sum(named) > len(named) / 2


def read(folder: Path) -> Iterator[Record]:
    """Yield one record per file; the class is its folder's name.

    The group is the cell folder above the class folder; a leading eight-digit culture number of a Pki-3 cell
    (``97002128.7``) groups all cells of that culture. Class folders with no cell above them: the file name up to its
    last ``_`` or ``-``. Images in folders of other names are left out, which is told.
    """
    files = _files(folder)
    refuse_from_zero({path.parent.name for path in files}, one_line(folder))
    others = Counter(path.parent.name for path in files if parse_class(path.parent.name) is None)
    for name, count in sorted(others.items()):
        note(f"the folder {one_line(name)!r} ({count} images) names no chromosome and is left out; 1 to 22, X, Y do")
    for path in files:
        class_ = parse_class(path.parent.name)
        if class_ is None:
            continue
        above = path.parent.parent
        if above.resolve() == folder.resolve():
            group = re.split(r"[_-][^_-]*$", path.stem)[0]
        else:
            culture = re.match(r"(\d{8})\.", above.name)
            group = culture.group(1) if culture else above.name
        yield Record(name=path.relative_to(folder).with_suffix("").as_posix(), path=path, group=group, class_=class_)
