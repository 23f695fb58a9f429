"""Options of every training, whatever the assay: an assay's own options extend these (no heavy import here)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

from cellscope.errors import UsageError
from cellscope.options.common import WorkerOptions
from cellscope.options.resolve import option

T = TypeVar("T", bound="TrainingOptions")


@dataclass(frozen=True)
class TrainingOptions(WorkerOptions):
    """What every training lets the user set; None leaves a value to the part that is trained."""

    panel: ClassVar[str] = "Training"

    init: str = option(
        "none",
        "Start from a model file or a built-in name, from ImageNet weights, or from nothing.",
        metavar="MODEL|imagenet|none",
    )
    imagenet: Path | None = option(
        None,
        "File of ImageNet weights for --init imagenet, as timm or a package of the extra imagenet holds them; without "
        "one, the installed package, timm's cache or a download.",
        metavar="FILE",
    )
    resume: str | None = option(
        None, "Go on from a checkpoint; auto takes OUT's own if there is one.", metavar="auto|PATH"
    )
    devices: int = option(1, "Processes or GPUs to train on at once (DDP when over 1).", low=1, high=64)
    fold: int | None = option(
        None, "Validate on this fold of a dataset prepared with --folds, train on the others.", low=0
    )
    leave_out: str | None = option(
        None,
        "Keep items of a laboratory, scanner, day, cell line or source out of training, to measure how others' images "
        "fare (eval --split left-out).",
        metavar="KEY=VALUE",
    )
    steps: int | None = option(None, "Optimiser steps in all; 0 only tunes the model of --init anew.", low=0)
    learning_rate: float | None = option(None, "Highest learning rate.", low=0.0)
    optimiser: Literal["adamw", "adam", "sgd"] = option("adamw", "Update rule.", cli=False)
    weight_decay: float | None = option(None, "Weight decay.", low=0.0, cli=False)
    schedule: Literal["cosine", "constant", "step", "poly", "exponential"] = option(
        "cosine", "Learning rate after the warm-up.", cli=False
    )
    warmup_steps: int = option(100, "Steps over which the learning rate rises.", low=0, cli=False)
    warmup_ratio: float = option(0.0, "Share of the learning rate the warm-up starts at.", low=0.0, high=1.0, cli=False)
    final_ratio: float = option(
        0.01, "Schedules cosine and exponential: share of the learning rate at the end.", low=0.0, high=1.0, cli=False
    )
    step_every: int = option(1000, "Schedule step: steps between drops.", low=1, cli=False)
    step_gamma: float = option(0.1, "Schedule step: factor of each drop.", low=0.0, high=1.0, cli=False)
    clip_gradient: float = option(10.0, "Largest gradient norm; 0 does not clip.", low=0.0, cli=False)
    val_every: int | None = option(None, "Steps between validations; none makes five in all.", low=1, cli=False)
    save_every: int = option(100, "Steps between writes of last.ckpt.", low=1, cli=False)
    patience: int = option(0, "Stop after this many validations without a better score; 0 never stops early.", low=0)
    keep: Literal["best", "last"] = option(
        "best", "Which weights to keep: the best by their score in validation, or the last.", cli=False
    )
    half: bool = option(True, "Store the model's numbers as float16.", cli=False)

    def checked(self: T) -> T:
        """Raise UsageError for options that contradict each other, once all are filled."""
        if self.imagenet is not None and self.init != "imagenet":
            raise UsageError("--imagenet is the file of --init imagenet; give both")
        return self

    def paced(self: T, *, workers: int, validations: int) -> T:
        """Fill, where left open, the processes that load data, and how often in all to validate; steps are known."""
        filled = self if self.num_workers is not None else replace(self, num_workers=workers)
        if filled.val_every is None:
            assert filled.steps is not None
            filled = replace(filled, val_every=max(filled.steps // validations, 1))
        return filled
