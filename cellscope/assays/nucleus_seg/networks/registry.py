"""The networks by name: what `--arch` takes, and how a model file is turned into a network again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from cellscope.assays.nucleus_seg.networks.compact import CompactNet
from cellscope.assays.nucleus_seg.networks.deeplab import DeepLabV3
from cellscope.assays.nucleus_seg.networks.lite import LiteUNet
from cellscope.assays.nucleus_seg.networks.segnext import MsffSegNext, SegNext
from cellscope.assays.nucleus_seg.networks.unets import UNet
from cellscope.errors import UsageError
from cellscope.options.resolve import nearest

#: Name -> what makes the network from its arguments.
FAMILIES: dict[str, Callable[..., torch.nn.Module]] = {
    "lite0-unet": LiteUNet,
    "compact": CompactNet,
    "msff-segnext": MsffSegNext,
    "segnext": SegNext,
    "unet": UNet,
    "r2unet": UNet,
    "deeplabv3": DeepLabV3,
}
#: Arguments by name, beside ``classes``.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "lite0-unet": {"encoder": "lite0", "widths": [96, 64, 48, 32]},
    "compact": {"widths": [32, 64, 128, 192], "blocks": [2, 2, 2]},
    "r2unet": {"recurrent": True},
}
#: Colour values are brought to [0, 1], then (x - mean) / std, the same for every channel.
MEAN, STD = 0.5, 0.25


def arguments_of(arch: str, classes: int, **more: Any) -> dict[str, Any]:
    """Give the arguments that rebuild a network.

    Raises
    ------
    UsageError
        If there is no such architecture.
    """
    if arch not in FAMILIES:
        raise UsageError(f"there is no --arch {arch}{nearest(arch, list(FAMILIES)) or '; use ' + ', '.join(FAMILIES)}")
    return {"classes": classes, **ARGUMENTS.get(arch, {}), **more}


def build_network(
    arch: str, arguments: dict[str, Any], *, pretrained: bool = False, weights: Path | None = None
) -> torch.nn.Module:
    """Make a network; ``network(x)`` gives (N, classes[+ 1 distance], H, W) logits.

    Parameters
    ----------
    arch : str
    arguments : dict
        From `arguments_of`.
    pretrained : bool
        With ImageNet weights for its encoder.
    weights : Path, optional
        The file to take them from.

    Raises
    ------
    UsageError
        There are no ImageNet weights for this network.
    ModelError
        The weights cannot be had.
    """
    network = FAMILIES[arch](**arguments)
    if pretrained:
        if not isinstance(network, LiteUNet):
            raise UsageError(
                f"there are no ImageNet weights for {arch}; lite0-unet has them, or use --init MODEL or none"
            )
        network.load_imagenet(weights)
    return network


def has_distance(network: torch.nn.Module) -> bool:
    """Tell whether the last output map is the distance inside the cell."""
    return bool(getattr(network, "distance", False))


def normalise(images: torch.Tensor) -> torch.Tensor:
    """(N, 3, H, W) in [0, 1] -> what the networks take."""
    return (images - MEAN) / STD
