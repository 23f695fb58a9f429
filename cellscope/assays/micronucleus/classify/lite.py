"""A classifier of crops on an encoder that knows ImageNet, which also says where in the crop it looks."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from cellscope.nn.encoder import Encoder

ARCHS: dict[str, str] = {"lite0-mn": "lite0"}
"""Architecture -> encoder."""

LEVELS = 4
EARLY = 2
"""The level whose features training may read, at an eighth of the size."""
DROPOUT = 0.2


class LiteNet(nn.Module):
    """Mean and maximum of the features at strides 8 and 16, a linear layer.

    A micronucleus is small: the maximum keeps what the mean over a crop dilutes.

    Parameters
    ----------
    encoder : str
    classes : int
    """

    def __init__(self, encoder: str, classes: int):
        super().__init__()
        self.encoder = Encoder(encoder, 3, levels=LEVELS)
        early, late = self.encoder.channels[EARLY], self.encoder.channels[-1]
        self.early_channels = early
        self.dropout = nn.Dropout(DROPOUT)
        self.classifier = nn.Linear(2 * (early + late), classes)

    def with_early_map(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, S, S) -> logits (B, classes) and the features (B, C, S / 8, S / 8)."""
        features = self.encoder(x)
        early, late = features[EARLY], features[-1]
        pooled = torch.cat([early.mean((2, 3)), early.amax((2, 3)), late.mean((2, 3)), late.amax((2, 3))], 1)
        return self.classifier(self.dropout(pooled)), early

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, classes) logits."""
        return self.with_early_map(x)[0]


def build_lite(arch: str, *, classes: int, pretrained: bool = False, weights: Path | None = None) -> LiteNet:
    """Make one of `ARCHS`, with ImageNet weights in its encoder where `pretrained`.

    Raises
    ------
    ModelError
        The weights cannot be had.
    """
    network = LiteNet(ARCHS[arch], classes)
    if pretrained:
        network.encoder.load_imagenet(weights)
    return network
