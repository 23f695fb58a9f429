"""The nucleus finder on an encoder that knows ImageNet: a U-Net with the mouth and the outputs of `finder.Finder`."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from cellscope.assays.micronucleus.find.finder import OUTPUTS
from cellscope.nn.decoder import Decoder, conv_block
from cellscope.nn.encoder import Encoder

LEVELS = 4
"""Features down to stride 16: half a nucleus; the last level would triple the file."""


class LiteFinder(nn.Module):
    """EfficientNet-Lite encoder, a decoder, and a block at full size for what is smaller than the first stride.

    Parameters
    ----------
    encoder : str
        ``lite0``, ``lite1`` or ``lite2``.
    widths : sequence of int
        Channels of the decoder at strides 8, 4, 2 and 1.
    detail : int
        Channels of the block at full size.
    channels : int
        Input channels (see `cellscope.assays.micronucleus.field.field.as_channels`).
    """

    def __init__(self, encoder: str, widths: Sequence[int], detail: int, channels: int = 2):
        super().__init__()
        self.encoder = Encoder(encoder, channels, levels=LEVELS)
        self.detail = conv_block(channels, detail)
        self.decoder = Decoder((detail, *self.encoder.channels), widths)
        self.head = nn.Conv2d(widths[-1], len(OUTPUTS), 1)

    @property
    def stride(self) -> int:
        """Sides of the input must be multiples of this."""
        return int(2**LEVELS)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, 3, H, W) logits, as `OUTPUTS`; any H and W (padded by repetition inside)."""
        height, width = x.shape[-2:]
        bottom, right = -height % self.stride, -width % self.stride
        if bottom or right:
            x = nn.functional.pad(x, (0, right, 0, bottom), mode="replicate")
        out: Tensor = self.head(self.decoder([self.detail(x), *self.encoder(x)]))
        return out[..., :height, :width]
