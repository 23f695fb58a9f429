"""Everything that can be set in the nucleus-seg assay, with units and ranges (no heavy import here)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from cellscope.assays.nucleus_seg.recipes import PRESETS, RECIPES
from cellscope.options.common import PrepareOptions
from cellscope.options.planes import PlaneOptions
from cellscope.options.recipes import Recipe
from cellscope.options.resolve import check, option
from cellscope.options.training import TrainingOptions


@dataclass(frozen=True)
class NucleusPrepareOptions(PrepareOptions):
    """Options of ``cellscope nucleus-seg prepare``."""

    panel: ClassVar[str] = "Smears"

    hold_out: str = option("", "Sources (names, comma between) that go to the test split whole.")


@dataclass(frozen=True)
class TrainOptions(TrainingOptions):
    """Options of ``cellscope nucleus-seg train``."""

    panel: ClassVar[str] = "Training"
    recipes: ClassVar[Sequence[Recipe]] = RECIPES

    part: Literal["nuclei"] = option("nuclei", "Which network to train; there is one.")
    arch: str | None = option(None, "Architecture; the small built-in one when not given.", metavar="NAME")
    preset: str = option(
        "none",
        "Train as the paper's Table 2 says for this network instead of by the stronger default recipe.",
        choices=("none", *PRESETS),
    )
    edge: Literal["sobel", "laplacian"] = option("sobel", "msff-segnext: edge map of the input (Table 6).", cli=False)
    hamburgers: int = option(2, "msff-segnext: Hamburgers in the decoder (Table 6).", low=1, high=2, cli=False)
    pixel_classes: int = option(
        3, "3 for background, cytoplasm and nucleus, 2 for nucleus or not.", low=2, high=3, cli=False, recipe=True
    )
    crop: int = option(
        128, "Side of a training crop, pixels at the network's scale.", low=32, high=2048, cli=False, recipe=True
    )
    diameter: float = option(
        56.0,
        "Nucleus diameter, pixels, to which images are scaled for the network; 0 leaves them at their own scale.",
        low=0.0,
        high=512.0,
        cli=False,
        recipe=True,
    )
    scale_jitter: float = option(
        0.75, "Random scale around that: up to this power of two either way.", low=0.0, high=3.0, cli=False
    )
    augment: Literal["strong", "wide", "geometry", "flips", "none"] = option(
        "strong",
        "Stain, colour, blur and geometry; wider, with other sources' stains and red cells of any darkness; or "
        "geometry alone; or only flips and quarter turns; or nothing.",
        cli=False,
        recipe=True,
    )
    pair_rate: float = option(
        0.5, "Share of crops into which touching cells are pasted.", low=0.0, high=1.0, cli=False, recipe=True
    )
    touch_rate: float = option(
        0.5, "Share of the pasted cells whose nucleus touches another one.", low=0.0, high=1.0, cli=False
    )
    balance: bool = option(True, "Draw all sources equally often, whatever their size.", cli=False, recipe=True)
    source_weights: str = option(
        "", "How often each source is drawn, e.g. bccd=2,mine=0.5; others 1 (with balance).", cli=False
    )
    dice_weight: float = option(1.0, "Weight of the Dice loss beside cross entropy.", low=0.0, cli=False, recipe=True)
    distance_weight: float = option(
        2.0, "Weight of the loss of the distance inside the cell.", low=0.0, cli=False, recipe=True
    )
    contact_weight: float = option(
        4.0,
        "Further weight of pixels where two cells meet in the loss of the distance.",
        low=0.0,
        cli=False,
        recipe=True,
    )
    ema: float = option(
        0.995, "Decay per step of the averaged weights that are validated and kept; 0 for none.", low=0.0, high=1.0,
        cli=False, recipe=True
    )  # fmt: skip


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
class PredictOptions(EvalOptions, PlaneOptions):
    """Options of ``cellscope nucleus-seg predict``."""

    panel: ClassVar[str] = "Nuclei"

    review_below: float = option(0.8, "Mark nuclei with less confidence than this for review.", low=0.0, high=1.0)
    check_grid: bool = option(
        False, "Compute everything on a shifted grid as well and report how much that changes (twice the time)."
    )
