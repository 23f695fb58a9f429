"""The networks by name, and what goes into and comes out of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cellscope.assays.histo.networks.compact import Compact
from cellscope.assays.histo.networks.histonext import ENCODERS, HistoNeXt
from cellscope.assays.histo.networks.hovernet import HoverNet
from cellscope.assays.histo.networks.lite import LiteUNet
from cellscope.cli.groups import nearest
from cellscope.errors import UsageError
from cellscope.nn.efficientnet_lite import SCALES

#: Arguments by name, beside ``types``.
ARCHS: dict[str, dict[str, Any]] = {
    "lite0-unet": {"encoder": "lite0"},
    "histonext-atto": {"encoder": "convnext_atto_ols.a2_in1k"},
    "histonext-pico": {"encoder": "convnext_pico_ols.d1_in1k"},
    **{f"histonext-{size}": {"size": size} for size in ENCODERS},
    "hovernet": {"family": "hovernet"},
}
#: Colour values are brought to [0, 1], then (x - mean) / std. ImageNet's figures, since encoders may come from there.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def arguments_of(arch: str, types: int) -> dict[str, Any]:
    """Give the arguments that rebuild a network.

    Raises
    ------
    UsageError
        If there is no such architecture.
    """
    if arch not in ARCHS:
        raise UsageError(f"there is no --arch {arch}{nearest(arch, list(ARCHS)) or '; use ' + ', '.join(ARCHS)}")
    return {"types": types, **ARCHS[arch]}


def build_network(
    arguments: dict[str, Any], *, pretrained: bool = False, weights: Path | None = None
) -> torch.nn.Module:
    """Make a network.

    Parameters
    ----------
    arguments : dict
        From `arguments_of`.
    pretrained, weights
        With ImageNet weights for the encoder, and their file.

    Returns
    -------
    Module
        ``network(x)`` reads (N, 3, core + 2 margin, same) as `normalise` gives it, and gives (N, 4 + types + 1, core,
        core): NP logits (background, nucleus), HV (horizontal, vertical), TP logits (background first). ``core`` and
        ``margin`` are attributes; with ``fixed`` no other core is possible, else any that makes the window a multiple
        of 32.
    """
    return _family(arguments)(**arguments, pretrained=pretrained, weights=weights)


def _family(arguments: dict[str, Any]) -> Any:
    """Tell whose arguments these are: of our encoders, of a published network, else of ConvNeXts of timm."""
    if arguments.get("encoder") in SCALES:
        return LiteUNet
    if arguments.get("family") == "hovernet":
        return HoverNet
    return HistoNeXt if "size" in arguments else Compact


def takes_drop_path(arguments: dict[str, Any]) -> bool:
    """Tell whether a network skips blocks at random in training."""
    return _family(arguments) is Compact


def geometry(arguments: dict[str, Any]) -> tuple[int, int, int]:
    """Tell the windows of a network without making it.

    Returns
    -------
    core, margin : int
        Pixels a pass gives, and those around it that it needs.
    step : int
        Window sides must be a multiple of this; 0 where no other core is possible.
    """
    return geometry_of(_family(arguments))


def geometry_of(network: Any) -> tuple[int, int, int]:
    """Tell the windows of a network, or of its class: as `geometry`."""
    return network.core, network.margin, 0 if network.fixed else 32


def normalise(images: torch.Tensor) -> torch.Tensor:
    """(N, 3, H, W) in [0, 1], RGB -> what the networks take."""
    mean, std = (
        torch.tensor(values, device=images.device, dtype=images.dtype)[:, None, None] for values in (MEAN, STD)
    )
    return (images - mean) / std


def to_maps(outputs: torch.Tensor) -> torch.Tensor:
    """Turn what a network gives into the maps of `maps`.

    Parameters
    ----------
    outputs : (N, 4 + K + 1, h, w) float

    Returns
    -------
    (N, h, w, 3 + K) float16
        Probability of nucleus, horizontal and vertical distance, type probabilities given that there is a nucleus.
    """
    outputs = outputs.float()
    nucleus = outputs[:, :2].softmax(1)[:, 1:]
    types = outputs[:, 5:].softmax(1)
    return torch.cat([nucleus, outputs[:, 2:4].clamp(-1.5, 1.5), types], 1).half().movedim(1, -1)
