"""Batch norms folded into the convolutions before them: the same numbers from a trained network in less time."""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import Any, NamedTuple

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_RESNET = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))


def fold_norms(network: nn.Module) -> int:
    """Fold batch norms into convolutions, where the order of both is known.

    It is in `nn.Sequential`, timm's `ConvNormAct`, ResNets of timm and torchvision, and modules that say so in an
    attribute ``folds``: names of a convolution and the norm that follows it at once, ``(("conv1", "norm1"), ...)``.

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
    timm = _kinds_of_timm()
    folded = 0
    for module in list(network.modules()):
        for first, second in _pairs(module, timm):
            norm = getattr(module, second)
            holder, name = _last_convolution(module, first)
            if holder is None or not _foldable(norm):
                continue
            setattr(holder, name, fuse_conv_bn_eval(getattr(holder, name), norm))
            rest = nn.Sequential(norm.drop, norm.act) if isinstance(norm, timm.acting) else nn.Identity()
            setattr(module, second, rest)
            folded += 1
    return folded


class _Timm(NamedTuple):
    """Classes of timm, and torchvision: a convolution with its norm, a norm with its activation, ResNets' parts."""

    block: tuple[type, ...] = ()
    acting: Any = ()
    resnet: tuple[type, ...] = ()


def _kinds_of_timm() -> _Timm:
    """Give the classes of what has been imported already: imports take long."""
    layers = sys.modules.get("timm.layers")
    found = [sys.modules.get(f"{library}.models.resnet") for library in ("timm", "torchvision")]
    resnet = [kind for one in found if one is not None for kind in (one.ResNet, one.Bottleneck, one.BasicBlock)]
    if layers is None:
        return _Timm(resnet=tuple(resnet))
    return _Timm((layers.ConvNormAct,), (layers.BatchNormAct2d,), tuple(resnet))


def _pairs(module: nn.Module, timm: _Timm) -> list[tuple[str, str]]:
    """List names of a module's children that run one right after the other."""
    if isinstance(module, timm.block):
        return [("conv", "bn")]
    if isinstance(module, nn.Sequential):
        return list(pairwise(module._modules))
    if isinstance(module, timm.resnet):
        return [pair for pair in _RESNET if hasattr(module, pair[1])]
    return list(getattr(module, "folds", ()))


def _foldable(norm: nn.Module) -> bool:
    return isinstance(norm, nn.BatchNorm2d) and norm.track_running_stats


def _last_convolution(module: nn.Module, name: str) -> tuple[nn.Module | None, str]:
    """Find the convolution a child ends with: itself, or the last of a plain sequence."""
    child = getattr(module, name)
    while isinstance(child, nn.Sequential) and len(child):
        module, name = child, list(child._modules)[-1]
        child = getattr(module, name)
    return (module, name) if type(child) is nn.Conv2d else (None, name)
