"""Readers of public layouts of H&E images with outlined nuclei: one module each, all with `detect` and `read`."""

from __future__ import annotations

from cellscope.assays.histo.datasets.sources import coco, consep, labels, mat, monuseg, pannuke, qupath
from cellscope.assays.histo.datasets.sources.record import Annotated, Choices, Record, Source

#: In the order they are tried; `labels` takes whatever follows a naming rule.
FORMATS = {
    "pannuke": pannuke,
    "mat": mat,
    "consep": consep,
    "monuseg": monuseg,
    "coco": coco,
    "qupath": qupath,
    "labels": labels,
}

__all__ = ["FORMATS", "Annotated", "Choices", "Record", "Source"]
