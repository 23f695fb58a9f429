"""The classifier of chromosomes as other programs run it: prepared views in, probabilities out."""

from __future__ import annotations

from typing import cast

import torch

from cellscope.assays.karyotype.networks.chrnet import Classifier, classify_views
from cellscope.engine.assay import Portable
from cellscope.models.card import ModelCard

SHORT_ARM_UP = "short_arm_up"


def scores(module: torch.nn.Module, views: torch.Tensor, card: ModelCard) -> torch.Tensor:
    """Give the probabilities of the classes, tempered as the card says, and that the short arm is up, (N, C)."""
    logs, up = classify_views(cast(Classifier, module), views)
    probabilities = (logs / card.thresholds.get("temperature", 1.0)).softmax(1)
    return probabilities if up is None else torch.cat([probabilities, up.sigmoid()[:, None]], 1)


def channels(card: ModelCard) -> tuple[str, ...]:
    """Name the scores."""
    names = tuple(card.classes)
    return (*names, SHORT_ARM_UP) if card.arch_args.get("polarity") else names


def window(card: ModelCard, _module: torch.nn.Module) -> tuple[int, int]:
    """Give the size of a view."""
    return int(card.normalisation["height"]), int(card.normalisation["width"])


def scale(_card: ModelCard) -> str:
    """Say what a view is."""
    return "one chromosome, upright and straight, bright bands near 1, all around it 0"


PORTABLE = Portable(scores, channels, window, scale, inputs=("grey",))
