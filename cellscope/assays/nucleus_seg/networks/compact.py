"""The built-in network: a small residual U-Net with two heads, pixel classes and the distance inside the cell.

Everything is convolution with a bounded reach (no global pooling, no attention over the image), so windows of a large
smear fit together without a seam. The second head is what separates touching cells: a nucleus of several lobes has
several peaks in a distance map of its own, but its cell has one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class _Block(nn.Module):
    """Two 3 x 3 convolutions with a shortcut; the first may halve the resolution."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dilation: int = 1):
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, dilation, dilation, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> (N, C', h / stride, w / stride)."""
        y = F.relu(self.first_norm(self.first(x)), inplace=True)
        return F.relu(self.second_norm(self.second(y)) + self.shortcut(x), inplace=True)


class _Up(nn.Module):
    """Reduce by 1 x 1, enlarge twice, join the encoder's map, convolve."""

    def __init__(self, inputs: int, skip: int, outputs: int):
        super().__init__()
        self.reduce = nn.Conv2d(inputs, outputs, 1)
        self.block = _Block(outputs + skip, outputs)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) and (N, S, 2h, 2w) -> (N, C', 2h, 2w)."""
        x = F.interpolate(self.reduce(x), size=skip.shape[-2:], mode="bilinear", align_corners=False)
        return self.block(torch.cat([x, skip], 1))


class CompactNet(nn.Module):
    """Residual U-Net at half the input's resolution.

    Parameters
    ----------
    classes : int
        Pixel classes.
    widths : sequence of int
        Channels at 1/2, 1/4, 1/8 and 1/16 of the resolution.
    blocks : sequence of int
        Residual blocks at 1/4, 1/8 and 1/16.
    distance : bool
        Whether to have the distance head.
    """

    def __init__(
        self,
        classes: int = 3,
        widths: tuple[int, ...] = (32, 64, 128, 192),
        blocks: tuple[int, ...] = (2, 2, 2),
        distance: bool = True,
    ):
        super().__init__()
        self.classes, self.distance = classes, distance
        first = widths[0]
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 3, 2, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU(inplace=True), _Block(first, first)
        )
        stages = []
        for inputs, outputs, count in zip(widths, widths[1:], blocks, strict=False):
            stages.append(
                nn.Sequential(_Block(inputs, outputs, 2), *(_Block(outputs, outputs) for _ in range(count - 1)))
            )
        # Wide context at the coarsest map instead of one more halving.
        stages[-1].append(_Block(widths[-1], widths[-1], dilation=2))
        self.stages = nn.ModuleList(stages)
        self.ups = nn.ModuleList(
            _Up(inputs, skip, skip) for inputs, skip in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.head = nn.Conv2d(first, classes + int(distance), 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Give class logits and, last, the distance logit.

        Parameters
        ----------
        x : (N, 3, H, W) float32, normalised

        Returns
        -------
        (N, classes + 1, H, W) float, at the input's resolution
        """
        size = x.shape[-2:]
        maps = [self.stem(x)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        y = maps.pop()
        for up in self.ups:
            y = up(y, maps.pop())
        return F.interpolate(self.head(y), size=size, mode="bilinear", align_corners=False)
