"""Readers of layouts of micronucleus data: one module each, all with `detect` and `read`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from cellscope.assays.micronucleus.datasets.sources import cells, corrected, folders, instances, mnfinder
from cellscope.assays.micronucleus.datasets.sources.field_record import CropRecord, FieldRecord
from cellscope.assays.micronucleus.datasets.sources.outlines import Outlines


class Reader(Protocol):
    """What knows one layout."""

    def detect(self, source: Path, /) -> bool:
        """Tell whether `source` is in its layout."""

    def read_source(self, source: Path, options: Any, /) -> Iterator[FieldRecord | CropRecord]:
        """Yield the fields or crops of `source`."""


#: In the order they are tried.
FORMATS: Mapping[str, Reader] = {
    "review": corrected,
    "mnfinder": mnfinder,
    "instances": instances,
    **{name: Outlines(name) for name in ("coco", "qupath", "labelme", "via", "cvat", "imagej")},
    "cells": cells,
    "folders": folders,
}

__all__ = ["FORMATS", "CropRecord", "FieldRecord"]
