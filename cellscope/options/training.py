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


LOGGERS = ("csv", "tensorboard")
"""What ``--logger`` may name."""


@dataclass(frozen=True)
class TrainingOptions(WorkerOptions):
    """What every training lets the user set; recipes decide what is left open."""

    panel: ClassVar[str] = "Training"
    recipes: ClassVar[Sequence[Recipe]] = ()
    """Those of the assay, the most special first."""

    init: str = option(
        "none",
        "Initial weights: a model file, a built-in model, ImageNet weights, or none (random).",
        metavar="MODEL|imagenet|none",
        recipe=True,
    )
    imagenet: Path | None = option(
        None,
        "File of ImageNet weights for --init imagenet, as published by timm or in the extra imagenet; by default "
        "the installed package, timm's cache or a download.",
        metavar="FILE",
    )
    resume: str | None = option(
        None, "Resume from a checkpoint; auto takes the one in OUT if there is one.", metavar="auto|PATH"
    )
    devices: int = option(
        1, "Number of GPUs or processes of a computer; more than 1 trains data-parallel (DDP).", low=1, high=64
    )
    num_nodes: int = option(
        1, "Number of computers, each with --devices; a batch system starts the processes (srun).", low=1, high=1024
    )
    accumulate: int = option(
        1,
        "Number of batches whose gradients one optimiser step takes together, where a larger batch does not fit into "
        "memory.",
        low=1,
        high=65536,
    )
    fold: int | None = option(
        None,
        "Cross-validation: leave out this fold, to be measured with eval --split folds; needs a dataset prepared with "
        "--folds.",
        low=0,
    )
    val_fold: int | None = option(
        None,
        "With --fold: fold that selects weights and thresholds; part of the groups of the other folds if not given.",
        low=0,
    )
    leave_out: str | None = option(
        None,
        "Leave-one-out: exclude items of a laboratory, scanner, day, cell line or source from training; evaluate them "
        "with eval --split left-out.",
        metavar="KEY=VALUE",
    )
    steps: int | None = option(
        None, "Number of optimiser steps; 0 only tunes the thresholds of the model given with --init.", low=0
    )
    epochs: float | None = option(None, "Number of epochs, instead of --steps.", low=0.001, high=1e5)
    learning_rate: float | None = option(None, "Maximum learning rate.", low=0.0)
    optimiser: Literal["adamw", "adam", "sgd"] = option("adamw", "Optimiser.", cli=False, recipe=True)
    weight_decay: float | None = option(None, "Weight decay.", low=0.0, cli=False)
    schedule: Literal["cosine", "constant", "step", "poly", "exponential"] = option(
        "cosine", "Learning rate schedule after the warm-up.", cli=False, recipe=True
    )
    warmup_steps: int = option(100, "Number of warm-up steps.", low=0, cli=False, recipe=True)
    warmup_ratio: float = option(
        0.0,
        "Learning rate at the start of the warm-up, as a fraction of the maximum.",
        low=0.0,
        high=1.0,
        cli=False,
        recipe=True,
    )
    final_ratio: float = option(
        0.01,
        "Schedules cosine and exponential: final learning rate, as a fraction of the maximum.",
        low=0.0,
        high=1.0,
        cli=False,
        recipe=True,
    )
    step_every: int = option(1000, "Schedule step: number of steps between decays.", low=1, cli=False, recipe=True)
    step_gamma: float = option(0.1, "Schedule step: decay factor.", low=0.0, high=1.0, cli=False, recipe=True)
    clip_gradient: float = option(10.0, "Gradient clipping norm; 0 for none.", low=0.0, cli=False, recipe=True)
    val_every: int | None = option(
        None, "Number of steps between validations; five validations in all if not given.", low=1, cli=False
    )
    save_every: int = option(100, "Number of steps between checkpoints (last.ckpt).", low=1, cli=False)
    patience: int = option(
        0, "Early stopping: number of validations without improvement; 0 for none.", low=0, recipe=True
    )
    keep: Literal["best", "last"] = option(
        "best",
        "Weights to keep: those with the best validation score, or the last.",
        cli=False,
        recipe=True,
    )
    logger: str = option(
        "csv",
        "Training curves: metrics.csv, which is always written; with tensorboard also event files in OUT/tensorboard.",
        metavar="csv,tensorboard",
    )
    memory_share: float = option(
        0.5,
        "Fraction of the free memory that training images may take; those beyond it are read from a temporary file "
        "beside OUT (not mitosis).",
        low=0.0,
        high=1.0,
        cli=False,
    )
    half: bool = option(True, "Store the weights as float16.", cli=False)
    describe: int = option(
        400,
        "Training images that are described at the end, so that predict can tell images unlike them; 0 for none.",
        low=0,
        cli=False,
    )

    def __post_init__(self) -> None:
        fill(self, (*self.recipes, COMMON))
        super().__post_init__()
        if self.steps is not None and self.epochs is not None:
            raise UsageError("--steps and --epochs both say how long to train; give one of them")
        if self.val_fold is not None and self.fold is None:
            raise UsageError("--val-fold belongs to --fold, the fold to leave out; give both")
        if unknown := sorted({name.strip() for name in self.logger.split(",")} - set(LOGGERS)):
            raise UsageError(f"logger: '{unknown[0]}' is not one of {', '.join(LOGGERS)}, or both with a comma")
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

    @property
    def items_per_step(self) -> int:
        """The training items that all processes see in one optimiser step."""
        return (self.batch_size or 1) * self.accumulate * self.devices * self.num_nodes

    def validates(self, step: int) -> bool:
        """Tell whether a validation follows step 1, 2, ... of a training whose options are in steps."""
        return step % (self.val_every or 1) == 0

    @property
    def second_from(self) -> int:
        """The step with which the second of two phases begins; 0 where there is one only."""
        return 0

    def moved_on(self: T, step: int) -> T:
        """Give the options of a training whose second phase begins after a step, earlier than planned.

        With one phase there is nothing to begin earlier: the options as they are.
        """
        return self
