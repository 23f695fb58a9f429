"""Everything that can be set in the nucleus-seg assay, with units and ranges (no heavy import here)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from cellscope.assays.nucleus_seg.recipes import PRESETS, RECIPES
from cellscope.options.common import PrepareOptions
from cellscope.options.outlines import OutlineOptions
from cellscope.options.planes import PlaneOptions
from cellscope.options.recipes import Recipe
from cellscope.options.resolve import check, option
from cellscope.options.training import TrainingOptions


@dataclass(frozen=True)
class NucleusPrepareOptions(PrepareOptions, PlaneOptions):
    """Options of ``cellscope nucleus-seg prepare``."""

    panel: ClassVar[str] = "Smears"


@dataclass(frozen=True)
class TrainOptions(TrainingOptions):
    """Options of ``cellscope nucleus-seg train``."""

    panel: ClassVar[str] = "Training"
    recipes: ClassVar[Sequence[Recipe]] = RECIPES

    part: Literal["nuclei"] = option("nuclei", "Network to train.")
    arch: str | None = option(None, "Network architecture; that of the built-in model if not given.", metavar="NAME")
    preset: str = option(
        "none",
        "Training preset: the settings of the paper's Table 2 for this network.",
        choices=("none", *PRESETS),
    )
    edge: Literal["sobel", "laplacian"] = option(
        "sobel", "msff-segnext: edge detector (the paper's Table 6).", cli=False
    )
    hamburgers: int = option(
        2, "msff-segnext: number of Hamburger modules in the decoder (the paper's Table 6).", low=1, high=2, cli=False
    )
    hamburger: Literal["equation", "published"] = option(
        "equation",
        "msff-segnext: Hamburger module by the paper's equation 4 (batch normalisation, no ReLU after the sum) or as "
        "in the published file (group normalisation and a ReLU).",
        cli=False,
    )
    pixel_classes: int = option(
        3,
        "Number of pixel classes: 3 for background, cytoplasm and nucleus, 2 for background and nucleus.",
        low=2,
        high=3,
        cli=False,
        recipe=True,
    )
    crop: int = option(
        128, "Training crop size, pixels at the network's scale.", low=32, high=2048, cli=False, recipe=True
    )
    diameter: float = option(
        56.0,
        "Nucleus diameter, pixels, to which images are rescaled; 0 for no rescaling.",
        low=0.0,
        high=512.0,
        cli=False,
        recipe=True,
    )
    placing: Literal["random", "centre"] = option(
        "random",
        "Where crops lie: around a cell, shifted at random, on a background of random colour; or in the middle of the "
        "image, on black, as in the paper.",
        cli=False,
        recipe=True,
    )
    scale_jitter: float = option(
        0.75, "Range of the random scaling, as a power of two in both directions.", low=0.0, high=3.0, cli=False
    )
    augment: Literal["strong", "wide", "geometry", "flips", "none"] = option(
        "strong",
        "Augmentation: stain, colour, blur and geometry (strong); the same with wider ranges, stains of other"
        " sources and darker or lighter red cells (wide); geometry only; flips and 90-degree rotations only; "
        "none.",
        cli=False,
        recipe=True,
    )
    pair_rate: float = option(
        0.5, "Copy-paste augmentation: fraction of crops with pasted cells.", low=0.0, high=1.0, cli=False, recipe=True
    )
    touch_rate: float = option(
        0.5,
        "Copy-paste augmentation: fraction of pasted cells whose nucleus touches another one.",
        low=0.0,
        high=1.0,
        cli=False,
    )
    balance: bool = option(True, "Sample all sources equally often.", cli=False, recipe=True)
    source_weights: str = option(
        "", "Sampling weight of each source, such as bccd=2,mine=0.5; others 1 (with balance).", cli=False
    )
    dice_weight: float = option(
        1.0, "Weight of the Dice loss, added to cross entropy.", low=0.0, cli=False, recipe=True
    )
    distance_weight: float = option(2.0, "Weight of the distance loss.", low=0.0, cli=False, recipe=True)
    contact_weight: float = option(
        4.0,
        "Additional weight of pixels between touching cells in the distance loss.",
        low=0.0,
        cli=False,
        recipe=True,
    )
    ema: float = option(
        0.995,
        "Decay of the exponential moving average of the weights, which is validated and saved; 0 for none.",
        low=0.0,
        high=1.0,
        cli=False,
        recipe=True,
    )


@dataclass(frozen=True)
class EvalOptions:
    """Options of ``cellscope nucleus-seg eval``."""

    panel: ClassVar[str] = "Nuclei"

    nucleus_diameter: float | None = option(
        None,
        "Typical nucleus diameter, pixels; if not given, from the pixel size or estimated from the image.",
        low=4.0,
        high=2000.0,
    )
    min_area: float = option(
        0.12,
        "Minimum nucleus area as a fraction of the typical one in the image; removes platelets and debris.",
        low=0.0,
        high=1.0,
    )
    doubtful_area: float = option(
        0.35, "Minimum area for objects at the image border or with a low score.", low=0.0, high=1.0, cli=False
    )
    doubtful_score: float = option(
        0.88, "Score below which an object counts as low-scoring.", low=0.0, high=1.0, cli=False
    )
    min_nucleus: float = option(
        0.5,
        "Minimum probability to be a nucleus, by colour, strength of stain, size and score beside the surest nucleus "
        "of the image; removes red cells and dirt.",
        low=0.0,
        high=1.0,
        cli=False,
    )
    probability_threshold: float = option(
        0.5, "Probability threshold of nucleus pixels.", low=0.05, high=0.95, cli=False
    )
    split_depth: float | None = option(
        None,
        "Watershed depth for separating touching cells, as a fraction of their half width; if not given, 0.4 "
        "for networks with a distance output, else 0.03.",
        low=0.01,
        high=1.0,
        cli=False,
    )
    views: int = option(
        2, "Test-time augmentation: number of mirrored and rotated views averaged.", choices=(1, 2, 4), cli=False
    )
    raw: bool = option(
        False,
        "The network's mask alone, as the paper measures it: one view, probability over the threshold, no rules about "
        "debris, stain or touching cells.",
    )
    scales: int = option(1, "Test-time augmentation: number of scales averaged.", low=1, high=3, cli=False)

    def __post_init__(self) -> None:
        """Check ranges and choices."""
        check(self)


@dataclass(frozen=True)
class PredictOptions(EvalOptions, PlaneOptions):
    """Options of ``cellscope nucleus-seg predict``."""

    panel: ClassVar[str] = "Nuclei"

    review_below: float = option(0.8, "Mark nuclei for review whose score is below this value.", low=0.0, high=1.0)
    check_grid: bool = option(False, "Repeat on a shifted tile grid and report the difference (doubles the time).")


@dataclass(frozen=True)
class MeasureOptions(OutlineOptions):
    """Options of ``cellscope nucleus-seg measure``."""

    cells: Path | None = option(
        None,
        "Label image of the whole cells with the numbers of their nuclei, or a folder of *.cells.tif files; the "
        "*.cells.tif file beside the outlines if not given.",
    )
    review_below: float = option(0.8, "Mark nuclei for review whose score is below this value.", low=0.0, high=1.0)
