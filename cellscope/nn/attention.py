"""Channel attention used by more than one network."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class SqueezeExcite(nn.Module):
    """Squeeze and excitation: pool, two linear layers, sigmoid, multiply (Hu et al., CVPR 2018).

    Parameters
    ----------
    channels : int
    reduction : int
        Hidden width is ``channels // reduction``, at least 1.
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
        self.register_load_state_dict_pre_hook(_rename_layers)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same, every channel scaled by its gate."""
        return x * self.fc(x.mean((2, 3)))[:, :, None, None]


def _rename_layers(_module: nn.Module, tensors: dict[str, Any], prefix: str, *_rest: Any) -> None:
    """Load model files in which the two layers are named ``fc1`` and ``fc2``."""
    for old, new in (("fc1", "fc.0"), ("fc2", "fc.2")):
        for kind in ("weight", "bias"):
            if f"{prefix}{old}.{kind}" in tensors:
                tensors[f"{prefix}{new}.{kind}"] = tensors.pop(f"{prefix}{old}.{kind}")
