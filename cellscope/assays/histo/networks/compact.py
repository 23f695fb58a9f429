"""The small built-in variant: a ConvNeXt-Atto or Pico encoder and slim branches, for windows of any size.

What differs from the published network: NP and HV share their dense blocks up to the last, a stem of two plain
convolutions adds detail at half resolution (the encoder's first map lies at a quarter, coarse for nuclei of 25 pixels),
and all maps are padded, so that one pass gives a whole window but a margin rather than 80 x 80 of 270 x 270 pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from cellscope.assays.histo.networks.decoder import ConvCam
from cellscope.nn.decoder import conv_block
from cellscope.nn.pretrained import timm_network


class _Dense(nn.Module):
    """Dense connections with normalisation after each convolution, of the new channels alone.

    Before it, as published, all channels so far are normalised anew in every layer; at half resolution that costs more
    than the convolutions.
    """

    def __init__(self, channels: int, growth: int, layers: int):
        super().__init__()
        self.layers = nn.ModuleList(conv_block(channels + number * growth, growth) for number in range(layers))
        self.channels = channels + layers * growth

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> (N, C + layers * growth, h, w)."""
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


class _Up(nn.Module):
    """Narrow with a 1 x 1 convolution, then enlarge twofold."""

    def __init__(self, channels: int, out: int):
        super().__init__()
        self.narrow = nn.Sequential(nn.Conv2d(channels, out, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> (N, out, 2 h, 2 w)."""
        return F.interpolate(self.narrow(x), scale_factor=2, mode="bilinear", align_corners=False)


class Compact(nn.Module):
    """HistoNeXt's mechanisms at a fortieth of its cost per pixel.

    Parameters
    ----------
    encoder : str
        A ConvNeXt of timm.
    types : int
        Types of nuclei, without the background.
    widths : sequence of 4 int
        Channels after each enlargement, coarse to fine.
    growth, layers : sequence of 4 int
        Of the dense blocks.
    detail : int
        Channels of the stem at half resolution.
    drop_path : float
        Stochastic depth in the encoder.
    pretrained, weights
        ImageNet weights for the encoder.
    """

    # A margin of 32 is enough to learn with; in prediction a wider one makes less of where a window ends.
    core, margin, fixed = 640, 64, False

    def __init__(
        self,
        encoder: str,
        types: int,
        *,
        widths: Sequence[int] = (160, 96, 64, 40),
        growth: Sequence[int] = (96, 64, 48, 32),
        layers: Sequence[int] = (2, 3, 4, 3),
        detail: int = 32,
        drop_path: float = 0.0,
        pretrained: bool = False,
        weights: Path | None = None,
    ):
        super().__init__()
        self.encoder = timm_network(
            encoder, pretrained=pretrained, weights=weights, features_only=True, drop_path_rate=drop_path
        )
        info: Any = self.encoder.feature_info
        skips = [*reversed(info.channels()[:3]), detail]
        channels = info.channels()[3]
        self.detail = nn.Sequential(conv_block(3, detail // 2, 2), conv_block(detail // 2, detail))
        self.up, self.dense = nn.ModuleList(), nn.ModuleList()
        self.type_up, self.cam = nn.ModuleList(), nn.ModuleList()
        type_channels = channels
        for stage in range(4):
            self.up.append(_Up(channels, widths[stage]))
            block = _Dense(widths[stage] + skips[stage], growth[stage], layers[stage])
            self.dense.append(block)
            channels = block.channels
            narrow = widths[stage] // 2
            self.type_up.append(_Up(type_channels, narrow))
            self.cam.append(ConvCam(narrow, 1 + (stage < 3), max(narrow // 8, 1)))
            type_channels = narrow + skips[stage]
        self.distance = _Dense(widths[3] + skips[3], growth[3], layers[3])  # HV's own last block
        self.np, self.hv = nn.Conv2d(channels, 2, 1), nn.Conv2d(channels, 2, 1)
        # The type of a nucleus depends on how it and its neighbours look inside: what the other branch knows helps.
        self.tp = nn.Conv2d(type_channels + widths[3], types + 1, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, s + 2 margin, same), a multiple of 32 -> (N, 4 + types + 1, s, s)."""
        features = self.encoder(images)
        skips = [*reversed(features[:3]), self.detail(images)]
        x = kind = features[3]
        for stage, (up, dense) in enumerate(zip(self.up, self.dense, strict=True)):
            enlarged = up(x)
            fused = torch.cat([enlarged, skips[stage]], 1)
            kind = torch.cat([self.cam[stage](self.type_up[stage](kind)), skips[stage]], 1)
            x = dense(fused)
        maps = torch.cat([self.np(x), self.hv(self.distance(fused)), self.tp(torch.cat([kind, enlarged], 1))], 1)
        return registered(maps, self.margin)


def registered(maps: torch.Tensor, margin: int) -> torch.Tensor:
    """Bring maps at half resolution to the input's pixels, without the margin.

    (N, C, s / 2, s / 2) -> (N, C, s - 2 margin, same).
    """
    half = margin // 2 - 1  # one cell more than wanted, so that the enlargement has neighbours at the rim
    inner = F.interpolate(maps[:, :, half:-half, half:-half], scale_factor=2, mode="bilinear", align_corners=False)
    return inner[:, :, 2:-2, 2:-2]
