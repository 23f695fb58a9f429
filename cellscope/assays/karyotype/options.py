"""Everything that can be set in the karyotype assay, with units and ranges (no heavy import here)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from cellscope.options.common import OutputOptions
from cellscope.options.resolve import check, option
from cellscope.options.training import TrainingOptions

#: What the options left open come to, per part.
PART_DEFAULTS: dict[str, dict[str, Any]] = {
    "detect": {"arch": "chrrender-18s", "steps": 1500, "batch_size": 4, "learning_rate": 5e-4, "weight_decay": 1e-4},
    "classify": {"arch": "chrnet4-slim", "steps": 4000, "batch_size": 32, "learning_rate": 1e-3, "weight_decay": 0.02},
}


@dataclass(frozen=True)
class TrainOptions(TrainingOptions):
    """Options of ``cellscope karyotype train``."""

    panel: ClassVar[str] = "Training"

    part: Literal["detect", "classify"] = option("detect", "Which network to train.")
    arch: str | None = option(None, "Architecture; the part's small built-in one when not given.", metavar="NAME")
    backend: Literal["native", "detectron2"] = option(
        "native", "detect: who computes; detectron2 where it is installed. The files are the same."
    )
    crop: int = option(
        320, "detect: side of a training crop, pixels at the detector's scale.", low=64, high=2048, cli=False
    )
    scale_low: float = option(
        0.75, "detect: smallest random scale around the canonical one.", low=0.1, high=1.0, cli=False
    )
    scale_high: float = option(1.4, "detect: largest random scale.", low=1.0, high=10.0, cli=False)
    paste: bool = option(
        True, "detect: paste chromosomes of other metaphases into crops, so that they overlap.", cli=False
    )
    box_masks: str = option(
        "",
        "detect: model that draws masks into the boxes of images that have no others (karyotype-detect); with none, "
        "such images turn by quarter turns alone.",
        cli=False,
    )
    square: int = option(
        0, "detect: resize whole images to a square of this side instead of cropping (the paper: 256); 0 crops.",
        low=0, high=2048, cli=False,
    )  # fmt: skip
    flip: float = option(0.5, "detect: probability of a flip of such a square.", low=0.0, high=1.0, cli=False)
    frozen_norm: bool = option(
        False, "detect: keep the backbone's batch normalisation as pretrained, as detectron2 does.", cli=False
    )
    val_limit: int = option(40, "detect: metaphases per validation, spread evenly; 0 takes all.", low=0, cli=False)
    source_weights: str = option(
        "", "How often each source is drawn, e.g. bioimlab=2,adir_mfish=1; others 1.", cli=False
    )
    centre_loss: float = option(
        0.0, "classify: weight alpha of the centre loss (the paper's is 0.5).", low=0.0, high=10.0
    )
    rotate: Literal["straighten", "moments", "hough", "none"] = option(
        "straighten",
        "classify: straighten, then rotate and crop by the mask's long axis; or the latter alone; or by the paper's "
        "Algorithm 1; or not at all.",
        cli=False,
    )
    view: tuple[int, int] = option(
        (128, 64), "classify: height and width of what the network sees, pixels.", low=32, high=1024, cli=False
    )
    vary: Literal["full", "flips"] = option(
        "full", "classify: vary pose, shape and tone, or only flip, as in the paper.", cli=False
    )
    cache: Path | None = option(
        None, "classify: folder that keeps the chromosomes cut out of metaphases for the next training.",
        metavar="FOLDER", cli=False,
    )  # fmt: skip
    label_smoothing: float = option(0.05, "classify: label smoothing.", low=0.0, high=0.5, cli=False)
    polarity_weight: float = option(
        0.3, "classify: weight of the loss that learns which arm is up.", low=0.0, cli=False
    )

    def settled(self) -> TrainOptions:
        """Fill what was left open with the part's defaults."""
        defaults = PART_DEFAULTS[self.part]
        filled = replace(self, **{name: value for name, value in defaults.items() if getattr(self, name) is None})
        return filled.checked().paced(workers=1, validations=5)


@dataclass(frozen=True)
class ImportOptions(OutputOptions):
    """Options of ``cellscope karyotype import-detectron2``."""

    panel: ClassVar[str] = "Import"

    configuration: Path | None = option(
        None,
        "The full config.yaml that detectron2 wrote beside the checkpoint: sizes, thresholds, pixel normalisation; "
        "its defaults when not given.",
    )
    classes: list[str] = option(
        [], "Names of the classes, in the checkpoint's order; chromosome for one class.", metavar="NAME,..."
    )
    keep_above: float = option(0.5, "Confidence above which predict keeps a chromosome.", low=0.0, high=1.0, cli=False)
    half: bool = option(False, "Store the model's numbers as float16.", cli=False)


@dataclass(frozen=True)
class DrawOptions:
    """What ``predict`` and ``render`` have in common: how a cell is judged and drawn."""

    panel: ClassVar[str] = "Karyotype"

    review_below: float = option(
        0.8, "Mark chromosomes whose class is less certain than this for review.", low=0.0, high=1.0
    )
    karyogram: Literal["png", "svg", "pdf"] = option(
        "png", "Draw the karyogram as SVG or PDF too, beside the PNG at 300 dpi."
    )
    ideograms: bool = option(False, "Draw ideograms beside the chromosomes of the karyogram.")

    def __post_init__(self) -> None:
        """Check ranges and choices."""
        check(self)


@dataclass(frozen=True)
class RenderOptions(DrawOptions):
    """Options of ``cellscope karyotype render``."""

    panel: ClassVar[str] = "Render"

    images: str | None = option(
        None,
        "Folder that holds the images, or the image itself, when they are no longer where predict read them.",
        metavar="PATH",
    )


@dataclass(frozen=True)
class EvalOptions:
    """Options of ``cellscope karyotype eval``."""

    panel: ClassVar[str] = "Karyotype"

    score_threshold: float | None = option(
        None, "Least confidence of a chromosome; the model's tuned value when not given.", low=0.0, high=1.0
    )
    mask_threshold: float = option(
        0.5, "Mask probability above which a pixel belongs to a chromosome.", low=0.05, high=0.95, cli=False
    )
    no_assignment: bool = option(
        False, "Give each chromosome its most probable class, without looking at the whole cell."
    )
    aneuploidy_cost: float = option(
        3.0, "Evidence (natural log odds) it takes to depart from two of each autosome by one.", low=0.0, high=50.0
    )
    rotate: Literal["auto", "straighten", "moments", "hough", "none"] = option(
        "auto", "How chromosomes are turned upright; auto does what the classifier was trained with.", cli=False
    )
    backend: Literal["native", "detectron2"] = option(
        "native", "Who computes the detector; detectron2 where it is installed and the model came from it."
    )
    polarity: Literal["auto", "bright", "dark"] = option("auto", "What chromosomes are, seen against the background.")

    def __post_init__(self) -> None:
        """Check ranges and choices."""
        check(self)


@dataclass(frozen=True)
class PredictOptions(EvalOptions, DrawOptions):
    """Options of ``cellscope karyotype predict``."""

    panel: ClassVar[str] = "Karyotype"

    explain: bool = option(
        False, "Write <stem>.explain.png: where the classifier looked at each chromosome (Grad-CAM)."
    )
