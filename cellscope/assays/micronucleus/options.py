"""Everything that can be set in the micronucleus assay, with units and ranges (no heavy import here)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from cellscope.assays.micronucleus.recipes import RECIPES
from cellscope.errors import UsageError
from cellscope.options.common import PrepareOptions
from cellscope.options.planes import PlaneOptions
from cellscope.options.recipes import Recipe
from cellscope.options.resolve import check, option
from cellscope.options.training import TrainingOptions


@dataclass(frozen=True)
class MicronucleusPrepareOptions(PrepareOptions, PlaneOptions):
    """Options of ``cellscope micronucleus prepare``."""

    panel: ClassVar[str] = "Micronucleus"

    recipe: Literal["plain", "paper"] = option(
        "plain",
        "Class balancing; paper: augmented copies of the minority class and downsampling of the majority "
        "class in training, augmented copies of both in validation, none in test.",
    )
    crop_size: int = option(224, "Size of the stored crops, pixels.", low=32, high=1024)
    images: str | None = option(
        None, "Folder of the images of a table of cells; that of the table if not given.", metavar="DIR"
    )
    nuclei: str | None = option(
        None, "Folder of label images of the nuclei for a table of cells, such as OUT of predict.", metavar="DIR"
    )
    binary: Literal["refuse", "split"] = option(
        "refuse", "Binary masks (0 and 255): refuse them, or split them into one nucleus per connected piece."
    )


@dataclass(frozen=True)
class TrainOptions(TrainingOptions):
    """Options of ``cellscope micronucleus train``."""

    panel: ClassVar[str] = "Training"
    recipes: ClassVar[Sequence[Recipe]] = RECIPES

    part: Literal["nuclei", "classify"] = option("classify", "Network to train.")
    arch: str | None = option(None, "Network architecture; that of the built-in model if not given.", metavar="NAME")
    preset: Literal["small", "paper"] = option(
        "small",
        "Training preset; paper: ImageNet weights, 50 epochs, batch size 64, 224 pixels, learning rate 1e-3, no "
        "further augmentation, balancing or losses.",
    )
    input_size: int | None = option(None, "classify: input size, pixels; a multiple of 32.", low=32, high=1024)
    crop: int = option(192, "nuclei: training crop size, pixels at the finder's scale.", low=32, high=2048, cli=False)
    zoom: float = option(0.25, "nuclei: range of the random scaling (natural log).", low=0.0, high=1.0, cli=False)
    finder: str | None = option(
        None,
        "classify: nucleus finder for the calibration on validation fields, the built-in one if not given; with "
        "--leave-out KEY, the run of the finder with the same --leave-out.",
        metavar="MODEL|RUN",
    )
    leave_out: str | None = option(
        None,
        "Leave-one-out: exclude the fields of a cell line, day, laboratory or source (line=RPE1) from training; a key "
        "alone (line) leaves each out in turn, then trains on all, calibrated on the left-out predictions.",
        metavar="KEY=VALUE|KEY",
    )
    learn_from: Literal["train", "all"] = option(
        "train", "Splits used for training; all: every split, for a final model with --thresholds-from."
    )
    thresholds_from: str | None = option(
        None, "Model file whose calibration and thresholds are copied.", metavar="MODEL"
    )
    pretrain_steps: int = option(0, "classify: number of initial steps on synthetic micronuclei only.", low=0)
    synthetic: float = option(
        0.0, "classify: fraction of the later training crops with a synthetic micronucleus.", low=0.0, high=0.9
    )
    where_weight: float = option(
        1.0, "classify: weight of the localisation loss of micronuclei (MobileViT only).",
        low=0.0, high=100.0, cli=False, recipe=True,
    )  # fmt: skip
    label_smoothing: float = option(0.02, "classify: label smoothing.", low=0.0, high=0.5, cli=False, recipe=True)
    augment: Literal["full", "none"] = option(
        "full", "classify: augmentation: pose, size, light and noise, or none.", cli=False, recipe=True
    )
    balance: bool = option(
        True,
        "classify: draw cell lines and classes by the square root of their number; without it every cell alike.",
        cli=False,
        recipe=True,
    )
    tone: Literal["curves", "plain", "imagenet"] = option(
        "curves",
        "classify: how a grey crop becomes three channels: three tone curves, one value repeated (plain), or that "
        "normalised as ImageNet (imagenet; always so for VGG, GoogLeNet, ResNet and others with --init imagenet); with "
        "--init MODEL that model's.",
        cli=False,
        recipe=True,
    )
    source_weights: str = option("", "Sampling weight of each cell line, such as RPE1=2,U2OS=1; others 1.", cli=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.preset == "paper" and self.part != "classify":
            raise UsageError("--preset paper is the paper's classifier; give --part classify")
        if self.input_size is not None and self.input_size % 32:
            raise UsageError(f"input_size: {self.input_size} is not a multiple of 32")


@dataclass(frozen=True)
class EvalOptions:
    """Options of ``cellscope micronucleus eval``."""

    panel: ClassVar[str] = "Micronucleus"

    specificity: float | None = option(
        None, "Choose the threshold for this specificity, such as 0.99.",
        low=0.5, high=0.9999,
    )  # fmt: skip
    threshold: float | None = option(
        None, "Probability threshold of micronucleated cells; the model's if not given.", low=0.0, high=1.0
    )
    nucleus_diameter: float | None = option(
        None, "Median nucleus diameter, pixels; estimated if not given.", low=4.0, high=1000.0, metavar="PX"
    )
    keep_border: bool = option(False, "Also score cells cut by the image border.")

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)
        if self.specificity is not None and self.threshold is not None:
            raise UsageError("--specificity and --threshold both decide what is positive; give one of them")


@dataclass(frozen=True)
class PredictOptions(EvalOptions, PlaneOptions):
    """Options of ``cellscope micronucleus predict``."""

    panel: ClassVar[str] = "Micronucleus"

    nuclei: str | None = option(
        None,
        "Label image of the nuclei from another tool, or a folder with one per field (same name, or with "
        ".labels, _labels, _mask or _cp_masks). Labels are kept.",
        metavar="MASK",
    )
    binary: Literal["refuse", "split"] = option(
        "refuse", "Binary masks (0 and 255) given with --nuclei: refuse them, or split them into connected pieces."
    )
    corrections: str | None = option(
        None, "CSV of corrected cells, saved from the gallery in report.html.", metavar="CSV"
    )
    control: str | None = option(
        None, "Group of --group-by that the others are compared with (Fisher's exact test, trend).", metavar="GROUP"
    )
    doses: str = option(
        "", "Dose or concentration of each group for the trend test, such as control=0,low=1,high=5; if not given, the "
        "numbers in their names.",
        metavar="GROUP=N,...",
    )  # fmt: skip
    gallery: int = option(60, "Maximum number of cells per field in the review gallery; 0 for none.", low=0, high=5000)
    corrected: dict[str, list[tuple[float, float, str]]] = field(init=False, default_factory=dict)
    """What ``corrections`` holds, read when the command starts: image -> (row, column, class)."""
    review_margin: float = option(
        0.2, "Mark cells for review whose probability is within this distance of the threshold.", low=0.0, high=0.5
    )

    def __post_init__(self) -> None:
        """Check what belongs together."""
        super().__post_init__()
        if self.doses and self.control is None:
            raise UsageError("--doses is for the comparison with a control: give --control GROUP too")


@dataclass(frozen=True)
class CalibrateOptions:
    """Options of ``cellscope micronucleus calibrate``."""

    panel: ClassVar[str] = "Calibration"

    model: str | None = option(
        None, "Classifier to calibrate: a model file or a built-in model; the built-in one if not given.",
        metavar="MODEL", short="-m",
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)


@dataclass(frozen=True)
class AuditOptions:
    """Options of ``cellscope micronucleus audit``."""

    panel: ClassVar[str] = "Audit"

    cells: int = option(200, "Number of cells to draw, half of them from those called positive.", low=2, high=5000)
    scores: str | None = option(
        None, "Scores of the drawn cells (audit-scores.csv, or audit.csv filled in), to estimate error rates from.",
        metavar="CSV",
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)


@dataclass(frozen=True)
class DoseOptions:
    """Options of ``cellscope micronucleus dose``."""

    panel: ClassVar[str] = "Dose"

    model: Literal["linear-quadratic", "linear"] | None = option(
        None,
        "Dose-response model: C + alpha D + beta D^2, or without the last term; that of a stored curve, or "
        "linear-quadratic, if not given.",
    )
    counts: str | None = option(
        None, "Counts to estimate doses for: a CSV with columns cells and micronuclei (optional: name), or OUT of "
        "predict.",
        metavar="CSV|OUT",
    )  # fmt: skip
    cells: int | None = option(None, "Count to estimate a dose for: number of cells scored.", low=1)
    micronuclei: int | None = option(None, "Count to estimate a dose for: number of micronuclei.", low=0)
    case_dispersion: Literal["none", "iaea", "biodose-tools"] = option(
        "none", "Widen intervals by how micronuclei are spread over the cells of a case (--counts): no; by the u "
        "test, as the IAEA's manual does; or as Biodose Tools does.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Check that a count is whole."""
        check(self)
        if self.case_dispersion != "none" and self.counts is None:
            raise UsageError(
                "--case-dispersion needs --counts: a table with cells_0, cells_1, ... or OUT of predict; --cells and "
                "--micronuclei do not tell how micronuclei are spread over cells"
            )
        if (self.cells is None) != (self.micronuclei is None):
            raise UsageError("--cells and --micronuclei belong together; give both")
