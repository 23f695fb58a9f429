"""The upward half of a U-Net: from the coarsest features of an encoder to its finest, twofold at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


def conv_block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Make a 3 x 3 convolution, batch normalisation, ReLU: (B, inputs, H, W) -> (B, outputs, H / stride, ...)."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class Rise(nn.Module):
    """One step up: narrow with a 1 x 1 convolution, repeat pixels twofold, join the finer features, convolve twice.

    Narrowing before enlarging costs a quarter; pixels are repeated, since the gradient of that is much cheaper on a CPU
    than that of interpolation.

    Parameters
    ----------
    inputs, skip, outputs : int
        Channels of the coarse and of the fine features, and of the result.
    """

    def __init__(self, inputs: int, skip: int, outputs: int):
        super().__init__()
        self.narrow = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())
        self.blend = conv_block(outputs + skip, outputs)
        self.refine = conv_block(outputs, outputs)

    def joined(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Give what the convolutions see: (B, outputs + skip, H, W)."""
        enlarged = functional.interpolate(self.narrow(coarse), scale_factor=2.0, mode="nearest")
        return torch.cat([enlarged[..., : fine.shape[-2], : fine.shape[-1]], fine], 1)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, inputs, ceil(H / 2), ceil(W / 2)) and (B, skip, H, W) -> (B, outputs, H, W)."""
        out: Tensor = self.refine(self.blend(self.joined(coarse, fine)))
        return out


class Decoder(nn.Module):
    """Steps up through all features of an encoder.

    Parameters
    ----------
    channels : sequence of int
        Of the features, finest first, as `cellscope.nn.encoder.Encoder.channels` gives them.
    widths : sequence of int
        Channels after each step, coarse to fine; one less than `channels`.

    References
    ----------
    O. Ronneberger, P. Fischer, T. Brox, U-Net, MICCAI 2015.
    """

    def __init__(self, channels: Sequence[int], widths: Sequence[int]):
        super().__init__()
        if len(widths) != len(channels) - 1:
            raise ValueError(f"{len(channels)} features are joined in {len(channels) - 1} steps, not {len(widths)}")
        coarse = [channels[-1], *widths[:-1]]
        self.steps = nn.ModuleList(
            Rise(inputs, skip, width) for inputs, skip, width in zip(coarse, channels[-2::-1], widths, strict=True)
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Features, finest first -> (B, widths[-1], H, W) at the size of the finest."""
        x = features[-1]
        for step, fine in zip(self.steps, features[-2::-1], strict=True):
            x = step(x, fine)
        return x
