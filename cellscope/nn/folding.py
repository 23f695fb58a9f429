"""Batch norms folded into the convolutions before them: the same numbers from a trained network in less time."""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import Any

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_norms(network: nn.Module) -> int:
    """Fold batch norms into convolutions, where the order of both is known: `nn.Sequential` and timm's `ConvNormAct`.

    Changes `network` for good: it can predict, but not be trained or saved as before.

    Parameters
    ----------
    network : Module
        In eval mode.

    Returns
    -------
    int
        Norms that were folded.
    """
    blocks, acting = _kinds_of_timm()
    folded = 0
    for module in list(network.modules()):
        if isinstance(module, blocks):
            pairs = [("conv", "bn")]
        elif isinstance(module, nn.Sequential):
            pairs = list(pairwise(module._modules))
        else:
            continue
        for first, second in pairs:
            norm = getattr(module, second)
            holder, name = _last_convolution(module, first)
            if holder is None or not _foldable(norm):
                continue
            setattr(holder, name, fuse_conv_bn_eval(getattr(holder, name), norm))
            rest = nn.Sequential(norm.drop, norm.act) if isinstance(norm, acting) else nn.Identity()
            setattr(module, second, rest)
            folded += 1
    return folded


def _kinds_of_timm() -> tuple[Any, Any]:
    """Give timm's `ConvNormAct` and `BatchNormAct2d`; nothing while nobody has imported timm, which takes long."""
    layers = sys.modules.get("timm.layers")
    return (layers.ConvNormAct, layers.BatchNormAct2d) if layers else ((), ())


def _foldable(norm: nn.Module) -> bool:
    return isinstance(norm, nn.BatchNorm2d) and norm.track_running_stats


def _last_convolution(module: nn.Module, name: str) -> tuple[nn.Module | None, str]:
    """Find the convolution a child ends with: itself, or the last of a plain sequence."""
    child = getattr(module, name)
    while isinstance(child, nn.Sequential) and len(child):
        module, name = child, list(child._modules)[-1]
        child = getattr(module, name)
    return (module, name) if type(child) is nn.Conv2d else (None, name)
