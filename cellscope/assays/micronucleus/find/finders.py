"""The nucleus finders by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cellscope.assays.micronucleus.find.finder import Finder
from cellscope.assays.micronucleus.find.lite_finder import LiteFinder
from cellscope.errors import UsageError
from cellscope.options.resolve import nearest

ARCHS: dict[str, dict[str, Any]] = {
    "lite0-unet": {"encoder": "lite0", "widths": [64, 48, 32, 16], "detail": 12},
    "unet-s": {"widths": [16, 32, 64, 96]},
    "unet-m": {"widths": [24, 48, 96, 144]},
    "unet-xs": {"widths": [4, 8, 8, 8]},
}
"""Arguments by name; ``unet-xs`` is for tests."""


def finder_from(arguments: dict[str, Any]) -> Finder | LiteFinder:
    """Make a finder from its arguments, as a model file holds them."""
    return LiteFinder(**arguments) if "encoder" in arguments else Finder(**arguments)


def build_finder(arch: str, *, pretrained: bool = False, weights: Path | None = None) -> Finder | LiteFinder:
    """Make a finder by name.

    Parameters
    ----------
    arch : str
        One of `ARCHS`.
    pretrained : bool
        With ImageNet weights in its encoder.
    weights : Path, optional
        The file to take them from.

    Raises
    ------
    UsageError
        There is no such architecture, or it has no ImageNet weights.
    ModelError
        The weights cannot be had.
    """
    if arch not in ARCHS:
        raise UsageError(
            f"unknown --arch {arch!r} for the part nuclei; there are {', '.join(ARCHS)}{nearest(arch, ARCHS)}"
        )
    network = finder_from(ARCHS[arch])
    if pretrained:
        if not isinstance(network, LiteFinder):
            raise UsageError(f"the nucleus finder {arch} has no ImageNet weights; lite0-unet has")
        network.encoder.load_imagenet(weights)
    return network
