"""The phases of a training: the first of two ends early when it no longer improves, and the second follows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

MOVED_ON = "moved_on"
"""In a checkpoint: the step after which the second phase began early."""


class Phases:
    """The options of a training as they stand: they change when a phase ends early.

    Parameters
    ----------
    options : TrainingOptions
        In steps. ``options.second_from`` is the step with which the second phase begins, 0 where there is one phase.

    Attributes
    ----------
    options : TrainingOptions
    moved_on : int or None
        The step after which the second phase began early.
    """

    def __init__(self, options: Any):
        self.options = options
        self.moved_on: int | None = None

    def in_first(self, step: int) -> bool:
        """Tell whether the first of two phases is under way after a step; its last step is the end of it."""
        return step < self.options.second_from

    def move_on(self, step: int) -> None:
        """Begin the second phase after a step; it is as long as planned, so the training ends earlier."""
        self.options = self.options.moved_on(step)
        self.moved_on = step

    def restore(self, checkpoint: Path) -> None:
        """Take over from a checkpoint whether the first phase ended early."""
        step = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True).get(MOVED_ON)
        if step is not None:
            self.move_on(int(step))

    def validates(self, step: int) -> bool:
        """Tell whether a validation follows a step; one follows the last, or its weights could not be chosen."""
        return bool(self.options.validates(step) or step == self.options.steps)
