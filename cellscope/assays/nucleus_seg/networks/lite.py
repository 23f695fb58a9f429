"""A U-Net on an encoder that knows ImageNet, with the heads of `compact`: pixel classes, distance inside the cell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from cellscope.nn.decoder import Decoder
from cellscope.nn.encoder import Encoder


class LiteUNet(nn.Module):
    """EfficientNet-Lite below, maps at half the input's resolution.

    Parameters
    ----------
    classes : int
        Pixel classes.
    encoder : str
        ``lite0``, ``lite1`` or ``lite2``.
    widths : sequence of 4 int
        Channels of the decoder at strides 16, 8, 4 and 2.
    distance : bool
        Whether to have the distance head.
    mean, deviation : float
        What the network's input was normalised by.
    """

    def __init__(
        self,
        classes: int = 3,
        encoder: str = "lite0",
        widths: Sequence[int] = (96, 64, 48, 32),
        distance: bool = True,
        mean: float = 0.5,
        deviation: float = 0.25,
    ):
        super().__init__()
        self.classes, self.distance = classes, distance
        self.input_scale = mean, deviation
        self.encoder = Encoder(encoder, 3)
        self.encoder.accept_normalised(mean, deviation)
        self.decoder = Decoder(self.encoder.channels, widths)
        self.head = nn.Conv2d(widths[-1], classes + int(distance), 1)

    def load_imagenet(self, weights: Path | None = None) -> None:
        """Take ImageNet weights for the encoder, as `Encoder.load_imagenet` does."""
        self.encoder.load_imagenet(weights)
        self.encoder.accept_normalised(*self.input_scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Give class logits and, last, the distance logit.

        Parameters
        ----------
        x : (N, 3, H, W) float32, normalised

        Returns
        -------
        (N, classes + 1, H, W) float, at the input's resolution
        """
        maps = self.head(self.decoder(self.encoder(x)))
        return F.interpolate(maps, size=x.shape[-2:], mode="bilinear", align_corners=False)
