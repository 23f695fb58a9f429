"""The types of a model that is trained further on nuclei without types: kept, by holding on to what it said of them."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F

from cellscope.assays.histo.classes import PART, UNTYPED
from cellscope.assays.histo.nuclei.calibration import TEMPERATURE
from cellscope.assays.histo.options import TrainOptions
from cellscope.engine.train.data import say
from cellscope.models.card import ModelCard
from cellscope.models.file import load_model
from cellscope.models.registry import locate


def types_to_keep(options: TrainOptions, classes: tuple[str, ...]) -> ModelCard | None:
    """Give the card of the starting model if its types are kept: it has some, and the dataset has none.

    Parameters
    ----------
    options : TrainOptions
        Uses ``init``.
    classes : tuple of str
        Of the dataset.
    """
    if classes != UNTYPED or options.init in ("none", "imagenet"):
        return None
    card, _ = load_model(locate(options.init), assay="histo", part=PART)
    if card.classes == UNTYPED:
        return None
    say(
        f"the dataset has no types: the new model keeps those of {options.init} ({', '.join(card.classes)}), unmeasured"
    )
    return card


class KeptTypes:
    """The starting model as the teacher of the type branch.

    Without it the branch would lose its hold: what it reads from is trained on, and weight decay shrinks it.

    Parameters
    ----------
    network : Module
        With the weights of the starting model.
    start : ModelCard
        Of that model.

    Attributes
    ----------
    teacher : Module
        Never trained; no submodule of the learner, so no checkpoint holds it: it comes from ``--init`` each time.

    References
    ----------
    Li and Hoiem, Learning without forgetting, IEEE TPAMI 40 (2018) 2935-2947.
    """

    def __init__(self, network: torch.nn.Module, start: ModelCard):
        self.teacher = copy.deepcopy(network).eval().requires_grad_(False)
        self.calibration = {name: value for name, value in start.thresholds.items() if name == TEMPERATURE}

    def loss(self, images: torch.Tensor, logits: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Give the Kullback-Leibler divergence from the teacher's type probabilities, a mean over pixels.

        Parameters
        ----------
        images : (N, 3, H, W) float
            Normalised.
        logits : (N, K + 1, h, w) float
            The student's, background first.
        known : (N, h, w) bool
            Within the image.
        """
        with torch.no_grad():
            said = self.teacher.to(images.device)(images)[:, 4:].float().log_softmax(1)
        apart = F.kl_div(logits.log_softmax(1), said, reduction="none", log_target=True).sum(1)
        return (apart * known).sum() / known.sum().clamp(min=1)
