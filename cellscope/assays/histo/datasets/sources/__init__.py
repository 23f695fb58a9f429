"""Readers of public layouts of H&E images with outlined nuclei: one module each, all with `detect` and `read`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from cellscope.assays.histo.datasets.sources import consep, corrected, labels, mat, pannuke
from cellscope.assays.histo.datasets.sources.outlines import Outlines
from cellscope.assays.histo.datasets.sources.tissue_record import Annotated, Choices, Record, Source


class Reader(Protocol):
    """What knows one layout."""

    def detect(self, folder: Path, /) -> bool:
        """Tell whether `folder` is in its layout."""

    def read(self, folder: Path, choices: Choices, /) -> Source:
        """List the images of `folder`."""


#: In the order they are tried; `labels` takes whatever follows a naming rule.
FORMATS: Mapping[str, Reader] = {
    "review": corrected,
    "pannuke": pannuke,
    "mat": mat,
    "consep": consep,
    "monuseg": Outlines("aperio"),
    "coco": Outlines("coco"),
    "qupath": Outlines("qupath"),
    "labelme": Outlines("labelme"),
    "via": Outlines("via"),
    "cvat": Outlines("cvat"),
    "imagej": Outlines("imagej"),
    "labels": labels,
}

__all__ = ["FORMATS", "Annotated", "Choices", "Record", "Source"]
