"""A network that comes from photographs: EfficientNet-Lite over each frame, a recurrent layer over time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cellscope.nn.encoder import Encoder

WIDTH, HIDDEN = 128, 64
"""Of what is known of a frame, and of each direction of the recurrent layer."""


def as_pictures(sequences: Tensor) -> Tensor:
    """Show normalised sequences as pictures of three colours: the sum of both channels, transmitted light, nuclei.

    Parameters
    ----------
    sequences : (B, T, 2, H, W)
        From `sequences.view.normalise`: light about 0, nuclei from 0 to about 1.2.

    Returns
    -------
    (B * T, 3, H, W), between 0 and 1; background is middle grey in light and black in nuclei
    """
    light = (0.5 + 0.15 * sequences[:, :, 0]).clamp(0, 1)
    nuclei = (0.9 * sequences[:, :, 1]).clamp(0, 1)
    both = (0.7 * light + 0.6 * nuclei).clamp(0, 1)
    return torch.stack([both, light, nuclei], 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)


class LiteGru(nn.Module):
    """`Encoder` over each frame, mean and maximum over space, a recurrent layer in both directions of time.

    Parameters
    ----------
    encoder : str
        ``lite0``, ``lite1`` or ``lite2``.
    classes : int
    levels : int
        Of the encoder.
    mirrors : int
        Views whose mean `networks.registry.probabilities` gives: 1 as it is, 2 and turned by half, 4 all mirror images.
    drop : float
    """

    def __init__(
        self, encoder: str = "lite0", classes: int = 2, *, levels: int = 5, mirrors: int = 2, drop: float = 0.4
    ):
        super().__init__()
        self.mirrors = mirrors
        self.backbone = Encoder(encoder, 3, levels=levels)
        self.project = nn.Sequential(nn.Linear(2 * self.backbone.channels[-1], WIDTH), nn.LayerNorm(WIDTH), nn.GELU())
        self.shorten = nn.Dropout(drop / 2)
        self.gru = nn.GRU(WIDTH, HIDDEN, batch_first=True, bidirectional=True)
        self.head = nn.Sequential(nn.Dropout(drop), nn.Linear(4 * HIDDEN + WIDTH, classes))

    def forward(self, sequences: Tensor) -> Tensor:
        """(B, T, 2, H, W) -> logits (B, K); any T."""
        count, frames = sequences.shape[:2]
        maps = self.backbone(as_pictures(sequences))[-1].float()
        pooled = torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1)
        features = self.shorten(self.project(pooled)).view(count, frames, -1)
        states, _ = self.gru(features)
        logits: Tensor = self.head(torch.cat([states.mean(1), states.amax(1), features.mean(1)], 1))
        return logits
