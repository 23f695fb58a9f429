"""MobileViT-MN and its variants (paper, section Methods; Tables 2 and 3), on MobileViT-XXS.

Names of unchanged layers are timm's, so that its ImageNet weights load where there are any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cellscope.assays.micronucleus.classify.crops import COMPRESSIONS
from cellscope.assays.micronucleus.classify.mobilevit_xxs import (
    InvertedResidual,
    MobileViT,
    MobileVitBlock,
    TransformerLayer,
    initialise,
)
from cellscope.nn.attention import SqueezeExcite

CLASSES = 2

_PLAIN: dict[str, Any] = {"dsc": False, "mv2": "", "block": "", "depth": 0}
_DSC = _PLAIN | {"dsc": True}

ARCHS: dict[str, dict[str, Any]] = {
    "mobilevit": _PLAIN,
    "mobilevit-dsc": _DSC,
    "mv2-se": _DSC | {"mv2": "se"},
    "mv2-se-tr1": _DSC | {"mv2": "se", "depth": 1},
    "mv2-se-tr3": _DSC | {"mv2": "se", "depth": 3},
    "mv2-nam": _DSC | {"mv2": "nam"},
    "mv2-nam-tr1": _DSC | {"mv2": "nam", "depth": 1},
    "mv2-nam-tr3": _DSC | {"mv2": "nam", "depth": 3},
    "mb-se": _PLAIN | {"block": "se"},
    "mb-nam": _PLAIN | {"block": "nam"},
    "mv2-se-mb-nam": _PLAIN | {"mv2": "se", "block": "nam"},
    "mv2-nam-mb-se": _PLAIN | {"mv2": "nam", "block": "se"},
    "mobilevit-dsc-nam": _DSC | {"block": "nam"},
    "mobilevit-mn": _DSC | {"mv2": "se", "block": "nam"},
}
"""The rows of Table 2 by name; their printed counts say which hold depthwise separable convolutions (``dsc``).
``mobilevit-dsc-nam`` is Model_trans_DSC_NAM of Table 3, which is no row of Table 2. ``mobilevit-mn`` is the network as
the text describes it: SE in MV2-DD, NAM in MobileViT block-DD, both separable."""

SE_REDUCTION = 4
EARLY = 2
"""The stage whose features training may read: after it comes the first MobileViT block, at an eighth of the size."""


def squeeze_excite(channels: int) -> SqueezeExcite:
    """Make the gate of equations (1) and (2), without biases.

    That the gates have none follows from the paper's Table 2: its "FLOPs" are twice the number of weights of
    convolutions and linear layers, and what is left of the parameters does not grow with SE. The reduction is not
    given; 4 here.
    """
    return SqueezeExcite(channels, SE_REDUCTION, bias=False)


class NormAttention(nn.Module):
    """Normalisation-based channel attention (NAM, equations 3 and 4; Liu et al. 2021): two parameters per channel.

    A channel's weight is the share of its batch-norm scale; ``Y = X * sigmoid(weight * BN(X))``.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        scale = self.bn.weight.abs()
        weight = scale / scale.sum().clamp_min(1e-6)
        return x * torch.sigmoid(self.bn(x) * weight[None, :, None, None])


GATES: dict[str, Callable[[int], nn.Module]] = {"se": squeeze_excite, "nam": NormAttention}


def _separable(conv: nn.Conv2d) -> nn.Sequential:
    """Depthwise 3x3, then pointwise 1x1, both without bias, in place of a full 3x3 convolution (Fig. 4)."""
    return nn.Sequential(
        nn.Conv2d(conv.in_channels, conv.in_channels, 3, padding=1, groups=conv.in_channels, bias=False),
        nn.Conv2d(conv.in_channels, conv.out_channels, 1, bias=False),
    )


def blocks_of(network: nn.Module, kind: type) -> Iterator[Any]:
    """Yield a network's blocks of one kind, from the input to the output."""
    return (module for module in network.modules() if isinstance(module, kind))


def imagenet(weights: Path | None) -> dict[str, Tensor]:
    """Give timm's ImageNet weights of MobileViT-XXS: from a file, or downloaded once."""
    import timm

    network = timm.create_model("mobilevit_xxs", pretrained=True, **from_file(weights))
    tensors: dict[str, Tensor] = network.state_dict()
    return tensors


def from_file(weights: Path | None) -> dict[str, Any]:
    """Give what tells `timm.create_model` to take pretrained weights from a file; nothing without one."""
    return {} if weights is None else {"pretrained_cfg_overlay": {"file": str(weights)}}


