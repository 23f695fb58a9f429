"""Readers of public layouts of H&E images with outlined nuclei: one module each, all with `detect` and `read`."""

from __future__ import annotations

from cellscope.assays.histo.sources import consep, labels
from cellscope.assays.histo.sources.record import Choices, Nuclei, Record, Source

#: In the order they are tried; `labels` takes whatever follows a naming rule.
FORMATS = {"consep": consep, "labels": labels}

__all__ = ["FORMATS", "Choices", "Nuclei", "Record", "Source"]
