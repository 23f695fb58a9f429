"""A U-Net on an encoder that knows ImageNet, with the three branches: the built-in network for H&E.

All three branches share the decoder up to stride 4; distances and types have blocks of their own at half the input's
size, where all maps are made and from which they are enlarged, as in `compact`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from cellscope.assays.histo.networks.compact import registered
from cellscope.nn.decoder import Decoder, Rise, conv_block
from cellscope.nn.encoder import Encoder
from cellscope.nn.imagenet import DEVIATION, MEAN


class LiteUNet(nn.Module):
    """NP, HV and TP branches on EfficientNet-Lite.

    Parameters
    ----------
    encoder : str
        ``lite0``, ``lite1`` or ``lite2``.
    types : int
        Types of nuclei, without the background.
    widths : sequence of 4 int
        Channels of the decoder at strides 16, 8, 4 and 2.
    pretrained : bool
        ImageNet weights for the encoder.
    """

    core, margin, fixed = 640, 64, False

    def __init__(
        self,
        encoder: str,
        types: int,
        *,
        widths: Sequence[int] = (128, 96, 64, 40),
        pretrained: bool = False,
        weights: Path | None = None,
    ):
        super().__init__()
        self.encoder = Encoder(encoder, 3)
        if pretrained:
            self.encoder.load_imagenet(weights)
        self.encoder.accept_normalised(MEAN, DEVIATION)
        fine, *coarse = self.encoder.channels
        self.decoder = Decoder(coarse, widths[:3])
        last = widths[3]
        self.rise = Rise(widths[2], fine, last)
        self.distance, self.kind = conv_block(last + fine, last), conv_block(last + fine, last)
        self.np, self.hv = nn.Conv2d(last, 2, 1), nn.Conv2d(2 * last, 2, 1)
        self.tp = nn.Conv2d(2 * last, types + 1, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, s + 2 margin, same), a multiple of 32 -> (N, 4 + types + 1, s, s)."""
        features = self.encoder(images)
        joined = self.rise.joined(self.decoder(features[1:]), features[0])
        x = self.rise.refine(self.rise.blend(joined))
        hv = self.hv(torch.cat([x, self.distance(joined)], 1))
        tp = self.tp(torch.cat([x, self.kind(joined)], 1))
        return registered(torch.cat([self.np(x), hv, tp], 1), self.margin)
