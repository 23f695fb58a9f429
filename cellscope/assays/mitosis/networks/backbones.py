"""Networks over one frame at a time: Gao's, timm's, and a small one of ours that also takes the frames beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

TIMM = {"resnet50": "resnet50", "vgg16": "vgg16", "xception": "legacy_xception", "mobilenet": "mobilenetv4_conv_small"}
"""Our names of timm's backbones."""


class Gao(nn.Sequential):
    """The small network of Gao et al. (IEEE J. Biomed. Health Inform. 21, 2017) as the paper's authors wired it.

    Three valid convolutions, each with ReLU, batch normalisation and max pooling. (N, 3, 78, 78) -> (N, 32, 3, 3).
    """

    def __init__(self, in_channels: int = 3):
        layers: list[nn.Module] = []
        for width, kernel, pool in ((6, 7, 2), (16, 4, 3), (32, 3, 3)):
            layers += [nn.Conv2d(in_channels, width, kernel), nn.ReLU(), nn.BatchNorm2d(width), nn.MaxPool2d(pool)]
            in_channels = width
        super().__init__(*layers)


class Timm(nn.Module):
    """A timm backbone without pooling and classifier: (N, 3, H, W) -> (N, C, h, w).

    Parameters
    ----------
    name : str
        Key of `TIMM`.
    pretrained, weights
        With ImageNet weights, and their file; see `cellscope.nn.pretrained.timm_network`.
    in_channels : int
    """

    def __init__(self, name: str, *, pretrained: bool = False, weights: Path | None = None, in_channels: int = 3):
        from cellscope.nn.pretrained import timm_network

        super().__init__()
        self.body: Any = timm_network(
            TIMM[name], pretrained=pretrained, weights=weights, num_classes=0, global_pool="", in_chans=in_channels,
        )  # fmt: skip
        if name == "vgg16":
            self.body.pre_logits = nn.Identity()  # the fully connected layers, 120 M parameters that are never used

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Feature maps of the last stage."""
        features: torch.Tensor = self.body.forward_features(frames)
        return features


def shift_in_time(features: torch.Tensor, frames: int, share: int = 8) -> torch.Tensor:
    """Exchange an eighth of the channels with the next frame and an eighth with the one before.

    Parameters
    ----------
    features : (B * T, C, H, W)
    frames : int
        T.
    share : int

    Returns
    -------
    The same shape; beyond the ends there is 0.

    References
    ----------
    J. Lin, C. Gan, S. Han, TSM: Temporal Shift Module, ICCV 2019.
    """
    total, channels, height, width = features.shape
    split = features.view(total // frames, frames, channels, height, width)
    k = channels // share
    out = torch.zeros_like(split)
    out[:, :-1, :k] = split[:, 1:, :k]
    out[:, 1:, k : 2 * k] = split[:, :-1, k : 2 * k]
    out[:, :, 2 * k :] = split[:, :, 2 * k :]
    return out.view(total, channels, height, width)


class _Block(nn.Module):
    """A residual block of two 3x3 convolutions, after a shift in time where asked for."""

    folds = (("conv1", "norm1"), ("conv2", "norm2"))

    def __init__(self, inner: int, outer: int, stride: int, shifted: bool):
        super().__init__()
        self.shifted = shifted
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outer)
        same = stride == 1 and inner == outer
        self.skip: nn.Module = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))
        )

    def forward(self, x: torch.Tensor, frames: int) -> torch.Tensor:
        inner = shift_in_time(x, frames) if self.shifted else x
        inner = torch.relu(self.norm1(self.conv1(inner)))
        return torch.relu(self.norm2(self.conv2(inner)) + self.skip(x))


class MitoBackbone(nn.Module):
    """A small residual network whose frames know a little of their neighbours.

    Each frame enters with the one before and the one after as further channels, and the last two stages exchange
    channels between frames, so that "two nuclei moved apart" can be seen where it happens, before pooling loses where.

    Parameters
    ----------
    widths : sequence of int
        Channels of the stages; all but the first halve the resolution, after a stem that halves it once.
    in_channels : int
        Of one frame.
    """

    def __init__(self, widths: Sequence[int] = (16, 32, 64, 128), in_channels: int = 2):
        super().__init__()
        first = widths[0]
        self.stem = nn.Sequential(
            nn.Conv2d(3 * in_channels, first, 5, 2, 2, bias=False), nn.BatchNorm2d(first), nn.ReLU()
        )
        pairs = zip((first, *widths[:-1]), widths, strict=True)
        self.blocks = nn.ModuleList(
            _Block(inner, outer, 1 if place == 0 else 2, place >= len(widths) - 2)
            for place, (inner, outer) in enumerate(pairs)
        )

    def forward(self, sequences: torch.Tensor) -> torch.Tensor:
        """(B, T, C, H, W) -> (B * T, C', h, w)."""
        before = torch.cat([sequences[:, :1], sequences[:, :-1]], 1)
        after = torch.cat([sequences[:, 1:], sequences[:, -1:]], 1)
        stacked = torch.cat([before, sequences, after], 2).flatten(0, 1)
        features = self.stem(stacked.contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            features = block(features, sequences.shape[1])
        return features
