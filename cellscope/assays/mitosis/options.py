"""Everything that can be set in the mitosis assay, with units and ranges (no heavy import here)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from cellscope.assays.mitosis.recipes import RECIPES
from cellscope.errors import UsageError
from cellscope.options.common import PrepareOptions
from cellscope.options.planes import FileOptions
from cellscope.options.recipes import Recipe
from cellscope.options.resolve import check, option
from cellscope.options.training import TrainingOptions

FRAME_POLICIES = ("any", "pad", "sample", "refuse")


@dataclass(frozen=True)
class MitosisPrepareOptions(PrepareOptions):
    """Options of ``cellscope mitosis prepare``."""

    panel: ClassVar[str] = "Mitosis"

    table: Path | None = option(
        None,
        "CSV with a column image and any of line, dose, position, date, class, in place of what file names say.",
        metavar="CSV",
    )
    nuclei_channel: int = option(1, "Which of two channels holds the nuclei, from 0.", low=0, high=1)
    validation_share: float | None = option(
        None, "Take this share of the training groups' sequences for validation (the paper's is 0.43).", low=0, high=0.9
    )


@dataclass(frozen=True)
class TrainOptions(TrainingOptions):
    """Options of ``cellscope mitosis train``; None leaves a value to the architecture."""

    panel: ClassVar[str] = "Training"
    recipes: ClassVar[Sequence[Recipe]] = RECIPES

    part: Literal["classify"] = option("classify", "Which network to train; mitosis has one.")
    arch: str = option("mitonet-turned", "Architecture.", metavar="NAME")
    repeats: int = option(
        1,
        "Train this many times with seeds of their own, and report mean and standard deviation; with --cross-validate, "
        "cross-validate this many times.",
        low=1,
        high=100,
    )
    cross_validate: bool = option(
        False, "Train once per fold of the dataset; the model file then holds all of them, tuned on what each held out."
    )
    join: str | None = option(
        None,
        "Train nothing: make one model of two finished cross-validations, one of frames and one of measurements.",
        metavar="RUN,RUN",
    )
    leave_out: str | None = option(
        None,
        "Keep sequences of a cell line, day, dose or source out of training and validate on them (line=PC3); with keys "
        "alone (line+day) leave each out in turn, then train on all, tuned on what each left out.",
        metavar="KEY=VALUE|KEY",
    )
    augment: Literal["paper", "strong", "camera", "none"] | None = option(
        None,
        "How sequences are varied: flips, rotation, noise, elastic deformation (paper), more of it (strong), or as "
        "another microscope would have recorded them (camera).",
    )
    balance: Literal["class", "dose", "none"] | None = option(
        None, "What is drawn equally often: both classes, or both classes within doses and lines.", cli=False
    )
    label_smoothing: float | None = option(None, "Label smoothing.", low=0.0, high=0.5, cli=False)
    average: float | None = option(
        None, "Decay of the moving average of weights; 0 for none.", low=0.0, high=0.9999, cli=False
    )
    second_rate: float | None = option(
        None, "Second half of the training: learning rate as a share of the first; 0 for one step.", low=0.0, high=1.0,
        cli=False,
    )  # fmt: skip
    backbone_rate: float | None = option(
        None, "Learning rate of the backbone as a share of that of the rest.", low=0.0, high=1.0, cli=False
    )
    freeze_first: bool | None = option(
        None, "Train only what follows the backbone in the first of two steps (with ImageNet weights).", cli=False
    )
    head_decay: float = option(0.0, "L2 penalty of the dense layer (the paper's is 0.01).", low=0.0, cli=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.leave_out is not None and (self.cross_validate or self.fold is not None):
            raise UsageError("--leave-out chooses what is held out; give it without --fold and --cross-validate")

    @property
    def leaves_out(self) -> bool:
        """Whether sources are kept out of the training, which then must not choose the weights."""
        return self.leave_out is not None

    @property
    def two_steps(self) -> bool:
        """Whether a second step with a learning rate of its own follows."""
        return bool(self.second_rate)

    def in_steps(self, n_items: int | None = None, *, before: int = 0) -> TrainOptions:
        """Turn epochs into steps; the warm-up takes a quarter of them at most."""
        filled = super().in_steps(n_items, before=before)
        return (
            filled
            if filled.steps is None
            else replace(filled, warmup_steps=min(filled.warmup_steps, filled.steps // 4))
        )


@dataclass(frozen=True)
class EvalOptions:
    """Options of ``cellscope mitosis eval``."""

    panel: ClassVar[str] = "Mitosis"

    frames: Literal["any", "pad", "sample", "refuse"] = option(
        "pad", "Sequences with another number of frames than the model was trained with."
    )
    threshold: float = option(0.5, "Probability from which a division is called abnormal.", low=0.0, high=1.0)

    def __post_init__(self) -> None:
        """Check ranges and choices."""
        check(self)


@dataclass(frozen=True)
class PredictOptions(EvalOptions, FileOptions):
    """Options of ``cellscope mitosis predict``."""

    panel: ClassVar[str] = "Mitosis"

    nuclei_channel: int = option(1, "Which of two channels holds the nuclei, from 0.", low=0, high=1)
    events: Path | None = option(
        None,
        "Where divisions are in movies: CSV (frame,y,x and optional size, image), TrackMate XML, or a Cell Tracking "
        "Challenge folder (man_track.txt and masks).",
        metavar="CSV|XML|FOLDER",
    )
    frames_before: int = option(3, "Frames of an event's window before the division.", low=0, high=100)
    window: float = option(
        72.0, "Side of an event's window in pixels, where its table gives no size.", low=16, high=512
    )
    follow: bool = option(True, "Let the window follow the cell as it drifts.", cli=False)
    review_below: float = option(
        0.75, "Mark divisions whose class is less probable than this for review.", low=0.0, high=1.0
    )
