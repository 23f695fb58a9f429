"""Networks small enough for tests, by names that ``--arch`` takes where this module was imported."""

from __future__ import annotations

from typing import Any

from cellscope.assays.histo.networks import registry as histo
from cellscope.assays.karyotype.networks import chrnet, detectors
from cellscope.assays.karyotype.networks.chrrender import ChrRender
from cellscope.assays.mitosis.networks import registry as mitosis
from cellscope.assays.nucleus_seg.networks import registry as nucleus_seg

histo.ARCHS["histonext-test"] = {
    "encoder": "test_convnext2.r160_in1k", "widths": [8, 8, 8, 8], "growth": [4, 4, 4, 4], "layers": [1, 1, 1, 1],
    "detail": 8,
}  # fmt: skip
chrnet.ARCHS["chrnet4-test"] = {"base": 16, "groups": 4, "in_channels": 1, "polarity": True}
detectors.ARCHS["chrrender-test"] = {
    "backbone": "resnet10t", "stages": 3, "fpn_channels": 16, "anchor_sizes": (16, 32, 64, 128), "box_hidden": 16,
    "mask_hidden": 16, "point_hidden": 16, "steps": 1,
}  # fmt: skip
mitosis.ARCHS["mitonet-test"] = {"backbone": "mitonet", "widths": [8, 8, 8, 16], "size": 32, "zoom_power": 0.5}
mitosis.ARCHS["lite-test"] = {
    "backbone": "lite0", "levels": 3, "mirrors": 1, "size": 32, "zoom_power": 0.0, "follow": True, "field": 56.0,
    "tone": "spread",
}  # fmt: skip
for _name, _like, _arguments in (
    ("compact-test", "compact", {"widths": [8, 16, 16, 16], "blocks": [1, 1, 1]}),
    ("unet-test", "unet", {"widths": [4, 8, 8, 8, 8]}),
):
    nucleus_seg.FAMILIES[_name] = nucleus_seg.FAMILIES[_like]
    nucleus_seg.ARGUMENTS[_name] = _arguments


def build_chrrender(arch: str, **changes: Any) -> ChrRender:
    """Build a named detector, with arguments changed on request."""
    return ChrRender(**(detectors.arguments_of(arch) | changes))
