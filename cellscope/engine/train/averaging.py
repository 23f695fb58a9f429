"""Averaged weights: the exponential moving average of the trained weights is validated and saved."""

from __future__ import annotations

import copy
from typing import Any

import lightning as L
import torch


@torch.no_grad()
def move_average(mean: torch.nn.Module, student: torch.nn.Module, *, step: int, decay: float) -> None:
    """Move averaged weights towards the student's: exponentially, but fast at first, when the student is bad.

    Parameters
    ----------
    mean, student : Module
        Of one architecture. What is not floating point is copied.
    step : int
        Optimiser steps so far.
    decay : float in (0, 1)
        Per step, once the training is under way.

    Notes
    -----
    timm's `ModelEmaV3` with ``use_warmup=True, warmup_gamma=9, warmup_power=1`` moves in the same way (a test), but its
    import takes 2.2 s of a training's start and it keeps a copy of its own, under names that no checkpoint of ours has.
    PyTorch's `AveragedModel` copies the first step and knows no warm-up.
    """
    slow = min(decay, (1 + step) / (10 + step))
    for average, value in zip(mean.state_dict().values(), student.state_dict().values(), strict=True):
        if average.is_floating_point():
            average.lerp_(value.to(average.dtype), 1 - slow)
        else:
            average.copy_(value)


class Averaging(L.LightningModule):
    """A training of a network whose average is kept.

    Parameters
    ----------
    network : Module
        Becomes the average: what is validated and kept.
    decay : float
        See `move_average`; 0 keeps the network that the optimiser moves.
    memory_format : torch.memory_format, optional
        Of the weights; None leaves them as they are, for networks with convolutions over time.

    Attributes
    ----------
    network, student : Module
        The average, and what the optimiser moves; the two are one when `decay` is 0.
    """

    def __init__(
        self, network: torch.nn.Module, decay: float, memory_format: torch.memory_format | None = torch.channels_last
    ):
        super().__init__()
        self.decay, self.network = decay, network
        self.student = copy.deepcopy(network) if decay else network
        if memory_format is not None:
            for module in (self.network, self.student):
                module.to(memory_format=memory_format)
        if decay:
            self.network.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Averaging:
        """Switch the student between training and evaluation; the average always evaluates."""
        super().train(mode)
        if self.decay:
            self.network.eval()
        return self

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Move the average as part of the step, so that a checkpoint of the step holds it."""
        super().optimizer_step(*args, **kwargs)
        if self.decay:
            move_average(self.network, self.student, step=self.global_step + 1, decay=self.decay)
