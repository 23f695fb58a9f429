"""Squeeze and excitation against its formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from cellscope.nn.attention import SqueezeExcite


@pytest.mark.parametrize("bias", [True, False])
def test_gate_is_pool_two_linears_sigmoid_multiply(bias: bool) -> None:
    torch.manual_seed(0)
    gate = SqueezeExcite(32, 16, bias=bias, activation=nn.LeakyReLU(0.01))
    linears = [module for module in gate.modules() if isinstance(module, nn.Linear)]
    assert [(one.in_features, one.out_features) for one in linears] == [(32, 2), (2, 32)]
    assert all((one.bias is not None) == bias for one in linears)
    x = torch.randn(3, 32, 4, 5)
    pooled = x.numpy().mean((2, 3))
    first, second = (one.weight.detach().numpy() for one in linears)
    zero = np.zeros(1, np.float32)
    hidden = pooled @ first.T + (linears[0].bias.detach().numpy() if bias else zero)
    hidden = np.where(hidden > 0, hidden, 0.01 * hidden)
    gates = 1 / (1 + np.exp(-(hidden @ second.T + (linears[1].bias.detach().numpy() if bias else zero))))
    np.testing.assert_allclose(gate(x).detach().numpy(), x.numpy() * gates[:, :, None, None], rtol=1e-5, atol=1e-6)


def test_narrow_gate_keeps_one_hidden_unit() -> None:
    assert SqueezeExcite(8, 16).fc[0].out_features == 1


def test_files_with_numbered_layers_load() -> None:
    gate = SqueezeExcite(8, 2)
    named = {key.replace("fc.0", "fc1").replace("fc.2", "fc2"): value + 1 for key, value in gate.state_dict().items()}
    other = nn.Sequential(SqueezeExcite(8, 2))
    other.load_state_dict({f"0.{key}": value for key, value in named.items()})
    assert torch.equal(other[0].fc[2].bias, gate.fc[2].bias + 1)
    with pytest.raises(RuntimeError, match="fc3"):
        other.load_state_dict({"0.fc3.weight": torch.zeros(1)})
