"""The detectors' backbone: a ResNet or another network of timm with a feature pyramid."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from cellscope.assays.karyotype.networks.resnets import RESNETS, ResNetStages
from cellscope.errors import ModelError


class Trunk(nn.Module):
    """A timm backbone with a feature pyramid on its last `stages` stages and one pooled level above.

    Parameters
    ----------
    name : str
        One of `RESNETS`, or another timm model with a feature map at stride 4.
    stages, channels : int
    norm : bool
        Batch normalisation in the pyramid.
    pretrained : bool
        ImageNet weights.
    weights : Path, optional
        Their file; see `timm_network`.
    in_channels : int
    frozen : bool
        Frozen batch normalisation in the backbone, as detectron2 has it.
    stride_in_1x1 : bool
        Bottlenecks halve the map in their first convolution, as in MSRA's ResNets, which detectron2 starts from.
    """

    def __init__(
        self,
        name: str,
        stages: int,
        channels: int,
        norm: bool,
        pretrained: bool,
        *,
        weights: Path | None = None,
        in_channels: int = 1,
        frozen: bool = False,
        stride_in_1x1: bool = False,
    ):
        super().__init__()
        self.body, widths = _body(name, stages, pretrained, weights, in_channels)
        if frozen:
            _freeze_norms(self.body)
        if stride_in_1x1:
            _stride_first(self.body)
        self.fpn = FeaturePyramidNetwork(
            widths, channels, LastLevelMaxPool(), norm_layer=nn.BatchNorm2d if norm else None
        )
        self.out_channels = channels

    def freeze_first(self) -> None:
        """Keep the stem and the first stage as they are, as detectron2 does (``FREEZE_AT`` 2)."""
        for name, module in self.body.named_children():
            if name in ("conv1", "bn1", "layer1"):
                module.requires_grad_(False)

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """(B, C, H, W) -> levels "0" (a quarter), "1", ..., "pool"."""
        maps = self.body(images)
        return self.fpn(OrderedDict((str(index), level) for index, level in enumerate(maps)))


def _body(
    name: str, stages: int, pretrained: bool, weights: Path | None, in_channels: int
) -> tuple[nn.Module, list[int]]:
    """Give the network whose outputs are the stages' maps, and the channels of each."""
    if name in RESNETS:
        plain = ResNetStages(name, stages, in_channels)
        if pretrained:
            plain.load_imagenet(name, weights)
        return plain, plain.channels
    from cellscope.nn.pretrained import timm_network  # imports timm, which the built-in network does without

    body = timm_network(
        name,
        pretrained=pretrained,
        weights=weights,
        features_only=True,
        out_indices=tuple(range(1, stages + 1)),
        in_chans=in_channels,
    )
    info: Any = body.feature_info
    if info.reduction()[0] != 4:
        raise ModelError(f"backbone {name} has no feature map at a quarter of the image; use one like a ResNet")
    return body, info.channels()


def _stride_first(body: nn.Module) -> None:
    """Move the stride of ResNet bottlenecks from their second to their first convolution."""
    for block in body.modules():
        if hasattr(block, "conv3") and isinstance(block.conv2, nn.Conv2d) and block.conv2.stride == (2, 2):
            assert isinstance(block.conv1, nn.Conv2d)
            block.conv1.stride, block.conv2.stride = (2, 2), (1, 1)


class FrozenNorm(nn.Module):
    """Batch normalisation that never learns, computed as detectron2 computes it.

    torchvision's `FrozenBatchNorm2d` multiplies first, which rounds otherwise: after fifty layers enough to choose
    other points in PointRend's subdivision.
    """

    def __init__(self, norm: nn.BatchNorm2d):
        super().__init__()
        self.eps = norm.eps
        self.weight: Tensor
        self.bias: Tensor
        self.running_mean: Tensor
        self.running_var: Tensor
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, getattr(norm, name).detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)


def _freeze_norms(module: nn.Module) -> None:
    """Replace batch normalisation by the same, frozen."""
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm2d:
            setattr(module, name, FrozenNorm(child))
        else:
            _freeze_norms(child)
