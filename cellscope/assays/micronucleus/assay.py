"""The micronucleus assay for the engine: find nuclei, cut cells, classify them; fields and crops of single cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from cellscope.assays.micronucleus.classes import CROP, FIELD, KINDS
from cellscope.assays.micronucleus.classify import classifiers
from cellscope.assays.micronucleus.classify.crops import cell_crop, crop_view, normalise_crop, owners
from cellscope.assays.micronucleus.count.conclude import conclude
from cellscope.assays.micronucleus.count.corrections import with_corrections
from cellscope.assays.micronucleus.count.objects import MN_COLUMNS
from cellscope.assays.micronucleus.count.summary import summarise
from cellscope.assays.micronucleus.field.field import (
    bright_mask,
    estimate_diameter,
    exposure_warnings,
    grey_of,
    median_diameter,
    normalise_field,
    separation,
)
from cellscope.assays.micronucleus.field.masks import find_mask, labels_of
from cellscope.assays.micronucleus.field.scaling import finder_maps, finder_view
from cellscope.assays.micronucleus.field.state import State
from cellscope.assays.micronucleus.find.finder import DIAMETER
from cellscope.assays.micronucleus.find.finders import finder_from
from cellscope.assays.micronucleus.find.instances import nuclei_of
from cellscope.assays.micronucleus.portable import PORTABLE
from cellscope.engine.assay import Assay, InputSpec, Stage, Subject, all_alike
from cellscope.errors import InputError, ModelError, UsageError
from cellscope.imaging.labels import label_table
from cellscope.imaging.scaling import far_off
from cellscope.imaging.tiling import Grid, cut_windows, join_windows
from cellscope.io.choice import Wants
from cellscope.io.image import Image
from cellscope.io.inputs import Input
from cellscope.io.read import SUFFIXES
from cellscope.models.card import ModelCard
from cellscope.nn.folding import fold_norms

MASK = "nuclei"
LARGEST_CROP = 256
"""Images with no side longer than this hold one cell, unless --input says otherwise."""

TOLERANCE = 1.3
"""By what factor the estimated diameter may be wrong before the finder runs again at the right scale."""

WHOLE = 2**21
CORE, MARGIN = 1024, 96
"""Views above `WHOLE` pixels go through the finder in windows; the margin is more than its reach."""

SMALLEST_CROP = 32

TWO_LEVELS = 0.75
"""Separation below which what reaches two sides of a crop is the texture of one nucleus. With those that reach all four
sides, 86 of 100 crops from inside a nucleus are told, and 1 of 372 whole cells is taken for one."""


def kind_of(image: Image) -> str:
    """Tell a field from a crop of one cell by the image's size."""
    return CROP if max(image.height, image.width) <= LARGEST_CROP else FIELD


def beside(entry: Input, options: Any) -> dict[str, Path]:
    """Name the mask that another tool made of the nuclei of an image, if one is to be used."""
    return {MASK: find_mask(options.nuclei, entry.image, entry.path)} if options.nuclei else {}


def cut_field(subject: Subject[State]) -> list[np.ndarray]:
    """Normalise light and scale: the field or crop, whole or in windows. Nothing to cut for a blank one."""
    options, state = subject.options, subject.state
    grey = grey_of(subject.image.pixels, subject.name)
    if subject.kind == CROP:
        check_crop(grey, subject.name)
    state.grey = grey
    state.warnings = exposure_warnings(subject.image.pixels, grey)
    state.normalised = normalise_field(grey)
    if MASK in subject.beside:
        mask = subject.beside[MASK]
        state.labels = labels_of(mask, grey.shape, binary=options.binary)
        state.warnings += [f"{mask.path.name}: {text}" for text in mask.notes]
        diameter = options.nucleus_diameter or median_diameter(state.labels)
    else:
        diameter = options.nucleus_diameter or estimate_diameter(grey)
    state.diameter = diameter
    return [] if diameter is None or not state.normalised.any() else _windows(subject)


def _windows(subject: Subject[State]) -> list[np.ndarray]:
    assert subject.state.diameter is not None
    view = finder_view(subject.state.normalised, subject.state.diameter)
    height, width = view.shape[1:]
    if height * width <= WHOLE:
        subject.state.grid = None
        return [view]
    grid = Grid((height, width), CORE, MARGIN)
    subject.state.grid = grid
    windows = cut_windows(np.moveaxis(view, 0, -1), grid)
    return [np.ascontiguousarray(np.moveaxis(window, -1, 0)) for window in windows]


def find(module: torch.nn.Module, batch: list[torch.Tensor]) -> list[np.ndarray]:
    """Run the finder: per item its maps (3, h, w), float32."""
    stacked = torch.stack(batch).contiguous(memory_format=torch.channels_last)
    return list(module(stacked).float().cpu().numpy())


def separate_nuclei(subject: Subject[State], outputs: list[Any]) -> None:
    """Bring the finder's maps to the image's own pixels and separate the nuclei."""
    if not outputs:
        return
    state = subject.state
    grid, state.grid = state.grid, None
    maps = outputs[0]
    if grid is not None:
        maps = np.moveaxis(join_windows((np.moveaxis(window, 0, -1) for window in outputs), grid), -1, 0)
    maps = finder_maps(maps, state.grey.shape)
    state.mn_logits = maps[2]
    if MASK not in subject.beside:
        assert state.diameter is not None
        state.labels = nuclei_of(maps[0], maps[1], state.diameter)


