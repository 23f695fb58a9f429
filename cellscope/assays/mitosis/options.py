"""Everything that can be set in the mitosis assay, with units and ranges (no heavy import here)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from cellscope.errors import UsageError
from cellscope.options.common import PrepareOptions
from cellscope.options.resolve import check, option
from cellscope.options.training import TrainingOptions

FRAME_POLICIES = ("any", "pad", "sample", "refuse")

_PAPER: dict[str, Any] = {
    "batch_size": 10,
    "steps": 6000,
    "optimiser": "adam",
    "schedule": "constant",
    "warmup_steps": 0,
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
    "augment": "paper",
    "average": 0.0,
    "balance": "class",
}

#: What the options left open come to, per architecture: the paper's Table 1 (best row of each), ours for the others.
#: ``second_rate`` is the learning rate of the second step as a share of the first; 0 makes one step.
ARCH_DEFAULTS: dict[str, dict[str, Any]] = {
    "resnet50-lstm": {**_PAPER, "learning_rate": 1e-3, "second_rate": 0.01, "freeze_first": True},
    "vgg16-lstm": {**_PAPER, "learning_rate": 1e-5, "second_rate": 0.1, "freeze_first": True},
    "xception-lstm": {**_PAPER, "learning_rate": 1e-4, "second_rate": 0.0, "freeze_first": False},
    "xception-lstm imagenet": {**_PAPER, "learning_rate": 1e-3, "second_rate": 0.01, "freeze_first": True},
    "gao-lstm": {**_PAPER, "learning_rate": 1e-3, "second_rate": 0.0, "freeze_first": False},
    "resnet50-3d": {**_PAPER, "learning_rate": 1e-3, "second_rate": 0.01, "freeze_first": True},
    "tracknet": {
        "batch_size": 64,
        "steps": 400,
        "optimiser": "adamw",
        "schedule": "cosine",
        "warmup_steps": 20,
        "weight_decay": 0.05,
        "label_smoothing": 0.1,
        "augment": "strong",
        "average": 0.0,
        "balance": "class",
        "learning_rate": 3e-3,
        "second_rate": 0.0,
        "freeze_first": False,
    },
    "lite0-gru": {
        "batch_size": 8,
        "steps": 500,
        "optimiser": "adamw",
        "schedule": "cosine",
        "warmup_steps": 50,
        "weight_decay": 0.05,
        "label_smoothing": 0.1,
        "augment": "camera",
        "average": 0.98,
        "balance": "dose",
        "learning_rate": 1e-3,
        "second_rate": 0.0,
        "freeze_first": False,
        "backbone_rate": 0.3,
        "keep": "last",
    },
    "": {
        "batch_size": 16,
        "steps": 1500,
        "optimiser": "adamw",
        "schedule": "cosine",
        "warmup_steps": 150,
        "weight_decay": 0.05,
        "label_smoothing": 0.1,
        "augment": "strong",
        "average": 0.99,
        "balance": "dose",
        "learning_rate": 2e-3,
        "second_rate": 0.0,
        "freeze_first": False,
    },
}


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
    optimiser: Literal["adamw", "adam", "sgd"] | None = option(None, "Update rule.", cli=False)  # type: ignore[assignment]
    schedule: Literal["cosine", "constant", "step", "poly"] | None = option(  # type: ignore[assignment]
        None, "Learning rate after the warm-up.", cli=False
    )
    warmup_steps: int | None = option(  # type: ignore[assignment]
        None, "Steps over which the learning rate rises.", low=0, cli=False
    )
    keep: Literal["best", "last"] | None = option(  # type: ignore[assignment]
        None, "Which weights to keep: the best by their score in validation, or the last.", cli=False
    )
    head_decay: float = option(0.0, "L2 penalty of the dense layer (the paper's is 0.01).", low=0.0, cli=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.leave_out is not None and (self.cross_validate or self.fold is not None):
            raise UsageError("--leave-out chooses what is held out; give it without --fold and --cross-validate")

    def settled(self) -> TrainOptions:
        """Fill what was left open with the architecture's defaults."""
        key = f"{self.arch} {self.init}"
        # what is left out must not choose which weights are kept
        defaults: dict[str, Any] = {"backbone_rate": 1.0, "keep": "last" if self.leave_out else "best"}
        defaults |= ARCH_DEFAULTS.get(key, ARCH_DEFAULTS.get(self.arch, ARCH_DEFAULTS[""]))
        filled = replace(self, **{name: value for name, value in defaults.items() if getattr(self, name) is None})
        assert filled.steps is not None
        assert filled.warmup_steps is not None
        if filled.second_rate and self.schedule is None:
            filled = replace(
                filled, schedule="step", step_every=max(filled.steps // 2, 1), step_gamma=filled.second_rate
            )
        assert filled.warmup_steps is not None
        assert filled.steps is not None
        filled = replace(filled, warmup_steps=min(filled.warmup_steps, filled.steps // 4))
        # with a second rate, so that one falls on the end of the first of two steps
        return filled.checked().paced(workers=0, validations=10 if filled.second_rate else 5)


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
class PredictOptions(EvalOptions):
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
