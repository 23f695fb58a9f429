"""Channel attention used by more than one network."""

from __future__ import annotations

from torch import Tensor, nn


class ChannelGate(nn.Module):
    """Squeeze-and-excitation gate: pool, two linear layers, sigmoid, multiply (Hu et al., CVPR 2018).

    Parameters
    ----------
    channels : int
    reduction : int
        Hidden width is ``channels // reduction``.
    bias : bool
        Biases in the two linear layers.
    activation : Module
        Between them; ChrNet4 uses a leaky ReLU.
    """

    def __init__(self, channels: int, reduction: int = 16, *, bias: bool = True, activation: nn.Module | None = None):
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden, bias=bias),
            activation if activation is not None else nn.ReLU(inplace=True),
            nn.Linear(hidden, channels, bias=bias),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same, every channel scaled by its gate."""
        return x * self.fc(x.mean((2, 3)))[:, :, None, None]
