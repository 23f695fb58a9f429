"""HistoNeXt as published: ConvNeXt encoder, three branches, 270 x 270 pixels in, the central 80 x 80 out.

The paper's text contradicts itself; the wiring here is one that meets all eight of its figures (parameters and
multiply-accumulates of the four sizes) within 2 %. What differs from the text, and why:

- growth rates of Tiny are scaled by 0.75 like its channels, not halved;
- the encoder's finest maps are cropped before the dense blocks, else the decoder costs more than the whole network
  should;
- the last maps lie at half the resolution and cover 160 pixels, while the target is the central 80. So the central part
  of the logits is enlarged to the input's pixels, which keeps output and input registered to the pixel.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from cellscope.assays.histo.networks.decoder import ConvCam, DenseBlock, upsampling
from cellscope.nn.pretrained import timm_network

#: Size -> encoder of timm, and of its weights where they can be had.
ENCODERS = {
    "tiny": "convnext_tiny.fb_in22k_ft_in1k_384",
    "base": "convnext_base.fb_in22k_ft_in1k_384",
    "large": "convnext_large.fb_in22k_ft_in1k_384",
    "xlarge": "convnext_xlarge.fb_in22k_ft_in1k_384",
}
#: Layers and growth (at 1024 encoder channels) of the four dense blocks.
DENSE = ((2, 512), (4, 256), (6, 128), (4, 64))
#: Stage -> (cells kept, from which cell of the enlarged map, from which cell of the encoder's map).
CROPS = {1: (24, 5, 5), 2: (40, 4, 14)}
#: Of the last maps, the cells (2 px each, from px 56) whose enlargement holds px [95, 175), and what to drop of it.
LAST, DROP = slice(19, 61), slice(1, 81)


def _crop(x: torch.Tensor, start: int, size: int) -> torch.Tensor:
    return x[:, :, start : start + size, start : start + size]


class SegmentationBranch(nn.Module):
    """Dense feature reuse (equation 3): the NP and the HV branch.

    Parameters
    ----------
    widths : sequence of 4 int
        Channels of the encoder's maps, fine to coarse.
    outputs : int
    """

    def __init__(self, widths: tuple[int, ...], outputs: int):
        super().__init__()
        scale = widths[3] / 1024
        steps = (widths[2], widths[1], widths[0], widths[0])
        self.up, self.dense = nn.ModuleList(), nn.ModuleList()
        channels = widths[3]
        for stage, ((layers, growth), out) in enumerate(zip(DENSE, steps, strict=True)):
            self.up.append(upsampling(channels, out, 3))
            skip = widths[2 - stage] if stage < 3 else 0
            block = DenseBlock(out + skip, round(growth * scale), layers)
            self.dense.append(block)
            channels = block.channels
        self.head = nn.Conv2d(channels, outputs, 1)

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Turn encoder maps, fine to coarse, into (N, outputs, 80, 80) at half the input's resolution, from px 56."""
        x = features[3]
        for stage, (up, dense) in enumerate(zip(self.up, self.dense, strict=True)):
            x = dense(_fused(up(x), features, stage))
        return self.head(x)


class TypeBranch(nn.Module):
    """Channel attention (equation 4): the TP branch; parameters as for `SegmentationBranch`."""

    def __init__(self, widths: tuple[int, ...], outputs: int):
        super().__init__()
        steps = (widths[2], widths[1], widths[0], widths[0])
        # The text's 12 groups divide the channels of Tiny and Large only.
        groups = 12 if all(width % 12 == 0 for width in widths) else 16
        self.up, self.cam = nn.ModuleList(), nn.ModuleList()
        channels = widths[3]
        for stage, out in enumerate(steps):
            self.up.append(upsampling(channels, out, 5))
            self.cam.append(ConvCam(out, stage + 1, groups))
            channels = out + (widths[2 - stage] if stage < 3 else 0)
        self.head = nn.Conv2d(channels, outputs, 1)

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        """As for `SegmentationBranch`."""
        x = features[3]
        for stage, (up, cam) in enumerate(zip(self.up, self.cam, strict=True)):
            x = up(x)
            if stage in CROPS:
                x = _crop(x, CROPS[stage][1], CROPS[stage][0])
            x = cam(x)
            if stage < 3:
                x = torch.cat([x, _skip(features, stage)], 1)
        return self.head(x)


def _skip(features: list[torch.Tensor], stage: int) -> torch.Tensor:
    skip = features[2 - stage]
    return _crop(skip, CROPS[stage][2], CROPS[stage][0]) if stage in CROPS else skip[:, :, :16, :16]


def _fused(x: torch.Tensor, features: list[torch.Tensor], stage: int) -> torch.Tensor:
    if stage in CROPS:
        x = _crop(x, CROPS[stage][1], CROPS[stage][0])
    return torch.cat([x, _skip(features, stage)], 1) if stage < 3 else x


class HistoNeXt(nn.Module):
    """The network of the paper.

    Parameters
    ----------
    size : str
        ``tiny``, ``base``, ``large`` or ``xlarge``.
    types : int
        Types of nuclei, without the background.
    pretrained, weights
        With ImageNet weights for the encoder, and their file; see `cellscope.nn.pretrained.timm_network`.
    """

    core, margin, fixed = 80, 95, True

    def __init__(self, size: str, types: int, pretrained: bool = False, weights: Path | None = None):
        super().__init__()
        self.encoder = timm_network(ENCODERS[size], pretrained=pretrained, weights=weights, features_only=True)
        info: Any = self.encoder.feature_info
        widths = tuple(info.channels())
        assert all(b == 2 * a for a, b in pairwise(widths))
        self.np = SegmentationBranch(widths, 2)
        self.hv = SegmentationBranch(widths, 2)
        self.tp = TypeBranch(widths, types + 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Read (N, 3, 270, 270) and give (N, 4 + types + 1, 80, 80): NP, HV, TP of the central pixels."""
        features = self.encoder(images)
        maps = torch.cat([branch(features) for branch in (self.np, self.hv, self.tp)], 1)
        return registered(maps)


def registered(maps: torch.Tensor) -> torch.Tensor:
    """Bring the last maps, whose cells are 2 pixels from pixel 56 on, to the pixels [95, 175) of the input.

    (N, C, 80, 80) -> the same.
    """
    large = F.interpolate(maps[:, :, LAST, LAST], scale_factor=2, mode="bilinear", align_corners=False)
    return large[:, :, DROP, DROP]
