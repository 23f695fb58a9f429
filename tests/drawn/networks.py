"""Networks small enough for tests, by names that ``--arch`` takes where this module was imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cellscope.assays.histo.networks import registry as histo
from cellscope.assays.karyotype.networks import chrnet, detectors
from cellscope.assays.karyotype.networks.chrrender import ChrRender
from cellscope.assays.mitosis.networks import registry as mitosis
from cellscope.assays.nucleus_seg.networks import registry as nucleus_seg
from cellscope.models.card import ModelCard
from cellscope.models.file import save_model

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


def save_detector(path: Path, *, seed: int = 0, mask: str = "points") -> None:
    """Save an untrained ``chrrender-test`` with this mask head."""
    torch.manual_seed(seed)
    card = ModelCard(
        assay="karyotype",
        part="detect",
        arch="chrrender-test",
        arch_args=detectors.ARCHS["chrrender-test"] | {"mask": mask},
        classes=("chromosome",),
        channels=("grey",),
        normalisation={"kind": "metaphase", "canonical_side": 26.0},
        pixel_size_um=None,
        thresholds={},
        training={},
        metrics={},
        cellscope_version="1",
    )
    save_model(path, build_chrrender("chrrender-test", mask=mask).state_dict(), card)


class Painter:
    """Fills what is bright in the image, sampled over each box; `share` of its height only."""

    def __init__(self, share: float = 1.0):
        self.share = share

    def masks_in(self, image: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        drawn = []
        for x0, y0, x1, y1 in boxes.tolist():
            rows = torch.linspace(y0, y1, 57)[:-1].long().clamp(0, image.shape[1] - 1)
            columns = torch.linspace(x0, x1, 57)[:-1].long().clamp(0, image.shape[2] - 1)
            cut = (image[0][rows][:, columns] > 0.5).float()
            cut[int(self.share * 56) :] = 0
            drawn.append(cut)
        return torch.stack(drawn)
