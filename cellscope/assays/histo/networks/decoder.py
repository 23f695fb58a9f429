"""The two mechanisms of the decoder: dense feature reuse, and channel attention."""

from __future__ import annotations

import torch
from torch import nn


class DenseBlock(nn.Module):
    """Dense connections (equations 1 and 2): every layer sees all before it; the whole concatenation comes out.

    Parameters
    ----------
    channels : int
        Of the input.
    growth : int
        Channels that each layer adds.
    layers : int
    """

    def __init__(self, channels: int, growth: int, layers: int):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(channels + number * growth),
                nn.ReLU(),
                nn.Conv2d(channels + number * growth, growth, 3, padding=1),
            )
            for number in range(layers)
        )
        self.channels = channels + layers * growth

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> (N, C + layers * growth, h, w)."""
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


class ChannelAttention(nn.Module):
    """Channel attention (equation 4): sigmoid(W2 ReLU(W1(average pool + maximum pool))), reduction 16."""

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        inner = max(channels // reduction, 4)
        self.gate = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.ReLU(), nn.Conv2d(inner, channels, 1), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> the same, each channel scaled."""
        return x * self.gate(x.mean((2, 3), keepdim=True) + x.amax((2, 3), keepdim=True))


class ConvCam(nn.Sequential):
    """`depth` grouped 5 x 5 convolutions with normalisation and ReLU, then channel attention (Figure 4)."""

    def __init__(self, channels: int, depth: int, groups: int):
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [
                nn.Conv2d(channels, channels, 5, padding=2, groups=groups),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            ]
        super().__init__(*layers, ChannelAttention(channels))


def upsampling(channels: int, out: int, kernel: int) -> nn.ConvTranspose2d:
    """Make a transposed convolution that doubles the size exactly, its cells on the input's."""
    return nn.ConvTranspose2d(channels, out, kernel, stride=2, padding=kernel // 2, output_padding=1)
