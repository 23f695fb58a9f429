"""Readers of public layouts of karyotype data: one module each, all with `detect` and `read`."""

from __future__ import annotations

from cellscope.assays.karyotype.datasets.sources import adir, clusters, coco, folders, karyonet
from cellscope.assays.karyotype.datasets.sources.record import Instance, Record

#: In the order they are tried: a BioImLab folder is COCO with single chromosomes beside it.
FORMATS = {"adir": adir, "coco": coco, "karyonet": karyonet, "clusters": clusters, "folders": folders}

__all__ = ["FORMATS", "Instance", "Record"]
