"""Everything that can be set in the nucleus-seg assay, with units and ranges (no heavy import here)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from cellscope.options.common import PrepareOptions
from cellscope.options.resolve import check, fill, option
from cellscope.options.training import TrainingOptions

#: What the options left open come to by the stronger default recipe.
DEFAULTS: dict[str, Any] = {
    "arch": "compact",
    "steps": 2400,
    "batch_size": 16,
    "learning_rate": 2e-3,
    "weight_decay": 0.01,
}

#: The columns of the paper's Table 2. Values that the options share with the default recipe are set only where the user
#: left them at their defaults. Epochs are 100 at batch 2; `settled` turns them into steps.
PRESETS: dict[str, dict[str, Any]] = {
    "msff-segnext": {
        "arch": "msff-segnext",
        "learning_rate": 6e-5,
        "weight_decay": 0.01,
        "optimiser": "adamw",
        "schedule": "poly",
        "warmup_ratio": 1e-6,
    },
    # "Custom Decay" from 5e-4 to 5e-7 is not described further: taken as a constant factor per step.
    "unet": {
        "arch": "unet",
        "learning_rate": 5e-4,
        "weight_decay": 0.0,
        "optimiser": "adam",
        "schedule": "exponential",
        "final_ratio": 1e-3,
        "warmup_steps": 0,
    },
    "deeplabv3": {
        "arch": "deeplabv3",
        "learning_rate": 6e-5,
        "weight_decay": 0.01,
        "optimiser": "sgd",
        "schedule": "poly",
        "warmup_ratio": 1 / 3,
    },
}
PRESETS["r2unet"] = {**PRESETS["unet"], "arch": "r2unet"}
PRESETS["segnext"] = {**PRESETS["msff-segnext"], "arch": "segnext"}
#: What every column shares: the paper's losses are pixel cross entropies, without our augmentation or averaging. Binary
#: cross entropy on one logit and cross entropy on two are the same function (the second logit's difference).
PAPER: dict[str, Any] = {
    "epochs": 100,
    "batch_size": 2,
    "dice_weight": 0.0,
    "distance_weight": 0.0,
    "ema": 0.0,
    "augment": "none",
    "pair_rate": 0.0,
    "contact_weight": 0.0,
    "balance": False,
    "pixel_classes": 2,
    "crop": 352,
    "diameter": 0.0,
}


@dataclass(frozen=True)
class NucleusPrepareOptions(PrepareOptions):
    """Options of ``cellscope nucleus-seg prepare``."""

    panel: ClassVar[str] = "Smears"

    hold_out: str = option("", "Sources (names, comma between) that go to the test split whole.")


@dataclass(frozen=True)
class TrainOptions(TrainingOptions):
    """Options of ``cellscope nucleus-seg train``."""

    panel: ClassVar[str] = "Training"

    part: Literal["nuclei"] = option("nuclei", "Which network to train; there is one.")
    arch: str | None = option(None, "Architecture; the small built-in one when not given.", metavar="NAME")
    preset: Literal["none", "msff-segnext", "segnext", "unet", "r2unet", "deeplabv3"] = option(
        "none", "Train as the paper's Table 2 says for this network instead of by the stronger default recipe."
    )
    epochs: float | None = option(
        None, "Passes over the training images, in place of --steps.", low=0.001, high=100000, cli=False
    )
    edge: Literal["sobel", "laplacian"] = option("sobel", "msff-segnext: edge map of the input (Table 6).", cli=False)
    hamburgers: int = option(2, "msff-segnext: Hamburgers in the decoder (Table 6).", low=1, high=2, cli=False)
    pixel_classes: int = option(
        3, "3 for background, cytoplasm and nucleus, 2 for nucleus or not.", low=2, high=3, cli=False
    )
    crop: int = option(128, "Side of a training crop, pixels at the network's scale.", low=32, high=2048, cli=False)
    diameter: float = option(
        56.0,
        "Nucleus diameter, pixels, to which images are scaled for the network; 0 leaves them at their own scale.",
        low=0.0,
        high=512.0,
        cli=False,
    )
    scale_jitter: float = option(
        0.75, "Random scale around that: up to this power of two either way.", low=0.0, high=3.0, cli=False
    )
    augment: Literal["strong", "wide", "geometry", "flips", "none"] = option(
        "strong",
        "Stain, colour, blur and geometry; wider, with other sources' stains and red cells of any darkness; or "
        "geometry alone; or only flips and quarter turns; or nothing.",
        cli=False,
    )
    pair_rate: float = option(0.5, "Share of crops into which touching cells are pasted.", low=0.0, high=1.0, cli=False)
    touch_rate: float = option(
        0.5, "Share of the pasted cells whose nucleus touches another one.", low=0.0, high=1.0, cli=False
    )
    balance: bool = option(True, "Draw all sources equally often, whatever their size.", cli=False)
    source_weights: str = option(
        "", "How often each source is drawn, e.g. bccd=2,mine=0.5; others 1 (with balance).", cli=False
    )
    dice_weight: float = option(1.0, "Weight of the Dice loss beside cross entropy.", low=0.0, cli=False)
    distance_weight: float = option(2.0, "Weight of the loss of the distance inside the cell.", low=0.0, cli=False)
    contact_weight: float = option(
        4.0, "Further weight of pixels where two cells meet in the loss of the distance.", low=0.0, cli=False
    )
    ema: float = option(
        0.995, "Decay per step of the averaged weights that are validated and kept; 0 for none.", low=0.0, high=1.0,
        cli=False,
    )  # fmt: skip

    def settled(self, n_items: int = 0) -> TrainOptions:
        """Fill what was left open, from the preset or the default recipe.

        Parameters
        ----------
        n_items : int
            Training images, for epochs.
        """
        chosen = DEFAULTS if self.preset == "none" else {**PAPER, **PRESETS[self.preset]}
        filled = fill(self, chosen).checked()
        if filled.steps is None:
            batches = max(n_items, 1) / (filled.batch_size or 1)
            filled = replace(filled, steps=max(round((filled.epochs or 100) * batches), 1))
        return filled.paced(workers=0, validations=6)


@dataclass(frozen=True)
class EvalOptions:
    """Options of ``cellscope nucleus-seg eval``."""

    panel: ClassVar[str] = "Nuclei"

    nucleus_diameter: float | None = option(
        None,
        "Usual nucleus diameter, pixels; when not given, from the pixel size if known, else found from the image.",
        low=4.0,
        high=2000.0,
    )
    min_area: float = option(
        0.12,
        "Drop nuclei smaller than this share of the area of the image's usual nucleus: platelets, debris.",
        low=0.0,
        high=1.0,
    )
    doubtful_area: float = option(
        0.35, "The same for pieces that the image's border cuts and for doubtful ones.", low=0.0, high=1.0, cli=False
    )
    min_stain: float = option(
        0.35,
        "Drop objects stained less than this share of the image's strongest nucleus, unless the network is sure: red "
        "cells.",
        low=0.0,
        high=1.0,
        cli=False,
    )
    doubtful_stain: float = option(0.65, "The same for doubtful ones.", low=0.0, high=1.0, cli=False)
    doubtful_score: float = option(
        0.88, "Confidence below which a small or weakly stained nucleus is doubtful.", low=0.0, high=1.0, cli=False
    )
    max_yellow: float = option(
        0.16,
        "Weakly stained objects that take away this much more blue light, beside green, than the strongest nucleus are "
        "red cells: haemoglobin does.",
        low=0.0,
        high=10.0,
        cli=False,
    )
    probability_threshold: float = option(
        0.5, "Probability above which a pixel is nucleus.", low=0.05, high=0.95, cli=False
    )
    split_depth: float | None = option(
        None,
        "How deep the dip between two cells must be, as a share of their half width, to part them; when not given, 0.4 "
        "for networks that give the depth inside the cell, 0.03 for others.",
        low=0.01,
        high=1.0,
        cli=False,
    )
    views: int = option(
        2, "Views whose results are averaged: 1, 2 (mirrored) or 4 (mirrored, turned).", choices=(1, 2, 4), cli=False
    )
    scales: int = option(1, "Scales whose results are averaged.", low=1, high=3, cli=False)

    def __post_init__(self) -> None:
        """Check ranges and choices."""
        check(self)


@dataclass(frozen=True)
class PredictOptions(EvalOptions):
    """Options of ``cellscope nucleus-seg predict``."""

    panel: ClassVar[str] = "Nuclei"

    review_below: float = option(0.8, "Mark nuclei with less confidence than this for review.", low=0.0, high=1.0)
    check_grid: bool = option(
        False, "Compute everything on a shifted grid as well and report how much that changes (twice the time)."
    )
