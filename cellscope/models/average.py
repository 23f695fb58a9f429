"""The weighted mean of models: trainings that went on from one another, as one model of the same size.

Weight averaging (Wortsman et al. 2022, "Model soups"): networks that were fine-tuned from the same weights lie close
enough together for the mean of their weights to work, often better than each of them. It means nothing for trainings
that started apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cellscope import __version__
from cellscope.errors import ModelError, UsageError
from cellscope.models.card import ModelCard
from cellscope.models.file import load_model, read_card, sha256

if TYPE_CHECKING:
    from torch import Tensor

#: What models must have in common for their weights to mean the same.
ALIKE = ("part", "arch", "arch_args", "classes", "channels", "normalisation", "pixel_size_um")


def average_models(shares: Mapping[Path, float]) -> tuple[ModelCard, dict[str, Tensor]]:
    """Average the weights of models.

    Parameters
    ----------
    shares : mapping of path to float, > 0
        How much each model counts; what matters is their ratio.

    Returns
    -------
    card : ModelCard
        That of the model with the largest share, the first of several: its thresholds were tuned for other weights, and
        there are no metrics. ``training`` lists the models under ``average_of``, with their shares, which sum to 1.
    tensors : dict of str to Tensor
        Floating ones are averaged, whole numbers are those of the model with the largest share.

    Raises
    ------
    UsageError
        If there are fewer than two models or a share is not a positive number.
    ModelError
        If a file is unsound, or the models are not of one kind.
    """
    if len(shares) < 2:
        raise UsageError("an average takes two different models or more")
    if not all(math.isfinite(share) and share > 0 for share in shares.values()):
        raise UsageError("shares must be positive numbers")
    first = max(shares, key=lambda path: shares[path])
    chosen, tensors = load_model(first, assay=read_card(first).assay)
    total = sum(shares.values())
    mean = {name: value * (shares[first] / total) for name, value in tensors.items() if value.is_floating_point()}
    cards = {first: chosen}
    for path, share in shares.items():
        if path == first:
            continue
        card, others = load_model(path, assay=chosen.assay)
        for name in ALIKE:
            if getattr(card, name) != getattr(chosen, name):
                raise ModelError(f"{path} and {first} are not of one kind: they differ in {name}")
        if {k: v.shape for k, v in others.items()} != {k: v.shape for k, v in tensors.items()}:
            raise ModelError(f"{path} and {first} are not of one kind: their tensors differ")
        cards[path] = card
        for name, value in mean.items():
            value += others[name] * (share / total)
    training = {
        "average_of": [
            {
                "model": path.parent.name if path.stem == "model" else path.name,
                "share": share / total,
                "sha256": sha256(path),
                "training": cards[path].training,
            }
            for path, share in shares.items()
        ]
    }
    card = replace(chosen, metrics={}, training=training, familiarity={}, cellscope_version=__version__)
    return card, tensors | mean
