"""Everything that can be set in the karyotype assay, with units and ranges (no heavy import here)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from cellscope.assays.karyotype.recipes import PRESETS, RECIPES
from cellscope.errors import UsageError
from cellscope.options.common import OutputOptions, PrepareOptions
from cellscope.options.planes import PlaneOptions
from cellscope.options.recipes import Recipe
from cellscope.options.resolve import check, option
from cellscope.options.training import TrainingOptions


@dataclass(frozen=True)
class KaryotypePrepareOptions(PrepareOptions, PlaneOptions):
    """Options of ``cellscope karyotype prepare``."""

    panel: ClassVar[str] = "Karyotype"


@dataclass(frozen=True)
class TrainOptions(TrainingOptions):
    """Options of ``cellscope karyotype train``."""

    panel: ClassVar[str] = "Training"
    recipes: ClassVar[Sequence[Recipe]] = RECIPES

    preset: str = option("none", "Training preset; single options override it.", choices=("none", *PRESETS))
    part: Literal["detect", "classify"] = option("detect", "Network to train.", recipe=True)
    arch: str | None = option(None, "Network architecture; that of the built-in model if not given.", metavar="NAME")
    backend: Literal["native", "detectron2"] = option(
        "native", "detect: backend; detectron2 must be installed separately."
    )
    crop: int = option(
        320,
        "detect: training crop size, pixels at the detector's scale.",
        low=64,
        high=2048,
        cli=False,
        recipe=True,
    )
    scale_low: float = option(0.75, "detect: minimum of the random scaling.", low=0.1, high=1.0, cli=False)
    scale_high: float = option(1.4, "detect: maximum of the random scaling.", low=1.0, high=10.0, cli=False)
    paste: bool = option(True, "detect: copy-paste augmentation with chromosomes of other metaphases.", cli=False)
    box_masks: str = option(
        "",
        "Model that predicts masks inside the boxes of images annotated with boxes only, such as karyotype-detect; "
        "without it these images are rotated by multiples of 90 degrees only (detect), and their overlapping "
        "chromosomes left out (classify).",
        cli=False,
    )
    square: int = option(
        0, "detect: resize whole images to a square of this size instead of cropping (256 in the paper); 0 "
        "crops.",
        low=0, high=2048, cli=False, recipe=True
    )  # fmt: skip
    flip: float = option(0.5, "detect: flip probability, with square.", low=0.0, high=1.0, cli=False, recipe=True)
    frozen_norm: bool = option(
        False,
        "detect: freeze the batch normalisation of the backbone, as detectron2 does.",
        cli=False,
        recipe=True,
    )
    conventions: Literal["torchvision", "detectron2"] = option(
        "torchvision",
        "detect: numbers and details of the network: ours on torchvision, or detectron2's own (sampling, proposals, "
        "suppression, pooling, losses, frozen first layers).",
        cli=False,
        recipe=True,
    )
    val_limit: int = option(
        40, "detect: number of metaphases per validation; 0 for all.", low=0, cli=False, recipe=True
    )
    source_weights: str = option(
        "", "Sampling weight of each source, such as bioimlab=2,adir_mfish=1; others 1.", cli=False
    )
    from_metaphases: bool = option(
        True, "classify: also train on chromosomes cut out of metaphases.", cli=False, recipe=True
    )
    centre_reduction: Literal["mean", "sum"] = option(
        "mean",
        "classify: centre loss as the mean over features and batch, or the sum of the paper's equation 3.",
        cli=False,
        recipe=True,
    )
    centre_loss: float = option(
        0.0, "classify: weight of the centre loss (0.5 in the paper).", low=0.0, high=10.0, recipe=True
    )
    rotate: Literal["straighten", "moments", "hough", "none"] = option(
        "straighten",
        "classify: how chromosomes are turned upright: straightened along the midline, by the long axis of "
        "the mask (moments), by Hough lines (the paper's Algorithm 1), or not.",
        cli=False,
        recipe=True,
    )
    view: tuple[int, int] = option(
        (128, 64),
        "classify: input height and width, pixels.",
        low=32,
        high=1024,
        cli=False,
        recipe=True,
    )
    vary: Literal["full", "flips"] = option(
        "full",
        "classify: augmentation: pose, shape and intensity, or only flips, as in the paper.",
        cli=False,
        recipe=True,
    )
    cache: Path | None = option(
        None, "classify: cache folder for chromosomes cut out of metaphases.",
        metavar="FOLDER", cli=False,
    )  # fmt: skip
    label_smoothing: float = option(0.05, "classify: label smoothing.", low=0.0, high=0.5, cli=False, recipe=True)
    polarity_weight: float = option(
        0.3, "classify: weight of the orientation loss (short arm up or down).", low=0.0, cli=False, recipe=True
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
        "The full config.yaml that detectron2 wrote beside the checkpoint; detectron2's defaults if not given.",
    )
    classes: list[str] = option(
        [], "Class names in the order of the checkpoint; chromosome for a single class.", metavar="NAME,..."
    )
    keep_above: float = option(0.5, "Score threshold of predict.", low=0.0, high=1.0, cli=False)
    half: bool = option(False, "Store the weights as float16.", cli=False)


@dataclass(frozen=True)
class DrawOptions:
    """What ``predict`` and ``render`` have in common: how a cell is judged and drawn."""

    panel: ClassVar[str] = "Karyotype"

    review_below: float = option(
        0.8, "Mark chromosomes for review whose class probability is below this value.", low=0.0, high=1.0
    )
    karyogram: Literal["png", "svg", "pdf"] = option(
        "png", "Format of the karyogram; svg and pdf are written in addition to png."
    )
    ideograms: bool = option(False, "Draw ideograms beside the chromosomes.")

    def __post_init__(self) -> None:
        """Check ranges and choices."""
        check(self)


@dataclass(frozen=True)
class RenderOptions(DrawOptions, PlaneOptions):
    """Options of ``cellscope karyotype render``."""

    panel: ClassVar[str] = "Render"

    images: str | None = option(
        None,
        "Folder of the images, or the image, if they were moved after predict.",
        metavar="PATH",
    )


@dataclass(frozen=True)
class EvalOptions:
    """Options of ``cellscope karyotype eval``."""

    panel: ClassVar[str] = "Karyotype"

    score_threshold: float | None = option(
        None, "Score threshold of the detector; the model's tuned value if not given.", low=0.0, high=1.0, tuned=True
    )
    mask_threshold: float = option(0.5, "Probability threshold of the masks.", low=0.05, high=0.95, cli=False)
    no_assignment: bool = option(
        False, "Classify each chromosome on its own, without the assignment over the whole cell."
    )
    aneuploidy_cost: float = option(
        3.0, "Cost (natural log odds) of one missing or extra autosome in the assignment.", low=0.0, high=50.0
    )
    rotate: Literal["auto", "straighten", "moments", "hough", "none"] = option(
        "auto", "How chromosomes are turned upright; auto follows the training of the classifier.", cli=False
    )
    backend: Literal["native", "detectron2"] = option(
        "native", "Detector backend; detectron2 must be installed and the model imported from it."
    )
    polarity: Literal["auto", "bright", "dark"] = option(
        "auto", "Chromosomes brighter or darker than the background; auto detects it."
    )

    def __post_init__(self) -> None:
        """Check ranges and choices."""
        check(self)


@dataclass(frozen=True)
class PredictOptions(EvalOptions, DrawOptions, PlaneOptions):
    """Options of ``cellscope karyotype predict``."""

    panel: ClassVar[str] = "Karyotype"

    best: int | None = option(
        None,
        "Keep the N metaphases of the highest quality, of all or of each group of --group-by; others get a row only.",
        low=1,
        metavar="N",
    )
    explain: bool = option(False, "Write <stem>.explain.png: Grad-CAM heat maps of the classifier.")
    save_chromosomes: bool = option(
        False, "Write every chromosome of a metaphase as two images in <stem>.chromosomes: as cut, and turned upright."
    )
