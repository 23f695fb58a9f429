"""The nucleus finder: a small U-Net that says of each pixel whether it is nucleus, how deep inside, and micronucleus.

The classifier of the paper needs cells that somebody has cut out. This network finds them in whole fields, and its
third output, micronuclei pixel by pixel, gives every cell a second score beside the classifier's.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

OUTPUTS = ("nucleus", "depth", "micronucleus")
"""What the channels of the output mean: two logits of a pixel's kind, and the depth inside its nucleus before the
sigmoid (0 at the rim, 1 at the innermost pixel)."""

DIAMETER = 32.0
"""Median diameter of a nucleus, in pixels, at the scale the network works at."""


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Finder(nn.Module):
    """U-Net; upsampling repeats pixels, whose gradient is much cheaper on a CPU than that of interpolation.

    Parameters
    ----------
    widths : list of int
        Channels per level; the number of levels follows.
    channels : int
        Input channels (see `cellscope.assays.micronucleus.field.field.as_channels`).
    """

    def __init__(self, widths: list[int], channels: int = 2):
        super().__init__()
        self.widths = list(widths)
        inputs = [channels, *widths[:-1]]
        self.down = nn.ModuleList(_block(a, b) for a, b in zip(inputs, widths, strict=True))
        self.up = nn.ModuleList(_block(a + b, a) for a, b in pairwise(widths))
        self.head = nn.Conv2d(widths[0], len(OUTPUTS), 1)

    @property
    def stride(self) -> int:
        """Sides of the input must be multiples of this."""
        return 2 ** (len(self.widths) - 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, 3, H, W) logits, as `OUTPUTS`; any H and W (padded by reflection inside)."""
        height, width = x.shape[-2:]
        step = self.stride
        bottom, right = -height % step, -width % step
        if bottom or right:
            x = nn.functional.pad(x, (0, right, 0, bottom), mode="replicate")
        levels: list[Tensor] = []
        for number, block in enumerate(self.down):
            x = block(x if number == 0 else nn.functional.max_pool2d(x, 2))
            levels.append(x)
        for number in range(len(self.up) - 1, -1, -1):
            x = nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = self.up[number](torch.cat([levels[number], x], 1))
        out: Tensor = self.head(x)
        return out[..., :height, :width]
