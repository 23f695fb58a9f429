"""Everything that can be set in the histo assay, with units and ranges (no heavy import here)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from cellscope.options.common import PrepareOptions
from cellscope.options.resolve import check, fill, option
from cellscope.options.training import TrainingOptions


@dataclass(frozen=True)
class HistoPrepareOptions(PrepareOptions):
    """Options of ``cellscope histo prepare``."""

    panel: ClassVar[str] = "Histo"

    types: Literal["hovernet", "paper", "all"] = option(
        "hovernet",
        "How CoNSeP's seven types are merged: hovernet to 4 (one epithelial type), paper to 5 (normal and malignant "
        "epithelium apart), all keeps 7.",
    )
    classes: tuple[str, ...] = option(
        (), "The types of a laboratory's own tables, in the order of their numbers 1, 2, ...", metavar="A,B,..."
    )
    pixel_size: float | None = option(
        None,
        "What a source pixel measures, micrometres, in place of what its files say; 0.25 where nothing is known.",
        low=0.05,
        high=4.0,
        metavar="UM",
    )
    pieces: Literal["refuse", "split"] = option(
        "refuse", "What to do with an instance number that lies in several distant pieces: make each a nucleus?"
    )
    binary: Literal["refuse", "split"] = option(
        "refuse", "What to do with masks of foreground and background (0 and 255): make each connected piece a nucleus?"
    )


#: What the options left open come to by the default recipe, measured stronger on the small network.
DEFAULTS: dict[str, Any] = {
    "arch": "histonext-atto",
    "steps": 3600,
    "batch_size": 8,
    "learning_rate": 1.5e-3,
    "weight_decay": 0.02,
    "warmup_steps": 200,
}
#: The paper's training: two phases, Adam at 1e-4, falling to a tenth every 25 epochs in each; its final configuration.
PAPER: dict[str, Any] = {
    "arch": "histonext-tiny",
    "init": "imagenet",
    "optimiser": "adam",
    "learning_rate": 1e-4,
    "weight_decay": 0.0,
    "schedule": "step",
    "warmup_steps": 0,
    "frozen_epochs": 50.0,
    "epochs": 50.0,
    "frozen_batch_size": 64,
    "batch_size": 16,
    "augment": "full",
    "np_loss": "asym",
    "tp_loss": "focal",
    "tp_weight": 1.0,
    "ema": 0.0,
    "patience": 4,
    "drop_path": 0.0,
}
#: Epochs between drops of the learning rate and between validations (paper, "Training strategy").
STEP_EPOCHS, VAL_EPOCHS = 25, 5


@dataclass(frozen=True)
class TrainOptions(TrainingOptions):
    """Options of ``cellscope histo train``."""

    panel: ClassVar[str] = "Training"

    part: Literal["nuclei"] = option("nuclei", "Which network to train; there is one.")
    arch: str | None = option(
        None, "Architecture: histonext-atto (built in), -pico, or the paper's -tiny, -base, -large, -xlarge.",
        metavar="NAME",
    )  # fmt: skip
    preset: Literal["none", "paper"] = option("none", "Train as the paper says instead of by the default recipe.")
    frozen_steps: int = option(
        0, "Steps of the first phase, in which a pretrained encoder stays as it is.", low=0, cli=False
    )
    frozen_batch_size: int = option(0, "Windows per step in the first phase; 0 for as many as later.", low=0, cli=False)
    epochs: float | None = option(
        None, "Passes over the training windows after the first phase, in place of --steps.", low=0.001, high=1e5,
        cli=False,
    )  # fmt: skip
    frozen_epochs: float = option(0.0, "The same for the first phase.", low=0.0, high=1e5, cli=False)
    learn_from: Literal["train", "train+val"] = option(
        "train", "Splits to learn from; train+val keeps the last weights, untuned, since nothing is left to judge by.",
        cli=False,
    )  # fmt: skip
    core: int = option(
        192,
        "Side of what is learnt from in a window, pixels; the network adds its margin.",
        low=32,
        high=1024,
        cli=False,
    )
    margin: int = option(
        32, "Context around that on each side; less than in prediction saves time.", low=16, high=256, cli=False
    )
    augment: Literal["baseline", "basic", "moderate", "strong", "full", "wide"] = option(
        "wide", "Changes of the windows: the levels of the paper's Table 1, or wider ones.", cli=False
    )
    sampling: Literal["none", "uniform", "type-aware"] = option(
        "type-aware", "How windows are drawn by the type that fills them most (Table 3).", cli=False
    )
    source_weights: str = option(
        "", "How often each source is drawn, beside its size: consep=2,mine=0.5; others 1.", cli=False
    )
    np_loss: Literal["bce+dice", "asym+dice", "asym"] = option(
        "bce+dice", "Loss of the nucleus branch (Table 2).", cli=False
    )
    tp_loss: Literal["bce+dice", "focal+dice", "focal"] = option(
        "bce+dice", "Loss of the type branch (Table 2).", cli=False
    )
    gamma_positive: float = option(
        1.0, "asym: focus on nucleus pixels; 1 in the paper's final configuration, 0.5 in its equation.", low=0.0,
        high=10.0, cli=False,
    )  # fmt: skip
    gamma_negative: float = option(4.0, "asym: focus on background pixels.", low=0.0, high=10.0, cli=False)
    focal_gamma: float = option(2.0, "focal: focus on pixels that are hard.", low=0.0, high=10.0, cli=False)
    hv_weight: float = option(1.0, "Weight of both losses of the distance branch.", low=0.0, high=100.0, cli=False)
    tp_weight: float = option(2.0, "Weight of the loss of the type branch.", low=0.0, high=100.0, cli=False)
    drop_path: float = option(0.05, "Share of the encoder's blocks skipped at random.", low=0.0, high=0.9, cli=False)
    ema: float = option(
        0.998, "Decay per step of the averaged weights that are validated and kept; 0 for none.", low=0.0, high=1.0,
        cli=False,
    )  # fmt: skip

    def settled(self, n_windows: int = 0) -> TrainOptions:
        """Fill what was left open, from the preset or the default recipe.

        Parameters
        ----------
        n_windows : int
            Places that windows are drawn from, for epochs.
        """
        chosen = DEFAULTS if self.preset == "none" else PAPER
        filled = fill(self, chosen)
        batch = filled.batch_size or 1
        first = filled.frozen_batch_size or batch
        places = max(n_windows, 1)
        if filled.schedule == "step":
            filled = fill(filled, {"step_every": max(round(STEP_EPOCHS * places / batch), 1)})
        frozen = filled.frozen_steps or round(filled.frozen_epochs * places / first)
        steps = filled.steps
        if steps is None:
            steps = frozen + max(round((filled.epochs or 50) * places / batch), 1)
        filled = replace(filled, frozen_steps=min(frozen, steps), steps=steps)
        if filled.num_workers is None:
            filled = replace(filled, num_workers=0)
        if filled.val_every is None:
            often = VAL_EPOCHS * places / batch if filled.preset == "paper" else steps / 6
            filled = replace(filled, val_every=max(min(round(often), steps), 1))
        return filled


@dataclass(frozen=True)
class EvalOptions:
    """Options of ``cellscope histo eval``."""

    panel: ClassVar[str] = "Nuclei"

    views: int = option(
        2, "Look at every tile from so many sides and average: better outlines for as many times the time.", low=1,
        high=8,
    )  # fmt: skip
    probability_threshold: float | None = option(
        None, "Probability above which a pixel is nucleus; none takes the model's.", low=0.0, high=0.95, cli=False
    )
    edge: float | None = option(
        None, "How sharply touching nuclei part; lower separates more, none takes the model's.", low=0.01, cli=False
    )
    min_score: float | None = option(
        None, "Drop nuclei whose pixels are less probable than this on average; none takes the model's.", low=0.0,
        high=1.0, cli=False,
    )  # fmt: skip
    min_area: int | None = option(
        None, "Drop smaller nuclei, pixels at the model's scale; none takes the model's.", low=0, high=10000, cli=False
    )

    def __post_init__(self) -> None:
        """Check ranges and choices."""
        check(self)


@dataclass(frozen=True)
class PredictOptions(EvalOptions):
    """Options of ``cellscope histo predict``."""

    panel: ClassVar[str] = "Nuclei"

    roi: Path | None = option(
        None,
        "GeoJSON of regions, as QuPath exports them: only nuclei with their centroid inside are kept. Of a folder, "
        "each image takes the file of its name.",
    )
    tissue: bool = option(True, "Leave out the parts of a slide that hold no tissue.")
    labels: bool = option(True, "Write the label image of a slide.")
    check_grid: bool = option(
        False, "Compute everything on a shifted grid as well and report how much that changes (twice the time)."
    )
    review_below: float = option(0.5, "Mark nuclei with less confidence than this for review.", low=0.0, high=1.0)
    block: int = option(
        2048,
        "Side of the windows a large image is worked on in, pixels at the model's scale.",
        low=64,
        high=16384,
        cli=False,
    )
