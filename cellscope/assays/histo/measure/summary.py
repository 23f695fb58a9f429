"""Summary of an image: counts and densities for `images.csv`, and warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cellscope.assays.histo.classes import PART
from cellscope.engine.assay import Subject
from cellscope.io.image import Image
from cellscope.io.wsi import Slide
from cellscope.models.card import ModelCard

UNSURE = "n_unsure"
"""Column of the nuclei whose type is unsure; they are counted under their likeliest type as well."""

#: More than this share of unsure types is worth a warning, where there are nuclei enough to speak of a share.
DOUBTFUL, FEW = 0.5, 20
#: Further from the model's resolution than this, either way, results are doubtful.
FAR = 2.5


def summarise(
    subject: Subject, counts: Mapping[str, int], reviewed: int, pixels: float, unsure: int = 0
) -> tuple[dict[str, Any], list[str]]:
    """Give the counts and densities of ``images.csv``, and what is doubtful about the resolution.

    Parameters
    ----------
    subject : Subject
    counts : mapping
        Class -> nuclei.
    reviewed : int
    pixels : float
        The area that was segmented, input pixels. Densities are left out where the pixel size is not known.
    unsure : int
        Nuclei of unsure type.
    """
    card, pixel = subject.cards[PART], subject.image.pixel_size_um
    several = len(card.classes) > 1
    found: dict[str, Any] = {"n_review": reviewed}
    if several:
        found |= {f"n_{name}": int(counts.get(name, 0)) for name in card.classes} | {UNSURE: unsure}
    if pixel:
        area = pixels * pixel**2 / 1e6
        found["area_mm2"] = area
        if area > 0:
            found["density_per_mm2"] = sum(counts.values()) / area
            if several:
                found |= {f"{name}_per_mm2": counts.get(name, 0) / area for name in card.classes}
    return found, [*resolution_warnings(subject.image, card), *_type_warnings(unsure, sum(counts.values()))]


def _type_warnings(unsure: int, nuclei: int) -> list[str]:
    if nuclei < FEW or unsure <= DOUBTFUL * nuclei:
        return []
    return [f"{unsure} of {nuclei} nuclei are of unsure type: their counts by type say little"]


def resolution_warnings(image: Image | Slide, card: ModelCard) -> list[str]:
    """Say what is doubtful about an image's resolution."""
    model_um = card.pixel_size_um
    if not model_um:
        return []
    if image.assumed_um:
        return []  # said already
    if not image.pixel_size_um:
        return [f"the file does not say its resolution; {model_um:g} um per pixel is assumed (--pixel-size sets it)"]
    ratio = image.pixel_size_um / model_um
    if 1 / FAR <= ratio <= FAR:
        return []
    return [
        f"its resolution of {image.pixel_size_um:.3g} um per pixel is far from the model's {model_um:g}; "
        "expect more errors, and check --pixel-size"
    ]


def shift_summary(shifts: Sequence[Mapping[str, int]]) -> tuple[dict[str, Any], list[str]]:
    """Give the summary columns of the shifted grid and, where the results differ, a warning."""
    if not shifts:
        return {}, []
    both, total, here, there = (sum(shift[name] for shift in shifts) for name in ("both", "sum", "here", "there"))
    dice = 2 * both / total if total else 1.0
    notes = []
    if here != there or dice < 0.99:
        notes = [
            f"on a grid shifted by half a tile {there} nuclei are found instead of {here}; "
            f"the masks overlap by Dice {dice:.4f}"
        ]
    return {"shifted_grid_dice": dice, "shifted_grid_count": there}, notes
