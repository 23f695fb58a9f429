"""Readers of layouts of micronucleus data: one module each, all with `detect` and `read`."""

from __future__ import annotations

from cellscope.assays.micronucleus.datasets.sources import cells, folders, instances, mnfinder
from cellscope.assays.micronucleus.datasets.sources.record import CropRecord, FieldRecord

#: In the order they are tried.
FORMATS = {"mnfinder": mnfinder, "instances": instances, "cells": cells, "folders": folders}

__all__ = ["FORMATS", "CropRecord", "FieldRecord"]
