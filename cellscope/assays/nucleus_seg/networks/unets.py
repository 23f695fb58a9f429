"""The paper's baselines of the U-Net family: U-Net (34,527,041 parameters) and R2U-Net (39,091,393)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

WIDTHS = (64, 128, 256, 512, 1024)


def _convolve(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 1, 1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _double(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(*_convolve(inputs, outputs), *_convolve(outputs, outputs))


class Recurrent(nn.Module):
    """One convolution used again and again, its input added before each further use (t = 2)."""

    def __init__(self, width: int, times: int = 2):
        super().__init__()
        self.convolve, self.times = _convolve(width, width), times

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        y = self.convolve(x)
        for _ in range(self.times):
            y = self.convolve(x + y)
        return y


class RecurrentResidual(nn.Module):
    """1 x 1, two recurrent convolutions, and the 1 x 1's output added."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.enter = nn.Conv2d(inputs, outputs, 1)
        self.body = nn.Sequential(Recurrent(outputs), Recurrent(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> (N, C', h, w)."""
        x = self.enter(x)
        return x + self.body(x)


class UNet(nn.Module):
    """U-Net with norms, nearest-neighbour enlarging and 3 x 3 convolutions on the way up.

    Parameters
    ----------
    classes : int
        With two, the network has one logit, as published; the background's is 0.
    recurrent : bool
        R2U-Net's blocks in place of plain ones.
    widths : sequence of int
    """

    def __init__(self, classes: int = 2, recurrent: bool = False, widths: tuple[int, ...] = WIDTHS):
        super().__init__()
        block = RecurrentResidual if recurrent else _double
        self.downs = nn.ModuleList(
            block(inputs, outputs) for inputs, outputs in zip((3, *widths[:-1]), widths, strict=True)
        )
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.ups = nn.ModuleList(_convolve(inputs, outputs) for inputs, outputs in pairs)
        self.joins = nn.ModuleList(block(2 * outputs, outputs) for _, outputs in pairs)
        self.classify = nn.Conv2d(widths[0], 1 if classes == 2 else classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W), sides multiples of 16 -> (N, classes, H, W) logits."""
        maps: list[torch.Tensor] = []
        for down in self.downs:
            x = down(F.max_pool2d(maps[-1], 2) if maps else x)
            maps.append(x)
        x = maps.pop()
        for up, join in zip(self.ups, self.joins, strict=True):
            x = up(F.interpolate(x, scale_factor=2, mode="nearest"))
            x = join(torch.cat([maps.pop(), x], 1))
        logits = self.classify(x)
        return torch.cat([torch.zeros_like(logits), logits], 1) if logits.shape[1] == 1 else logits
