"""The formats of outlines by name, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from cellscope.io.annotations import aperio, coco, cvat, geojson, imagej, labelme, via
from cellscope.io.annotations.outline import AnnotatedImage


class Format(Protocol):
    """A module that reads one format."""

    def detect(self, source: Path, /) -> bool:
        """Tell whether `source` is in its format."""

    def read(self, source: Path, /) -> list[AnnotatedImage]:
        """Read all annotated images."""


FORMATS: Mapping[str, Format] = {
    "aperio": aperio,
    "coco": coco,
    "qupath": geojson,
    "labelme": labelme,
    "via": via,
    "cvat": cvat,
    "imagej": imagej,
}
