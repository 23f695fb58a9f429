"""Readers of public layouts of karyotype data: one module each, all with `detect` and `read`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from cellscope.assays.karyotype.datasets.sources import adir, bioimlab, clusters, corrected, folders, karyonet
from cellscope.assays.karyotype.datasets.sources.metaphase_record import Instance, Record
from cellscope.assays.karyotype.datasets.sources.outlines import Outlines


class Reader(Protocol):
    """What knows one layout."""

    def detect(self, folder: Path, /) -> bool:
        """Tell whether `folder` is in its layout."""

    def read(self, folder: Path, /) -> Iterator[Record]:
        """Yield the images of `folder`."""


#: In the order they are tried: a BioImLab folder is COCO too, with single chromosomes beside it.
FORMATS: Mapping[str, Reader] = {
    "review": corrected,
    "adir": adir,
    "bioimlab": bioimlab,
    **{name: Outlines(name) for name in ("coco", "qupath", "labelme", "via", "cvat", "aperio", "imagej")},
    "karyonet": karyonet,
    "clusters": clusters,
    "folders": folders,
}

__all__ = ["FORMATS", "Instance", "Record"]
