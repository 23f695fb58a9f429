"""Options of every training, whatever the assay: an assay's own options extend these (no heavy import here)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

from cellscope.errors import UsageError
from cellscope.options.common import WorkerOptions
from cellscope.options.recipes import Parts, Recipe, fill, in_steps
from cellscope.options.resolve import option

T = TypeVar("T", bound="TrainingOptions")

COMMON = Recipe({"val_every": Parts(5), "num_workers": 0})
"""What holds for every training that says nothing else."""


@dataclass(frozen=True)
class TrainingOptions(WorkerOptions):
    """What every training lets the user set; recipes decide what is left open."""

    panel: ClassVar[str] = "Training"
    recipes: ClassVar[Sequence[Recipe]] = ()
    """Those of the assay, the most special first."""

    init: str = option(
        "none",
        "Start from a model file or a built-in name, from ImageNet weights, or from nothing.",
        metavar="MODEL|imagenet|none",
        recipe=True,
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
    epochs: float | None = option(None, "Passes over the training items, in place of --steps.", low=0.001, high=1e5)
    learning_rate: float | None = option(None, "Highest learning rate.", low=0.0)
    optimiser: Literal["adamw", "adam", "sgd"] = option("adamw", "Update rule.", cli=False, recipe=True)
    weight_decay: float | None = option(None, "Weight decay.", low=0.0, cli=False)
    schedule: Literal["cosine", "constant", "step", "poly", "exponential"] = option(
        "cosine", "Learning rate after the warm-up.", cli=False, recipe=True
    )
    warmup_steps: int = option(100, "Steps over which the learning rate rises.", low=0, cli=False, recipe=True)
    warmup_ratio: float = option(
        0.0, "Share of the learning rate the warm-up starts at.", low=0.0, high=1.0, cli=False, recipe=True
    )
    final_ratio: float = option(
        0.01,
        "Schedules cosine and exponential: share of the learning rate at the end.",
        low=0.0,
        high=1.0,
        cli=False,
        recipe=True,
    )
    step_every: int = option(1000, "Schedule step: steps between drops.", low=1, cli=False, recipe=True)
    step_gamma: float = option(0.1, "Schedule step: factor of each drop.", low=0.0, high=1.0, cli=False, recipe=True)
    clip_gradient: float = option(10.0, "Largest gradient norm; 0 does not clip.", low=0.0, cli=False)
    val_every: int | None = option(None, "Steps between validations; none makes five in all.", low=1, cli=False)
    save_every: int = option(100, "Steps between writes of last.ckpt.", low=1, cli=False)
    patience: int = option(
        0, "Stop after this many validations without a better score; 0 never stops early.", low=0, recipe=True
    )
    keep: Literal["best", "last"] = option(
        "best",
        "Which weights to keep: the best by their score in validation, or the last.",
        cli=False,
        recipe=True,
    )
    logger: Literal["csv", "tensorboard"] = option(
        "csv", "Curves: metrics.csv alone, or TensorBoard's events beside it, in OUT/tensorboard."
    )
    half: bool = option(True, "Store the model's numbers as float16.", cli=False)

    def __post_init__(self) -> None:
        fill(self, (*self.recipes, COMMON))
        super().__post_init__()
        if self.steps is not None and self.epochs is not None:
            raise UsageError("--steps and --epochs both say how long to train; give one of them")
        if self.imagenet is not None and self.init != "imagenet":
            raise UsageError("--imagenet is the file of --init imagenet; give both")

    def in_steps(self: T, n_items: int | None = None, *, before: int = 0) -> T:
        """Turn epochs into optimiser steps and decide how often to validate.

        Parameters
        ----------
        n_items : int, optional
            Number of training items; where it is not known, what is given in epochs stays open.
        before : int
            Steps that come before those that epochs say.
        """
        return in_steps(self, (*self.recipes, COMMON), n_items, before=before)
