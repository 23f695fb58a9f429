"""Readers of public layouts of smear images with nucleus masks: one module each, all with `detect` and `read`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from cellscope.assays.nucleus_seg.datasets.sources import bccd, corrected, pairs, raabin, snam, table, wbc
from cellscope.assays.nucleus_seg.datasets.sources.outlines import Outlines
from cellscope.assays.nucleus_seg.datasets.sources.smear_record import Record


class Reader(Protocol):
    """What knows one layout."""

    def detect(self, folder: Path, /) -> bool:
        """Tell whether `folder` is in its layout."""

    def read(self, folder: Path, /) -> Iterator[Record]:
        """Yield the images of `folder`."""


#: In the order they are tried; `pairs` takes whatever follows a naming rule.
FORMATS: Mapping[str, Reader] = {
    "review": corrected,
    "wbc": wbc,
    "bccd": bccd,
    "raabin": raabin,
    "snam": snam,
    **{name: Outlines(name) for name in ("coco", "qupath", "labelme", "via", "cvat", "aperio", "imagej")},
    "csv": table,
    "pairs": pairs,
}

__all__ = ["FORMATS", "Record"]
