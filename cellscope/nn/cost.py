"""What a network costs: parameters and multiply-adds, counted as torchinfo counts them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn


def count_parameters(network: nn.Module) -> int:
    """Count all parameters, each once."""
    return sum(parameter.numel() for parameter in network.parameters())


def multiply_adds(network: nn.Module, *shape: int) -> int:
    """Count the multiply-adds of one forward pass by torchinfo's rule.

    A convolution costs its parameters (the bias among them) times the pixels of its output, any other layer its
    parameters once per item; layers used twice count twice, and what is not a layer (matrix products, resizing) costs
    nothing. Nothing is computed: the network runs on PyTorch's ``meta`` device, and is left there.

    Parameters
    ----------
    network : Module
    *shape : int
        Of the input, e.g. ``1, 3, 512, 512``.
    """
    total = 0

    def count(module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        nonlocal total
        own = sum(parameter.numel() for parameter in module.parameters(recurse=False))
        pixels = math.prod(output.shape[2:]) if isinstance(module, nn.modules.conv._ConvNd) else 1
        total += own * output.shape[0] * pixels

    hooks = [
        module.register_forward_hook(count)
        for module in network.modules()
        if next(module.children(), None) is None and next(module.parameters(recurse=False), None) is not None
    ]
    try:
        with torch.no_grad():
            network.to("meta").eval()(torch.zeros(shape, device="meta"))
    finally:
        for hook in hooks:
            hook.remove()
    return total
