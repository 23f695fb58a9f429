"""Readers of public layouts of smear images with nucleus masks: one module each, all with `detect` and `read`."""

from __future__ import annotations

from cellscope.assays.nucleus_seg.datasets.sources import bccd, pairs, raabin, snam, table, wbc
from cellscope.assays.nucleus_seg.datasets.sources.record import Record

#: In the order they are tried; `pairs` takes whatever follows a naming rule.
FORMATS = {"csv": table, "wbc": wbc, "bccd": bccd, "raabin": raabin, "snam": snam, "pairs": pairs}

__all__ = ["FORMATS", "Record"]
