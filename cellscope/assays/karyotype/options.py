"""Everything that can be set in the karyotype assay, with units and ranges (no heavy import here)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from cellscope.assays.karyotype.recipes import PRESETS, RECIPES
from cellscope.errors import UsageError
from cellscope.options.common import OutputOptions
from cellscope.options.planes import PlaneOptions
from cellscope.options.recipes import Recipe
from cellscope.options.resolve import check, option
from cellscope.options.training import TrainingOptions


@dataclass(frozen=True)
class TrainOptions(TrainingOptions):
    """Options of ``cellscope karyotype train``."""

    panel: ClassVar[str] = "Training"
    recipes: ClassVar[Sequence[Recipe]] = RECIPES

    preset: str = option(
        "none", "A recipe by its name instead of the default one; flags win over it.", choices=("none", *PRESETS)
    )
    part: Literal["detect", "classify"] = option("detect", "Which network to train.", recipe=True)
    arch: str | None = option(None, "Architecture; the part's small built-in one when not given.", metavar="NAME")
    backend: Literal["native", "detectron2"] = option(
        "native", "detect: who computes; detectron2 where it is installed. The files are the same."
    )
    crop: int = option(
        320,
        "detect: side of a training crop, pixels at the detector's scale.",
        low=64,
        high=2048,
        cli=False,
        recipe=True,
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
        low=0, high=2048, cli=False, recipe=True
    )  # fmt: skip
    flip: float = option(
        0.5, "detect: probability of a flip of such a square.", low=0.0, high=1.0, cli=False, recipe=True
    )
    frozen_norm: bool = option(
        False,
        "detect: keep the backbone's batch normalisation as pretrained, as detectron2 does.",
        cli=False,
        recipe=True,
    )
    val_limit: int = option(
        40, "detect: metaphases per validation, spread evenly; 0 takes all.", low=0, cli=False, recipe=True
    )
    source_weights: str = option(
        "", "How often each source is drawn, e.g. bioimlab=2,adir_mfish=1; others 1.", cli=False
    )
    centre_loss: float = option(
        0.0, "classify: weight alpha of the centre loss (the paper's is 0.5).", low=0.0, high=10.0, recipe=True
    )
    rotate: Literal["straighten", "moments", "hough", "none"] = option(
        "straighten",
        "classify: straighten, then rotate and crop by the mask's long axis; or the latter alone; or by the paper's "
        "Algorithm 1; or not at all.",
        cli=False,
        recipe=True,
    )
    view: tuple[int, int] = option(
        (128, 64),
        "classify: height and width of what the network sees, pixels.",
        low=32,
        high=1024,
        cli=False,
        recipe=True,
    )
    vary: Literal["full", "flips"] = option(
        "full", "classify: vary pose, shape and tone, or only flip, as in the paper.", cli=False, recipe=True
    )
    cache: Path | None = option(
        None, "classify: folder that keeps the chromosomes cut out of metaphases for the next training.",
        metavar="FOLDER", cli=False,
    )  # fmt: skip
    label_smoothing: float = option(0.05, "classify: label smoothing.", low=0.0, high=0.5, cli=False, recipe=True)
    polarity_weight: float = option(
        0.3, "classify: weight of the loss that learns which arm is up.", low=0.0, cli=False, recipe=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        part = PRESETS[self.preset].values["part"] if self.preset != "none" else self.part
        if part != self.part:
            raise UsageError(f"--preset {self.preset} is for --part {part}; leave --part out")


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
        None, "Least confidence of a chromosome; the model's tuned value when not given.", low=0.0, high=1.0, tuned=True
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
class PredictOptions(EvalOptions, DrawOptions, PlaneOptions):
    """Options of ``cellscope karyotype predict``."""

    panel: ClassVar[str] = "Karyotype"

    explain: bool = option(
        False, "Write <stem>.explain.png: where the classifier looked at each chromosome (Grad-CAM)."
    )
