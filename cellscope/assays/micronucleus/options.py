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
        "paper: in training add turned, flipped and scaled copies of the rarer class and drop some of the other; "
        "validation gets such copies of both, the test split is left alone.",
    )
    hold_out: str = option("", "Cell lines (source names, comma between) that go to the test split whole.")
    crop_size: int = option(224, "Side of a stored crop, pixels.", low=32, high=1024)
    images: str | None = option(
        None, "Where the images of a table of cells lie; the table's folder when not given.", metavar="DIR"
    )
    nuclei: str | None = option(
        None, "Nuclei for a table of cells: a folder of label images, such as OUT of predict.", metavar="DIR"
    )
    binary: Literal["refuse", "split"] = option(
        "refuse", "What to do with masks of foreground and background (0 and 255): make each connected piece a nucleus?"
    )


@dataclass(frozen=True)
class TrainOptions(TrainingOptions):
    """Options of ``cellscope micronucleus train``."""

    panel: ClassVar[str] = "Training"
    recipes: ClassVar[Sequence[Recipe]] = RECIPES

    part: Literal["nuclei", "classify"] = option("classify", "Which network to train.")
    arch: str | None = option(None, "Architecture; the part's small built-in one when not given.", metavar="NAME")
    preset: Literal["small", "paper"] = option(
        "small", "paper: classify as the paper does, 50 epochs of batches of 64 at 224 pixels, learning rate 1e-3."
    )
    input_size: int | None = option(
        None, "classify: side of the network's input, pixels; a multiple of 32.", low=32, high=1024
    )
    crop: int = option(
        192, "nuclei: side of a training crop, pixels at the finder's scale.", low=32, high=2048, cli=False
    )
    zoom: float = option(0.25, "nuclei: spread (natural log) of the random scale.", low=0.0, high=1.0, cli=False)
    finder: str | None = option(
        None, "classify: nucleus finder to calibrate with on the validation fields; built-in if there is one.",
        metavar="MODEL",
    )  # fmt: skip
    learn_from: Literal["train", "all"] = option(
        "train", "all: learn from every split, for a last model whose thresholds come from --thresholds-from."
    )
    thresholds_from: str | None = option(
        None, "Model file whose calibration and thresholds the new one takes over, same recipe.", metavar="MODEL"
    )
    pretrain_steps: int = option(
        0, "classify: of all steps, how many first ones see synthetic micronuclei only (on nuclei without any).", low=0
    )
    synthetic: float = option(
        0.0, "classify: share of the later training items that get a synthetic micronucleus.", low=0.0, high=0.9
    )
    where_weight: float = option(
        1.0, "classify: weight of the loss that says where in the crop micronuclei lie (MobileViT only).",
        low=0.0, high=100.0, cli=False,
    )  # fmt: skip
    label_smoothing: float = option(0.02, "classify: label smoothing.", low=0.0, high=0.5, cli=False)
    source_weights: str = option("", "How often each cell line is drawn, e.g. RPE1=2,U2OS=1; others 1.", cli=False)

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
        None, "Call a cell positive so rarely that this share of normal cells stays normal, e.g. 0.99.",
        low=0.5, high=0.9999,
    )  # fmt: skip
    threshold: float | None = option(
        None, "Probability from which a cell counts as micronucleated, in place of the model's.", low=0.0, high=1.0
    )
    nucleus_diameter: float | None = option(
        None, "Median diameter of a nucleus, pixels; estimated when not given.", low=4.0, high=1000.0, metavar="PX"
    )
    keep_border: bool = option(False, "Count cells that the edge of the field cuts off as scorable.")

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
        "Label images of the nuclei from another tool: one file, or a folder with one per field (same name, or with "
        ".labels, _labels, _mask or _cp_masks). Their ids are kept.",
        metavar="MASK",
    )
    binary: Literal["refuse", "split"] = option(
        "refuse", "What to do with --nuclei of foreground and background (0 and 255): make each connected piece one?"
    )
    corrections: str | None = option(
        None, "CSV of corrected cells from the review gallery of report.html.", metavar="CSV"
    )
    gallery: int = option(60, "Cells shown at most per field in the review gallery; 0 for none.", low=0, high=5000)
    corrected: dict[str, list[tuple[float, float, str]]] = field(init=False, default_factory=dict)
    """What ``corrections`` holds, read when the command starts: image -> (row, column, class)."""
    review_margin: float = option(
        0.2, "Mark cells whose probability is this near the threshold for review.", low=0.0, high=0.5
    )


@dataclass(frozen=True)
class DoseOptions:
    """Options of ``cellscope micronucleus dose``."""

    panel: ClassVar[str] = "Dose"

    model: Literal["linear-quadratic", "linear"] = option(
        "linear-quadratic", "Shape of the curve: C + alpha D + beta D^2, or without the last term."
    )
    counts: str | None = option(
        None, "New counts: a CSV with cells and micronuclei (name and more if you like), or OUT of predict.",
        metavar="CSV|OUT",
    )  # fmt: skip
    cells: int | None = option(None, "New count: cells scored.", low=1)
    micronuclei: int | None = option(None, "New count: micronuclei in them.", low=0)

    def __post_init__(self) -> None:
        """Check that a count is whole."""
        check(self)
        if (self.cells is None) != (self.micronuclei is None):
            raise UsageError("--cells and --micronuclei belong together; give both")
