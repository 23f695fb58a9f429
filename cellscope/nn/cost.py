"""What a network costs, counted by the rules that papers print: torchinfo's, fvcore's, PyTorch's, Keras's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn


def count_parameters(network: nn.Module) -> int:
    """Count all parameters, each once."""
    return sum(parameter.numel() for parameter in network.parameters())


def keras_parameters(network: nn.Module) -> int:
    """Count a network's numbers as Keras does: with batch normalisation's statistics, with one bias per LSTM."""
    count = count_parameters(network)
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            count += 2 * module.num_features
        if isinstance(module, nn.LSTM):
            count -= module.get_parameter("bias_hh_l0").numel()
    return count


def twice_the_weights(network: nn.Module) -> int:
    """Compute the "FLOPs" of the MobileViT-MN paper (Table 2): twice the weights of convolutions and linear layers.

    2,516,672 for plain MobileViT-XXS and 1,912,640 with separable convolutions, exactly; it does not depend on the
    size of the image, so it is not the number of operations.
    """
    return 2 * sum(m.weight.numel() for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear))


@torch.no_grad()
def pytorch_multiply_adds(network: nn.Module, size: int = 224, channels: int = 3) -> int:
    """Count multiply-adds of convolutions and linear layers (attention's own products included) for one image."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    network = network.eval()
    with counter:
        network(torch.zeros(1, channels, size, size))
    return int(counter.get_total_flops() // 2)


def torchinfo_multiply_adds(network: nn.Module, *shape: int) -> int:
    """Count the multiply-adds of one forward pass by torchinfo's rule.

    A convolution costs its parameters (the bias among them) times the pixels of its output, any other layer its
    parameters once per item; layers used twice count twice, and what is not a layer (matrix products, resizing) costs
    nothing.

    Parameters
    ----------
    network : Module
        Runs on PyTorch's ``meta`` device, where nothing is computed, and is left there.
    *shape : int
        Of the input, e.g. ``1, 3, 512, 512``.
    """

    def torchinfo(module: nn.Module, _input: torch.Tensor, output: torch.Tensor) -> int:
        own = sum(parameter.numel() for parameter in module.parameters(recurse=False))
        pixels = math.prod(output.shape[2:]) if isinstance(module, nn.modules.conv._ConvNd) else 1
        return own * output.shape[0] * pixels

    return _over_layers(network, shape, torchinfo)


def fvcore_multiply_adds(network: nn.Module, *shape: int) -> int:
    """Count the multiply-adds of one forward pass by fvcore's rule.

    Convolutions and linear layers cost their weights (no bias) at every place they are applied to; a transposed
    convolution is applied to its input's pixels. Nothing else costs anything. Parameters as for
    `torchinfo_multiply_adds`.
    """
    return _over_layers(network, shape, _fvcore)


def _fvcore(module: nn.Module, given: torch.Tensor, output: torch.Tensor) -> int:
    own = dict(module.named_parameters(recurse=False))
    weights = own["weight"].numel() if "weight" in own else 0
    if isinstance(module, nn.modules.conv._ConvTransposeNd):
        return weights * given.shape[0] * math.prod(given.shape[2:])
    if isinstance(module, nn.modules.conv._ConvNd):
        return weights * output.shape[0] * math.prod(output.shape[2:])
    return weights * math.prod(output.shape[:-1]) if isinstance(module, nn.Linear) else 0


def multiply_adds(network: nn.Module, *shape: int) -> int:
    """Count the multiply-adds of one pass: `fvcore_multiply_adds`, and the weights of recurrent layers at every step.

    Networks that do not run on the ``meta`` device are run on the CPU.
    """
    try:
        return _over_layers(network, shape, _weights_per_place)
    except (NotImplementedError, RuntimeError):
        return _over_layers(network.to_empty(device="cpu"), shape, _weights_per_place, device="cpu")


def _weights_per_place(module: nn.Module, given: torch.Tensor, output: torch.Tensor) -> int:
    if isinstance(module, nn.RNNBase):
        weights = sum(value.numel() for name, value in module.named_parameters() if name.startswith("weight"))
        return weights * given.shape[0] * given.shape[1]
    return _fvcore(module, given, output)


def _over_layers(
    network: nn.Module,
    shape: tuple[int, ...],
    cost: Callable[[nn.Module, torch.Tensor, torch.Tensor], int],
    *,
    device: str = "meta",
) -> int:
    """Add up what every use of a layer with parameters of its own costs, in one forward pass."""
    total = 0

    def count(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        nonlocal total
        total += cost(module, inputs[0], output)

    hooks = [
        module.register_forward_hook(count)
        for module in network.modules()
        if next(module.children(), None) is None and next(module.parameters(recurse=False), None) is not None
    ]
    try:
        with torch.no_grad():
            network.to(device).eval()(torch.zeros(shape, device=device))
    finally:
        for hook in hooks:
            hook.remove()
    return total
