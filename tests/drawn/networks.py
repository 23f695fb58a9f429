"""Networks small enough for tests."""

from __future__ import annotations

from typing import Any

from cellscope.assays.karyotype.networks.chrrender import ChrRender
from cellscope.assays.karyotype.networks.detectors import arguments_of


def build_chrrender(arch: str, **changes: Any) -> ChrRender:
    """Build a named detector, with arguments changed on request."""
    return ChrRender(**(arguments_of(arch) | changes))