def cut_again(subject: Subject[State]) -> list[np.ndarray]:
    """Give the field at a better scale when its nuclei are far from the size that was estimated."""
    state = subject.state
    if state.mn_logits is None or MASK in subject.beside or subject.options.nucleus_diameter:
        return []
    assert state.labels is not None
    assert state.diameter is not None
    found = median_diameter(state.labels)
    if found is None or not far_off(found, state.diameter, TOLERANCE):
        return []
    state.diameter = found
    return _windows(subject)


def cut_cells(subject: Subject[State]) -> list[np.ndarray]:
    """Cut every nucleus with its surroundings; or, for an image of one cell, that one."""
    size = int(subject.cards["classify"].normalisation["input_size"])
    state = subject.state
    if subject.kind == CROP:
        return [crop_view(normalise_crop(state.grey), size)]
    if state.labels is None:
        state.labels = np.zeros(state.grey.shape, np.int32)
    labels = state.labels
    state.measured = label_table(labels, state.grey)
    state.diameter = median_diameter(labels) or state.diameter or DIAMETER
    owner = state.owner = owners(labels)
    measured = state.measured
    return [
        crop_view(normalise_crop(cell_crop(state.grey, labels, owner, int(label), place, state.diameter)), size)
        for label, *place in measured[["label", "centroid-0", "centroid-1"]].itertuples(index=False, name=None)
    ]


def check_crop(grey: np.ndarray, name: str) -> None:
    """Refuse a crop that cannot show a cell.

    Raises
    ------
    InputError
        If it is too small, blank, or shows no background around its nucleus: then there is no room for a micronucleus.
    """
    height, width = grey.shape
    if min(height, width) < SMALLEST_CROP:
        raise InputError(
            f"{name}: a crop of {width} x {height} pixels is too small; at least {SMALLEST_CROP} are needed"
        )
    mask = bright_mask(grey)
    if mask is None:
        raise InputError(f"{name}: nothing stands out from the background; is this a cell?")
    reached = sum(side.mean() > 0.2 for side in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))
    if reached == 4 or (reached >= 2 and separation(grey, mask) < TWO_LEVELS):
        raise InputError(
            f"{name}: the crop is smaller than its nucleus: there is no background around it; cut it about three "
            "nucleus diameters wide"
        )


def classify(module: torch.nn.Module, batch: list[torch.Tensor]) -> list[float]:
    """Run the classifier: per item the logit of micronucleus against normal."""
    logits = module(torch.stack(batch).contiguous(memory_format=torch.channels_last)).float().cpu().numpy()
    return [float(value) for value in logits[:, 1] - logits[:, 0]]


def store_logits(subject: Subject[State], outputs: list[Any]) -> None:
    """Keep the classifier's logits."""
    subject.state.logits = np.array(outputs, float)


def build(card: ModelCard, tensors: dict[str, torch.Tensor]) -> torch.nn.Module:
    """Rebuild a part's network from its model file.

    Raises
    ------
    ModelError
        If the part is unknown or the tensors do not fit the architecture the card names.
    """
    network: torch.nn.Module
    try:
        if card.part == "nuclei":
            network = finder_from(card.arch_args)
            network.load_state_dict(tensors)
        elif card.part == "classify":
            network = classifiers.rebuild(card.arch, card.arch_args, tensors)
        else:
            raise ModelError(f"micronucleus has no part {card.part!r}; its parts are nuclei and classify")
    except (TypeError, RuntimeError, UsageError) as error:
        raise ModelError(
            f"the model's tensors do not fit its architecture {card.arch}: {str(error).splitlines()[0]}"
        ) from error
    network = network.eval()
    fold_norms(network)
    return network.to(memory_format=torch.channels_last)


ASSAY = Assay(
    name="micronucleus",
    inputs=InputSpec(
        kinds=KINDS,
        suffixes=SUFFIXES,
        kind_of=kind_of,
        wants=Wants.STAIN,
        beside=beside,
    ),
    stages=(
        Stage("nuclei", KINDS, 1, cut_field, find, separate_nuclei, weigh=all_alike),
        Stage("nuclei", (FIELD,), 1, cut_again, find, separate_nuclei, weigh=all_alike),
        Stage("classify", KINDS, 64, cut_cells, classify, store_logits, cpu_batch=16, weigh=all_alike),
    ),
    state=State,
    parts=("nuclei", "classify"),
    summary_columns=(
        "n_nuclei",
        "n_micronucleated",
        "n_micronuclei",
        "mn_frequency",
        "mn_frequency_low",
        "mn_frequency_high",
        "mn_per_nucleus",
    ),
    class_part="classify",
    portable=PORTABLE,
    layers={
        "nuclei": ("encoder", "down.3"),
        "classify": (
            "network.encoder",
            "network.final_conv",
            "network.layer4",
            "network.blocks",
            "network.inception5b",
            "network.features",
        ),
    },
    read_options=with_corrections,
    build=build,
    conclude=conclude,
    figures={FIELD: (".overlay.png",)},
    tables={"micronuclei": MN_COLUMNS},
    summarise=summarise,
)