def build_mobilevit(
    *,
    dsc: bool,
    mv2: str,
    block: str,
    depth: int,
    classes: int = CLASSES,
    pretrained: bool = False,
    weights: Path | None = None,
) -> nn.Module:
    """Build one variant.

    Parameters
    ----------
    dsc : bool
        Replace the 3x3 ``conv_kxk`` and ``conv_fusion`` of every MobileViT block by depthwise + pointwise.
    mv2 : {"", "se", "nam"}
        Attention after the depthwise convolution of every MV2 block (Fig. 3).
    block : {"", "se", "nam"}
        Attention in the local part of every MobileViT block (Fig. 6), after ``conv_kxk``.
    depth : int
        Transformer layers in every MobileViT block; 0 keeps MobileViT-XXS's own 2, 4 and 3.
    classes : int
    pretrained : bool
        Load timm's ImageNet weights into the layers that are unchanged.
    weights : Path, optional
        A file of them, in place of a download.

    Returns
    -------
    Module
        (B, 3, H, W) -> (B, classes) logits; H and W multiples of 32.
    """
    network = MobileViT(classes)
    if pretrained:
        own = network.state_dict()
        fitting = {name: value for name, value in imagenet(weights).items() if own[name].shape == value.shape}
        network.load_state_dict(fitting, strict=False)
    for vit in blocks_of(network, MobileVitBlock):
        if dsc:
            vit.conv_kxk.conv = _separable(vit.conv_kxk.conv)
            vit.conv_fusion.conv = _separable(vit.conv_fusion.conv)
        if depth:
            more = [TransformerLayer(vit.conv_1x1.out_channels) for _ in range(depth - len(vit.transformer))]
            for layer in more:
                initialise(layer)
            layers = [*vit.transformer, *more]
            vit.transformer = nn.Sequential(*layers[:depth])
        if block:
            vit.conv_kxk = nn.Sequential(vit.conv_kxk, GATES[block](vit.conv_1x1.in_channels))
    if mv2:
        for bottleneck in blocks_of(network, InvertedResidual):
            bottleneck.attn = GATES[mv2](bottleneck.conv2_kxk.bn.num_features)
    return network


CURVES, IMAGENET = "curves", "imagenet"
"""Two of the ways in which a grey crop becomes three channels."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, of values in [0, 1]."""


class CropClassifier(nn.Module):
    """A classifier of normalised crops: one channel in, three to the network.

    Parameters
    ----------
    network : Module
        (B, 3, size, size) -> (B, K) logits.
    tone : str
        ``curves``: three tone curves of the crop. ``plain``: the crop, cut to [0, 1], three times. ``imagenet``: that,
        less ImageNet's mean and divided by its standard deviation, as networks with its weights expect.
    """

    def __init__(self, network: nn.Module, tone: str = CURVES):
        super().__init__()
        self.network, self.tone = network, tone

    def forward(self, crops: Tensor) -> Tensor:
        """(B, 1, size, size), background 0 and nucleus 1 -> (B, K) logits."""
        out: Tensor = self.network(self.curves(crops))
        return out

    def curves(self, crops: Tensor) -> Tensor:
        """(B, 1, S, S) -> (B, 3, S, S)."""
        if self.tone != CURVES:
            grey = crops.clamp(0, 1).expand(-1, 3, -1, -1)
            if self.tone != IMAGENET:
                return grey
            mean, std = (torch.tensor(values, device=crops.device)[:, None, None] for values in (MEAN, STD))
            return ((grey - mean) / std).to(crops.dtype)
        return torch.cat([crops if gain == 0 else torch.asinh(gain * crops) / 3.0 for gain in COMPRESSIONS], 1)

    @property
    def early_channels(self) -> int | None:
        """Channels of the map that `with_early_map` gives; None for networks without one."""
        if (own := getattr(self.network, "early_channels", None)) is not None:
            return int(own)
        stages = getattr(self.network, "stages", None)
        blocks = list(blocks_of(stages[EARLY], MobileVitBlock)) if stages is not None and len(stages) > EARLY else []
        return int(blocks[-1].conv_proj.bn.num_features) if blocks else None

    def with_early_map(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Give the logits, and early features, of MobileViT after its first block: (B, C, S / 8, S / 8)."""
        network: Any = self.network
        if hasattr(network, "with_early_map"):
            logits, early = network.with_early_map(self.curves(crops))
            return logits, early
        x = network.stem(self.curves(crops))
        early = x
        for number, stage in enumerate(network.stages):
            x = stage(x)
            if number == EARLY:
                early = x
        return network.head(network.final_conv(x)), early
