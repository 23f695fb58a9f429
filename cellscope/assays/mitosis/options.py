"""Everything that can be set in the mitosis assay, with units and ranges (no heavy import here)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from cellscope.assays.mitosis.recipes import RECIPES
from cellscope.errors import ModelError, UsageError
from cellscope.options.common import PrepareOptions
from cellscope.options.planes import FileOptions
from cellscope.options.recipes import Recipe
from cellscope.options.resolve import check, option
from cellscope.options.training import TrainingOptions

FROM_NOTHING, FROM_IMAGENET = "mitonet-turned", "lite0-gru"
"""Architectures of a training that starts from random weights and of one that starts from ImageNet's."""

FRAME_POLICIES = ("any", "pad", "sample", "refuse")


@dataclass(frozen=True)
class MitosisPrepareOptions(PrepareOptions, FileOptions):
    """Options of ``cellscope mitosis prepare``."""

    panel: ClassVar[str] = "Mitosis"

    table: Path | None = option(
        None,
        "CSV with a column image and any of line, dose, position, date, class, split; overrides the file names.",
        metavar="CSV",
    )
    normal: str | None = option(
        None, "Class of the normal divisions, where its name does not say so; all others count as abnormal.",
        metavar="CLASS",
    )  # fmt: skip
    nuclei_channel: int = option(1, "Channel of the nuclei, counted from 0.", low=0, high=1)
    events: Path | None = option(
        None,
        "Cut sequences out of movies: positions of divisions with their class, as a CSV (frame,y,x,class and optional "
        "size, image, track, spot) or TrackMate XML whose spots or tracks are named by class.",
        metavar="CSV|XML",
    )
    frames_before: int = option(3, "With --events: number of frames before the division.", low=0, high=100)
    window: float = option(
        72.0, "With --events: window size around a division, pixels, unless the table gives a size.", low=16, high=512
    )
    validation_share: float | None = option(
        None, "Fraction of the training sequences used for validation (0.43 in the paper).", low=0, high=0.9
    )


