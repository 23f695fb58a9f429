"""The networks of the assay as other programs run them: the finder on fields, the classifier on cells."""

from __future__ import annotations

import torch

from cellscope.assays.micronucleus.classify.crops import SIDE, TOP
from cellscope.assays.micronucleus.field.field import ASINH, LINEAR_TOP
from cellscope.assays.micronucleus.find.finder import DIAMETER, OUTPUTS
from cellscope.engine.assay import Portable
from cellscope.models.card import ModelCard

DNA = ("dna",)
TONE = "DNA fluorescence with the background at 0 and the median nucleus at 1"


def find_maps(module: torch.nn.Module, fields: torch.Tensor, _card: ModelCard) -> torch.Tensor:
    """Give the finder's maps, all from 0 to 1; its second channel is made as `as_channels` does."""
    linear = fields.clamp(-0.5, LINEAR_TOP)
    return torch.sigmoid(module(torch.cat([linear, torch.asinh(ASINH * linear) / 3.0], 1)))


def find_channels(_card: ModelCard) -> tuple[str, ...]:
    """Name the maps."""
    return OUTPUTS


def find_window(_card: ModelCard, _module: torch.nn.Module) -> tuple[int, int]:
    """Give a window; others do as well."""
    return 256, 256


def find_scale(_card: ModelCard) -> str:
    """Say what a field is."""
    return f"{TONE}, nuclei of about {DIAMETER:.0f} pixels in diameter"


def classify_scores(module: torch.nn.Module, crops: torch.Tensor, _card: ModelCard) -> torch.Tensor:
    """Give the probabilities of the classes, (N, 2), before the calibration that `predict` does."""
    return module(crops.clamp(-0.5, TOP)).softmax(1)


def classify_channels(card: ModelCard) -> tuple[str, ...]:
    """Name the scores."""
    return tuple(card.classes)


def classify_window(card: ModelCard, _module: torch.nn.Module) -> tuple[int, int]:
    """Give the size of a crop."""
    side = int(card.normalisation["input_size"])
    return side, side


def classify_scale(_card: ModelCard) -> str:
    """Say what a crop is."""
    return f"{TONE}, one cell {SIDE} nuclear diameters wide"


PORTABLE = {
    "nuclei": Portable(find_maps, find_channels, find_window, find_scale, inputs=DNA, step=32),
    "classify": Portable(classify_scores, classify_channels, classify_window, classify_scale, inputs=DNA),
}
