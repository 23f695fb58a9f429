"""Everything that can be set in the histo assay, with units and ranges (no heavy import here)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from cellscope.assays.histo.recipes import RECIPES
from cellscope.options.common import PrepareOptions
from cellscope.options.outlines import OutlineOptions
from cellscope.options.planes import PlaneOptions
from cellscope.options.recipes import Epochs, Recipe
from cellscope.options.resolve import check, option
from cellscope.options.training import TrainingOptions


@dataclass(frozen=True)
class HistoPrepareOptions(PrepareOptions, PlaneOptions):
    """Options of ``cellscope histo prepare``."""

    panel: ClassVar[str] = "Histo"

    types: Literal["hovernet", "paper", "all"] = option(
        "hovernet",
        "Merging of the seven CoNSeP types: hovernet gives 4, paper gives 5 (normal and malignant epithelium "
        "separate), all keeps 7.",
    )
    classes: tuple[str, ...] = option(
        (), "Names of the types in your own tables, in the order of their numbers 1, 2, ...", metavar="A,B,..."
    )
    pixel_size: float | None = option(
        None,
        "Pixel size of the source in micrometres; overrides the metadata; 0.25 if unknown.",
        low=0.05,
        high=4.0,
        metavar="UM",
    )
    at_pixel_size: float = option(
        0.25,
        "Pixel size of the prepared images, and so of networks trained on them, in micrometres: 0.5 for slides scanned "
        "at 20x.",
        low=0.1,
        high=1.0,
        metavar="UM",
    )
    pieces: Literal["refuse", "split"] = option(
        "refuse", "Labels with several distant pieces: refuse the image, or split them into one nucleus per piece."
    )
    binary: Literal["refuse", "split"] = option(
        "refuse", "Binary masks (0 and 255): refuse them, or split them into one nucleus per connected piece."
    )
    outlined: Literal["all", "some"] = option(
        "all",
        "Which nuclei are outlined: all, or some; then only what lies within 3 micrometres of them is background.",
    )


@dataclass(frozen=True)
class TrainOptions(TrainingOptions):
    """Options of ``cellscope histo train``."""

    panel: ClassVar[str] = "Training"
    recipes: ClassVar[Sequence[Recipe]] = RECIPES

    part: Literal["nuclei"] = option("nuclei", "Network to train.")
    arch: str | None = option(
        None, "Network architecture: histonext-atto (built in), -pico, or the paper's -tiny, -base, -large, "
        "-xlarge; lite0-unet (EfficientNet-Lite0, for --init imagenet); or hovernet.",
        metavar="NAME",
    )  # fmt: skip
    preset: Literal["none", "paper"] = option("none", "Training preset: the paper's settings.")
    frozen_steps: int = option(0, "Number of steps of the first phase, with the encoder frozen.", low=0, cli=False)
    frozen_batch_size: int = option(
        0, "Batch size of the first phase; 0 for the same as later.", low=0, cli=False, recipe=True
    )
    frozen_epochs: float = option(
        0.0, "Number of epochs of the first phase, instead of frozen_steps.", low=0.0, high=1e5, cli=False, recipe=True
    )
    frozen_step_every: int = option(
        0, "Schedule step: step_every of the first phase; 0 for the same as later.", low=0, cli=False
    )
    frozen_val_every: int = option(
        0, "Steps between validations of the first phase; 0 for the same as later.", low=0, cli=False
    )
    learn_from: Literal["train", "train+val"] = option(
        "train", "Splits used for training; train+val keeps the final weights without tuning thresholds.",
        cli=False,
    )  # fmt: skip
    core: int = option(
        192,
        "Size of the training window without its margin, pixels.",
        low=32,
        high=1024,
        cli=False,
    )
    margin: int = option(32, "Margin of the training window on each side, pixels.", low=16, high=256, cli=False)
    augment: Literal["baseline", "basic", "moderate", "strong", "full", "wide"] = option(
        "wide", "Augmentation level: those of the paper's Table 1, or wide (stronger).", cli=False, recipe=True
    )
    sampling: Literal["none", "uniform", "type-aware", "published"] = option(
        "type-aware",
        "Sampling of windows by their dominant type (the paper's Table 3): all alike, all types alike, rarer types "
        "more often, or at the rates of type_rates.",
        cli=False,
        recipe=True,
    )
    type_rates: str = option(
        "other=4,normal_epithelial=3,dead=10",
        "Sampling published: how much more often windows of a type are drawn; others 1. The default is the paper's for "
        "CoNSeP and PanNuke.",
        cli=False,
    )
    score_types: Literal["named", "all"] = option(
        "named",
        "Types in the validation score: all but other, or all, as in the paper's equation 12.",
        cli=False,
        recipe=True,
    )
    tune_thresholds: bool = option(
        True, "Tune the thresholds of the post-processing on the validation images.", cli=False, recipe=True
    )
    source_weights: str = option(
        "", "Sampling weight of each source, multiplied by its size, such as consep=2,mine=0.5; others 1.", cli=False
    )
    source_power: float = option(
        1.0, "Exponent of a source's size when windows are drawn: 1 draws by size, 0 from all sources alike.", low=0.0,
        high=1.0, cli=False, recipe=True,
    )  # fmt: skip
    np_loss: Literal["bce+dice", "asym+dice", "asym"] = option(
        "bce+dice", "Loss of the nucleus branch (the paper's Table 2).", cli=False, recipe=True
    )
    tp_loss: Literal["bce+dice", "focal+dice", "focal"] = option(
        "bce+dice", "Loss of the type branch (the paper's Table 2).", cli=False, recipe=True
    )
    gamma_positive: float = option(
        1.0, "asym: focusing parameter of nucleus pixels; 1 in the paper's final configuration, 0.5 in its "
        "equation.", low=0.0,
        high=10.0, cli=False,
    )  # fmt: skip
    gamma_negative: float = option(4.0, "asym: focusing parameter of background pixels.", low=0.0, high=10.0, cli=False)
    focal_gamma: float = option(2.0, "focal: focusing parameter.", low=0.0, high=10.0, cli=False)
    hv_weight: float = option(1.0, "Weight of the losses of the distance branch.", low=0.0, high=100.0, cli=False)
    tp_weight: float = option(
        2.0, "Weight of the loss of the type branch.", low=0.0, high=100.0, cli=False, recipe=True
    )
    drop_path: float = option(
        0.05, "Drop path rate of the encoder (stochastic depth).", low=0.0, high=0.9, cli=False, recipe=True
    )
    ema: float = option(
        0.998,
        "Decay of the exponential moving average of the weights, which is validated and saved; 0 for none.",
        low=0.0,
        high=1.0,
        cli=False,
        recipe=True,
    )

    def in_steps(self, n_items: int | None = None, *, before: int = 0) -> TrainOptions:
        """Turn epochs into steps, each phase with its own batch; `n_items` are the places windows are drawn from."""
        frozen = self.frozen_steps
        size = self.frozen_batch_size or self.batch_size
        if not frozen and self.frozen_epochs and n_items is not None:
            frozen = Epochs(self.frozen_epochs).steps(n_items, size or 1)
        filled = super().in_steps(n_items, before=before + frozen)
        if filled.steps is None:
            return filled
        frozen = min(frozen, filled.steps)
        if not frozen:
            return replace(filled, frozen_steps=0)
        first = super(TrainOptions, replace(self, batch_size=size)).in_steps(n_items)
        val_every, frozen_val_every = filled.val_every or 1, self.frozen_val_every or first.val_every or 1
        return replace(
            filled,
            frozen_steps=frozen,
            frozen_step_every=self.frozen_step_every or first.step_every,
            # A phase shorter than its interval is validated at its end.
            val_every=min(val_every, filled.steps - frozen) or val_every,
            frozen_val_every=min(frozen_val_every, frozen),
        )

    def validates(self, step: int) -> bool:
        """Tell whether a validation follows a step: counted anew in the second phase."""
        if step <= self.frozen_steps:
            return step % (self.frozen_val_every or self.val_every or 1) == 0
        return (step - self.frozen_steps) % (self.val_every or 1) == 0

    @property
    def second_from(self) -> int:
        """The step with which the encoder begins to learn."""
        return self.frozen_steps

    def moved_on(self, step: int) -> TrainOptions:
        """Begin the second phase, as long as planned, after a step of the first."""
        return replace(self, frozen_steps=step, steps=(self.steps or 0) - self.frozen_steps + step)


@dataclass(frozen=True)
class EvalOptions:
    """Options of ``cellscope histo eval``."""

    panel: ClassVar[str] = "Nuclei"

    views: int = option(
        2, "Test-time augmentation: number of rotated and mirrored views averaged; the time grows with it.", low=1,
        high=8,
    )  # fmt: skip
    probability_threshold: float | None = option(
        None, "Probability threshold of nucleus pixels; the model's if not given.", low=0.0, high=0.95, cli=False
    )
    edge: float | None = option(
        None,
        "Edge threshold for separating touching nuclei; lower separates more; the model's if not given.",
        low=0.01,
        cli=False,
    )
    min_score: float | None = option(
        None, "Minimum mean probability of a nucleus; the model's if not given.", low=0.0,
        high=1.0, cli=False,
    )  # fmt: skip
    min_area: int | None = option(
        None,
        "Minimum area of a nucleus, pixels at the model's scale; the model's if not given.",
        low=0,
        high=10000,
        cli=False,
    )

    def __post_init__(self) -> None:
        """Check ranges and choices."""
        check(self)


@dataclass(frozen=True)
class PredictOptions(EvalOptions, PlaneOptions):
    """Options of ``cellscope histo predict``."""

    panel: ClassVar[str] = "Nuclei"

    roi: Path | None = option(
        None,
        "GeoJSON file of regions, as exported by QuPath, or a folder with one file per image; only nuclei "
        "with their centroid inside are kept.",
    )
    tissue: bool = option(True, "Skip the parts of a slide without tissue.")
    labels: bool = option(True, "Write the label image of slides.")
    check_grid: bool = option(False, "Repeat on a shifted tile grid and report the difference (doubles the time).")
    review_below: float = option(0.5, "Mark nuclei for review whose score is below this value.", low=0.0, high=1.0)
    block: int = option(
        2048,
        "Tile size for large images, pixels at the model's scale.",
        low=64,
        high=16384,
        cli=False,
    )


@dataclass(frozen=True)
class MeasureOptions(OutlineOptions):
    """Options of ``cellscope histo measure``."""

    roi: Path | None = option(
        None,
        "GeoJSON file of regions, as exported by QuPath, or a folder with one file per image; only nuclei "
        "with their centroid inside are kept.",
    )
    review_below: float = option(0.5, "Mark nuclei for review whose score is below this value.", low=0.0, high=1.0)
