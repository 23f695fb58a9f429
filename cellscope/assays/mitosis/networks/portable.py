"""The network over frames as other programs run it: the frames of a division in, probabilities out."""

from __future__ import annotations

from typing import cast

import torch

from cellscope.assays.mitosis.networks.registry import VIEWS, Classifier, kinds_of, probabilities
from cellscope.assays.mitosis.sequences.view import FRAMES, tone_of
from cellscope.engine.assay import Portable
from cellscope.errors import UsageError
from cellscope.models.card import ModelCard


def scores(module: torch.nn.Module, views: torch.Tensor, _card: ModelCard) -> torch.Tensor:
    """Give the probabilities of the classes from the frames alone, the mean over mirror images: (N, C)."""
    network = cast(Classifier, module).views
    assert network is not None
    return probabilities(network, views.reshape(-1, FRAMES, 2, *views.shape[2:]))


def channels(card: ModelCard) -> tuple[str, ...]:
    """Name the scores."""
    return tuple(card.classes)


def window(card: ModelCard, _module: torch.nn.Module) -> tuple[int, int]:
    """Give the size of a frame; UsageError for a model that sees none."""
    if VIEWS not in kinds_of(card.arch_args):
        raise UsageError(f"{card.arch} cannot be exported: it takes measurements, not images")
    size = int(card.normalisation["size"])
    return size, size


def scale(card: ModelCard) -> str:
    """Say what the frames are."""
    if tone_of(card.normalisation) == "absorption":
        return (
            "squares around the cell: contrast of light against its median, in fifths; square root of nuclei, 0 to 1.2"
        )
    return (
        "squares around the cell: light less its median, in halves of its 5-95 % range; square root of nuclei, 0 to 1.2"
    )


PORTABLE = Portable(
    scores, channels, window, scale, inputs=tuple(f"{name}_{t}" for t in range(FRAMES) for name in ("light", "nuclei"))
)
