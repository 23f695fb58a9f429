"""Readers of public layouts of karyotype data: one module each, all with `detect` and `read`."""

from __future__ import annotations

from cellscope.assays.karyotype.datasets.sources import adir, bioimlab, clusters, coco, folders, karyonet
from cellscope.assays.karyotype.datasets.sources.record import Instance, Record

#: In the order they are tried: a BioImLab folder is COCO too, with single chromosomes beside it.
FORMATS = {
    "adir": adir,
    "bioimlab": bioimlab,
    "coco": coco,
    "karyonet": karyonet,
    "clusters": clusters,
    "folders": folders,
}

__all__ = ["FORMATS", "Instance", "Record"]
