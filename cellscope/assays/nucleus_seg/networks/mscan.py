"""MSCAN-T, SegNeXt's encoder (Guo et al. 2022), as MSFF-SegNeXt has it: 3,903,584 parameters.

The published MSFF block differs from SegNeXt's: there is no residual inside the attention, which is kept here, and each
attention constructs an edge-guided module that it never calls, which is left out.
"""

from __future__ import annotations

import torch
from torch import nn

WIDTHS, DEPTHS, RATIOS = (32, 64, 160, 256), (3, 3, 5, 2), (8, 8, 4, 4)
DROP_PATH, DROPOUT, LAYER_SCALE = 0.1, 0.1, 1e-2


class DropPath(nn.Module):
    """Leave a branch out at random, per item, in training."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, ...) -> (N, ...)."""
        if not self.training or self.rate == 0:
            return x
        keep = torch.rand((len(x), *[1] * (x.ndim - 1)), device=x.device, dtype=x.dtype) >= self.rate
        return x * keep / (1 - self.rate)


class MultiScaleAttention(nn.Module):
    """Strip convolutions of three lengths, summed and mixed, gate the input (paper's equations 1 and 2)."""

    def __init__(self, width: int):
        super().__init__()
        self.enter = nn.Conv2d(width, width, 1)
        self.act = nn.GELU()
        self.local = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.strips = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, (1, size), padding=(0, size // 2), groups=width),
                nn.Conv2d(width, width, (size, 1), padding=(size // 2, 0), groups=width),
            )
            for size in (7, 11, 21)
        )
        self.mix = nn.Conv2d(width, width, 1)
        self.leave = nn.Conv2d(width, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        x = self.act(self.enter(x))
        scales = self.local(x)
        attention = scales
        for strip in self.strips:
            attention = attention + strip(scales)
        return self.leave(self.mix(attention) * x)


class FeedForward(nn.Module):
    """1 x 1, depthwise 3 x 3, GELU, 1 x 1."""

    def __init__(self, width: int, ratio: int):
        super().__init__()
        hidden = width * ratio
        self.widen = nn.Conv2d(width, hidden, 1)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.act = nn.GELU()
        self.narrow = nn.Conv2d(hidden, width, 1)
        self.drop = nn.Dropout(DROPOUT)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        return self.drop(self.narrow(self.drop(self.act(self.depthwise(self.widen(x))))))


class Block(nn.Module):
    """Attention and feed-forward, each normed, scaled per channel and added."""

    def __init__(self, width: int, ratio: int, drop_path: float):
        super().__init__()
        self.first_norm, self.second_norm = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.attention, self.feed = MultiScaleAttention(width), FeedForward(width, ratio)
        self.first_scale = nn.Parameter(LAYER_SCALE * torch.ones(width, 1, 1))
        self.second_scale = nn.Parameter(LAYER_SCALE * torch.ones(width, 1, 1))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        x = x + self.drop_path(self.first_scale * self.attention(self.first_norm(x)))
        return x + self.drop_path(self.second_scale * self.feed(self.second_norm(x)))


class Mscan(nn.Module):
    """The encoder: maps at 1/4, 1/8, 1/16 and 1/32 with `WIDTHS` channels."""

    def __init__(self) -> None:
        super().__init__()
        rates = torch.linspace(0, DROP_PATH, sum(DEPTHS)).tolist()
        self.downs, self.stages, self.norms = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        inputs = 3
        for width, depth, ratio in zip(WIDTHS, DEPTHS, RATIOS, strict=True):
            self.downs.append(_stem(width) if inputs == 3 else _halve(inputs, width))
            self.stages.append(nn.Sequential(*(Block(width, ratio, rates.pop(0)) for _ in range(depth))))
            self.norms.append(nn.LayerNorm(width))
            inputs = width

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(N, 3, H, W) -> four maps."""
        maps = []
        for down, stage, norm in zip(self.downs, self.stages, self.norms, strict=True):
            x = stage(down(x))
            x = norm(x.movedim(1, -1)).movedim(-1, 1)
            maps.append(x)
        return maps


def _halve(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1), nn.BatchNorm2d(outputs))


def _stem(width: int) -> nn.Sequential:
    return nn.Sequential(*_halve(3, width // 2), *_halve(width // 2, width))
