"""The histo assay for the engine: tiles, large images and whole slides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from cellscope.assays.histo.classes import PIXEL_SIZE_UM
from cellscope.assays.histo.measure.groups import summarise_groups
from cellscope.assays.histo.measure.rois import COLUMNS as ROI_COLUMNS
from cellscope.assays.histo.measure.rois import TABLE as ROIS
from cellscope.assays.histo.networks.registry import build_network
from cellscope.assays.histo.options import PredictOptions
from cellscope.assays.histo.slides.joining import conclude, join
from cellscope.assays.histo.slides.regions import SEAM, make_plan, pieces_of, regions_of
from cellscope.assays.histo.slides.stage import (
    OTSU,
    PART,
    compare_shifted,
    cut_shifted,
    cut_windows,
    find,
    join_maps,
    portable_channels,
    portable_maps,
    portable_scale,
    portable_window,
    rgb_of,
    segment,
    tiling_of,
    weigh_views,
)
from cellscope.assays.histo.slides.state import State
from cellscope.assays.histo.slides.windows import model_shape, scale_between, working_um
from cellscope.engine.assay import Assay, InputSpec, Large, Pieces, Portable, Stage, Subject
from cellscope.errors import InputError
from cellscope.imaging.doubt import stained_sizes, trusted_pixel_size
from cellscope.io.choice import Choice, Wants
from cellscope.io.image import Image
from cellscope.io.read import SUFFIXES, read
from cellscope.io.regions import check_regions
from cellscope.io.wsi import SLIDE_SUFFIXES, Slide, open_slide
from cellscope.models.card import ModelCard, rebuilding
from cellscope.nn.folding import fold_norms

#: At more micrometres per pixel a nucleus, so wide, is a dot, and most of the work would go into enlarging it.
COARSEST_UM, NUCLEUS_UM = 2.0, 8.0
#: Diameters of circles inscribed in what is dark, micrometres: on 60 tiles of nine data sets the 90th percentile is 1.6
#: to 10, the median weighted by area mostly 4 to 6.
LARGE_UM, TYPICAL_UM = (1.0, 20.0), 5.0
IMAGE, SLIDE = "image", "slide"
KINDS = (IMAGE, SLIDE)
#: Summary columns of ``images.csv``.
SUMMARY = (
    "n_review", "area_mm2", "density_per_mm2", "shifted_grid_dice", "shifted_grid_count",
    "n_{class}", "{class}_per_mm2", "n_unsure",
)  # fmt: skip

OTSU_CARD = ModelCard.weightless("histo", PART, OTSU, ("nucleus",), pixel_size_um=PIXEL_SIZE_UM)
"""The baseline without weights: Otsu's threshold on haematoxylin, then a watershed."""


def read_input(path: Path, choice: Choice, max_pixels: int, options: PredictOptions) -> Image | Slide:
    """Read an image, or open a slide.

    Raises
    ------
    InputError
        What is wrong with the file.
    """
    slide = open_slide(path, choice=choice, largest=max_pixels)
    return slide or read(path, choice=choice, wants=Wants.COLOUR, max_pixels=max_pixels)


def read_options(options: PredictOptions) -> PredictOptions:
    """Read the regions of ``--roi`` before any work; UsageError says what is wrong with them."""
    check_regions(options.roi)
    return options


def load(subject: Subject[State], _max_pixels: int) -> None:
    """Read the regions of an image.

    Raises
    ------
    InputError
        There are none for this image, or they cannot be read.
    """
    subject.state.regions = regions_of(subject.options, subject.name)


def kind_of(image: Image | Slide) -> str:
    """Tell a slide by its file."""
    return SLIDE if isinstance(image, Slide) else IMAGE


def admit(image: Image | Slide, _kind: str) -> None:
    """Refuse a slide of unknown resolution, where nothing would be right, and any image that shows no nuclei.

    Raises
    ------
    InputError
    """
    size = image.pixel_size_um
    if isinstance(image, Slide) and not size:
        raise InputError(f"{image.name}: the slide does not say its resolution; give --pixel-size (um per pixel)")
    if size and size > COARSEST_UM:
        raise InputError(
            f"{image.name}: at {size:.3g} um per pixel nuclei are {NUCLEUS_UM / size:.1f} pixels wide, too few to "
            "outline; export it at 0.5 um or less, or give --pixel-size if the file is wrong"
        )


def doubt_pixel_size(subject: Subject[State]) -> None:
    """Put the image's own estimate in the place of a stated pixel size that what is dark contradicts."""
    image = subject.image
    if isinstance(image, Slide) or not image.pixel_size_um or image.channels < 3:
        return
    sizes = stained_sizes(rgb_of(subject))
    if sizes is None:
        return
    typical, large = sizes
    pixel, warnings = trusted_pixel_size(image, large, LARGE_UM, "larger dark objects")
    if warnings:
        told = (*image.warnings, *warnings)
        assumed = None if pixel else TYPICAL_UM / typical
        subject.image = replace(image, pixel_size_um=pixel, assumed_um=assumed, warnings=told)


def divide(subject: Subject[State]) -> Pieces | None:
    """Divide what is larger than a block, and every slide, into windows on a grid anchored at the origin."""
    doubt_pixel_size(subject)
    image, card = subject.image, subject.cards[PART]
    if subject.kind == IMAGE and not isinstance(image, Slide):
        whole = model_shape((image.height, image.width), scale_between(working_um(image), card.pixel_size_um))
        if max(whole) <= subject.options.block + SEAM:
            return None
    baseline = card.arch == OTSU
    plan = subject.state.plan = make_plan(subject, model_um=card.pixel_size_um, baseline=baseline)
    return pieces_of(subject, plan, 0 if baseline else tiling_of(subject).margin)


def build(card: ModelCard, tensors: dict[str, torch.Tensor]) -> torch.nn.Module:
    """Rebuild the network from its model file.

    Raises
    ------
    ModelError
        If the tensors do not fit the architecture.
    """
    if card.arch == OTSU:
        return torch.nn.Identity()
    with rebuilding(card):
        network = build_network(card.arch_args)
        network.load_state_dict(tensors)
    network.eval()
    fold_norms(network)
    return network.to(memory_format=torch.channels_last)


ASSAY = Assay(
    name="histo",
    inputs=InputSpec(
        kinds=KINDS,
        suffixes=SUFFIXES | SLIDE_SUFFIXES,
        kind_of=kind_of,
        wants=Wants.COLOUR,
        admit=admit,
        read=read_input,
        load=load,
    ),
    stages=(
        Stage(PART, KINDS, 4, cut_windows, segment, join_maps, weigh=weigh_views),
        Stage(PART, KINDS, 4, cut_shifted, segment, compare_shifted),
    ),
    state=State,
    parts=(PART,),
    summary_columns=SUMMARY,
    tables={ROIS: ROI_COLUMNS},
    table_options={ROIS: "roi"},
    class_part=PART,
    layers={PART: ("encoder",)},
    described_as={SLIDE: IMAGE},
    portable={PART: Portable(portable_maps, portable_channels, portable_window, portable_scale)},
    read_options=read_options,
    build=build,
    conclude=conclude,
    summarise=summarise_groups,
    summarises_images=True,
    large=Large(divide, join),
    figures={IMAGE: (".overlay.png", ".density.png"), SLIDE: (".overlay.png", ".density.png")},
    weightless={OTSU: OTSU_CARD},
)

__all__ = ["ASSAY", "IMAGE", "KINDS", "OTSU_CARD", "PART", "find"]
