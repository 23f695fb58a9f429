"""Everything that can be set in the micronucleus assay, with units and ranges (no heavy import here)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from cellscope.errors import UsageError
from cellscope.options.common import PrepareOptions
from cellscope.options.resolve import check, option
from cellscope.options.training import TrainingOptions

#: What the options left open come to, per part.
PART_DEFAULTS: dict[str, dict[str, Any]] = {
    "nuclei": {"arch": "unet-s", "steps": 900, "batch_size": 6, "learning_rate": 3e-3, "weight_decay": 1e-4},
    "classify": {
        "arch": "mobilevit-mn", "steps": 1200, "batch_size": 32, "learning_rate": 2e-3, "weight_decay": 0.02,
        "input_size": 96,
    },
}  # fmt: skip

#: The paper's schedule (section Experimental setup) for what the user leaves open.
PAPER: dict[str, Any] = {"epochs": 50, "batch_size": 64, "learning_rate": 1e-3, "input_size": 224}


@dataclass(frozen=True)
class MicronucleusPrepareOptions(PrepareOptions):
    """Options of ``cellscope micronucleus prepare``."""

    panel: ClassVar[str] = "Micronucleus"

    recipe: Literal["plain", "paper"] = option(
        "plain",
        "paper: in training add turned, flipped and scaled copies of the rarer class and drop some of the other; "
        "validation gets such copies of both, the test split is left alone.",
    )
    hold_out: str = option("", "Cell lines (source names, comma between) that go to the test split whole.")
    crop_size: int = option(224, "Side of a stored crop, pixels.", low=32, high=1024)
    channel: int | None = option(None, "Which channel shows the DNA, from 0; needed where there are several.", low=0)
    images: str | None = option(
        None, "Where the images of a table of cells lie; the table's folder when not given.", metavar="DIR"
    )
    nuclei: str | None = option(
        None, "Nuclei for a table of cells: a folder of label images, such as OUT of predict.", metavar="DIR"
    )


@dataclass(frozen=True)
class TrainOptions(TrainingOptions):
    """Options of ``cellscope micronucleus train``."""

    panel: ClassVar[str] = "Training"

    part: Literal["nuclei", "classify"] = option("classify", "Which network to train.")
    arch: str | None = option(None, "Architecture; the part's small built-in one when not given.", metavar="NAME")
    preset: Literal["small", "paper"] = option(
        "small", "paper: classify as the paper does, 50 epochs of batches of 64 at 224 pixels, learning rate 1e-3."
    )
    epochs: int | None = option(None, "Passes over the training items, in place of --steps.", low=1)
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

    def settled(self) -> TrainOptions:
        """Fill what was left open with the preset's and then the part's defaults."""
        defaults = dict(PART_DEFAULTS[self.part])
        if self.preset == "paper":
            if self.part != "classify":
                raise UsageError("--preset paper is the paper's classifier; give --part classify")
            defaults |= PAPER if self.steps is None else {k: v for k, v in PAPER.items() if k != "epochs"}
        filled = replace(self, **{name: value for name, value in defaults.items() if getattr(self, name) is None})
        if filled.input_size is not None and filled.input_size % 32:
            raise UsageError(f"input_size: {filled.input_size} is not a multiple of 32")
        filled.checked()
        return replace(filled, num_workers=0) if filled.num_workers is None else filled

    def with_steps(self, n_items: int) -> TrainOptions:
        """Turn epochs into steps for a number of training items; decide how often to validate."""
        steps = self.steps
        if self.epochs is not None:
            steps = self.epochs * -(-n_items // (self.batch_size or 1))
        assert steps is not None
        return replace(self, steps=steps, val_every=self.val_every or max(steps // 5, 1))


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
class PredictOptions(EvalOptions):
    """Options of ``cellscope micronucleus predict``."""

    panel: ClassVar[str] = "Micronucleus"

    channel: int | None = option(None, "Which channel shows the DNA, from 0; needed where there are several.", low=0)
    nuclei: str | None = option(
        None,
        "Label images of the nuclei from another tool: one file, or a folder with one per field (same name, or with "
        ".labels, _labels, _mask or _cp_masks). Their ids are kept.",
        metavar="MASK",
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
