"""timm networks with ImageNet weights: from a file, timm's cache or a download; a plain word where there are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
from timm.models import load_state_dict
from torch import nn

from cellscope.errors import ModelError


def timm_network(name: str, *, pretrained: bool = False, weights: Path | None = None, **changes: Any) -> nn.Module:
    """Create a timm network.

    Parameters
    ----------
    name : str
        timm's name.
    pretrained : bool
        With ImageNet weights.
    weights : Path, optional
        The file to take them from, as timm publishes it (.safetensors, .pth or .bin); without one, timm's cache or a
        download. Without `pretrained` it is not looked at.
    changes
        Further arguments of `timm.create_model`.

    Raises
    ------
    ModelError
        The weights cannot be had, or the file holds those of another network.
    """
    if not pretrained:
        return timm.create_model(name, **changes)
    if weights is None:
        try:
            return timm.create_model(name, pretrained=True, **changes)
        except Exception as error:  # whatever a failed download raises in the libraries' many layers
            raise ModelError(
                f"--init imagenet: the ImageNet weights of {name} cannot be had ({_line(error)}); "
                "connect once so that they are cached, give their file with --imagenet, or use --init none"
            ) from error
    if not weights.is_file():
        raise ModelError(f"--imagenet {weights}: there is no such file")
    try:
        given = set(load_state_dict(str(weights)))
        # timm leaves out one by one what a file does not hold, which may come to everything.
        if len(given & set(timm.create_model(name).state_dict())) < len(given) / 2:
            raise ValueError("most of its layers are not in it")
        return timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"file": str(weights)}, **changes)
    except Exception as error:  # unpickling, shapes, names: each layer has its own exceptions
        raise ModelError(f"--imagenet {weights}: no ImageNet weights of {name} ({_line(error)})") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