@dataclass(frozen=True)
class TrainOptions(TrainingOptions):
    """Options of ``cellscope mitosis train``; None leaves a value to the architecture."""

    panel: ClassVar[str] = "Training"
    recipes: ClassVar[Sequence[Recipe]] = RECIPES

    part: Literal["classify"] = option("classify", "Network to train.")
    arch: str | None = option(
        None,
        "Network architecture; by default that of the model given with --init, lite0-gru with --init imagenet, else "
        "mitonet-turned.",
        metavar="NAME",
    )
    repeats: int = option(
        1,
        "Number of trainings (or cross-validations, with --cross-validate) with different seeds; mean and "
        "standard deviation are reported.",
        low=1,
        high=100,
    )
    cross_validate: bool = option(
        False,
        "Cross-validation: train once per fold; the model file is the ensemble, calibrated on the held-out folds.",
    )
    join: str | None = option(
        None,
        "Combine two finished cross-validations, one of images and one of measurements, into one model "
        "without training.",
        metavar="RUN,RUN",
    )
    leave_out: str | None = option(
        None,
        "Leave-one-out: validate on this cell line, day, dose or source (line=PC3) and train on the others; keys alone "
        "(line+day) leave each out in turn, then train on all, with the threshold from the left-out predictions.",
        metavar="KEY=VALUE|KEY",
    )
    augment: Literal["paper", "strong", "camera", "none"] | None = option(
        None,
        "Augmentation: flips, rotation, noise and elastic deformation (paper), the same and more (strong), strong with "
        "the variation of other microscopes before normalisation (camera), or none.",
    )
    balance: Literal["class", "dose", "loss", "none"] | None = option(
        None,
        "Balance: sample the classes alike, or the classes within each dose and cell line, or weigh them in the loss "
        "(loss), or none.",
        cli=False,
    )
    label_smoothing: float | None = option(None, "Label smoothing.", low=0.0, high=0.5, cli=False)
    average: float | None = option(
        None, "Decay of the exponential moving average of the weights; 0 for none.", low=0.0, high=0.9999, cli=False
    )
    second_rate: float | None = option(
        None, "Learning rate in the second half of the training, as a fraction of the first; 0 for a single "
        "schedule.", low=0.0, high=1.0,
        cli=False,
    )  # fmt: skip
    backbone_rate: float | None = option(
        None, "Learning rate of the backbone as a share of that of the rest.", low=0.0, high=1.0, cli=False
    )
    freeze_first: bool | None = option(
        None, "Freeze the backbone in the first half of the training (with pretrained weights).", cli=False
    )
    head_decay: float = option(0.0, "L2 penalty of the dense layer.", low=0.0, cli=False, recipe=True)
    choose_by: Literal["score", "accuracy"] = option(
        "score",
        "Validation score that selects weights and stops early: mean of F1 and ROC AUC, or accuracy.",
        cli=False,
        recipe=True,
    )
    first_steps: int = option(
        0, "Number of steps before the second learning rate; 0 for half of them.", low=0, cli=False
    )

    def __post_init__(self) -> None:
        if self.arch is None:
            object.__setattr__(self, "arch", _usual_arch(self.init))  # recipes depend on it
        super().__post_init__()
        if self.leave_out is not None and (self.cross_validate or self.fold is not None):
            raise UsageError("--leave-out chooses what is held out; give it without --fold and --cross-validate")

    @property
    def leaves_out(self) -> bool:
        """Whether sources are kept out of the training, which then must not choose the weights."""
        return self.leave_out is not None

    @property
    def second_from(self) -> int:
        """The step with which the second of two begins: the middle, unless the first ended early."""
        return (self.first_steps or (self.steps or 0) // 2) if self.second_rate else 0

    def moved_on(self, step: int) -> TrainOptions:
        """Begin the second step, as long as planned, after a step of the first."""
        return replace(self, first_steps=step, steps=(self.steps or 0) - self.second_from + step)

    @property
    def chooses(self) -> bool:
        """Whether validation decides which weights are kept, or when the training ends."""
        return self.keep == "best" or self.patience > 0 or self.two_steps

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
        "pad",
        "Sequences with another number of frames than the model expects: take as they are (any), pad, sample "
        "or refuse.",
    )
    threshold: float = option(0.5, "Probability threshold of abnormal divisions.", low=0.0, high=1.0)

    def __post_init__(self) -> None:
        """Check ranges and choices."""
        check(self)


@dataclass(frozen=True)
class PredictOptions(EvalOptions, FileOptions):
    """Options of ``cellscope mitosis predict``."""

    panel: ClassVar[str] = "Mitosis"

    nuclei_channel: int = option(1, "Channel of the nuclei, counted from 0.", low=0, high=1)
    events: Path | None = option(
        None,
        "Positions of divisions in movies: CSV (frame,y,x and optional size, image), TrackMate XML, or a Cell"
        " Tracking Challenge folder (man_track.txt and masks).",
        metavar="CSV|XML|FOLDER",
    )
    frames_before: int = option(3, "Number of frames before the division.", low=0, high=100)
    window: float = option(
        72.0, "Window size around a division, pixels, unless the table gives a size.", low=16, high=512
    )
    follow: bool = option(True, "Track the cell within its window.", cli=False)
    review_below: float = option(
        0.75, "Mark divisions for review whose class probability is below this value.", low=0.0, high=1.0
    )


def _usual_arch(init: str | None) -> str:
    """Choose the architecture of a training by what it starts from: the network over frames of a model."""
    if init == "imagenet":
        return FROM_IMAGENET
    if init in (None, "none") or Path(str(init)).suffix in (".pth", ".pt"):
        return FROM_NOTHING
    from cellscope.models.file import read_card  # not for a help page
    from cellscope.models.registry import locate

    try:
        archs = read_card(locate(str(init))).arch.split("+")
    except ModelError:  # said when the model is loaded
        return FROM_NOTHING
    return next((arch for arch in archs if arch != "tracknet"), archs[0])
