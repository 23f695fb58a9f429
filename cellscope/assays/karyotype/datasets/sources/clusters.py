"""Segments told apart as one chromosome or a cluster of them (Lin et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cellscope.assays.karyotype.datasets.sources.metaphase_record import Record
from cellscope.io.leftovers import files_below
from cellscope.io.read import SUFFIXES

KINDS = ("chromosome", "cluster")


def _files(folder: Path) -> list[Path]:
    return files_below(folder, SUFFIXES)


def detect(folder: Path) -> bool:
    """Tell whether every image below `folder` lies in a folder ``chromosome`` or ``cluster``, and both are there."""
    return folder.is_dir() and {path.parent.name for path in _files(folder)} == set(KINDS)


def read(folder: Path) -> Iterator[Record]:
    """Yield one record per ``<case>/<kind>/*``: its `kind` is known, its class is not. The group is the case."""
    for path in _files(folder):
        case, kind = path.parent.parent.name, path.parent.name
        yield Record(name=f"{case}/{kind}/{path.stem}", path=path, group=case, facts={"kind": kind})
