"""The nucleus-seg assay for the engine: cut, network, postprocess."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch

from cellscope.assays.nucleus_seg.classes import CLASSES
from cellscope.assays.nucleus_seg.measure.figures import as_geojson, draw_overlay
from cellscope.assays.nucleus_seg.measure.groups import summarise
from cellscope.assays.nucleus_seg.measure.morphometry import measure_nuclei
from cellscope.assays.nucleus_seg.networks.registry import build_network, has_distance, normalise
from cellscope.assays.nucleus_seg.segment.instances import Nuclei, find_nuclei, raw_nuclei
from cellscope.assays.nucleus_seg.segment.passes import average_passes, cut_pass, plan_passes
from cellscope.assays.nucleus_seg.segment.scale import cut_estimate, cut_estimate_again, estimate_scale
from cellscope.assays.nucleus_seg.segment.state import State
from cellscope.assays.nucleus_seg.segment.subject import OTSU, PART, factor_of, maps_of, network_diameter, rgb_of
from cellscope.engine.assay import Assay, InputSpec, Portable, Result, Stage, Subject
from cellscope.imaging.doubt import trusted_pixel_size
from cellscope.imaging.smear import otsu_classes
from cellscope.io.choice import Wants
from cellscope.io.image import Image
from cellscope.io.read import SUFFIXES
from cellscope.models.card import ModelCard, rebuilding

IMAGE, SLIDE = "image", "slide"
KINDS = (IMAGE, SLIDE)
#: Smallest and largest nucleus of a white blood cell, micrometres, with a wide margin.
NUCLEUS_UM = (2.25, 36.0)
#: Images with more pixels are slides: no label image at full size in memory twice over, compressed GeoJSON.
LARGEST_IMAGE = 2**28
#: Summary columns of ``images.csv``.
SUMMARY = (
    "n_review", "n_dropped", "nucleus_diameter", "area_median", "circularity_median", "nucleus_cell_ratio_median",
    "shifted_grid_dice", "shifted_grid_count",
)  # fmt: skip

OTSU_CARD = ModelCard.weightless("nucleus-seg", PART, OTSU, CLASSES)
"""The baseline without weights: three-class Otsu on green, opened, filled; components are nuclei."""


def kind_of(image: Image) -> str:
    """Tell an image from a slide by its size."""
    return SLIDE if image.height * image.width > LARGEST_IMAGE else IMAGE


def cut_windows(subject: Subject[State]) -> list[np.ndarray]:
    """Cut the image at its scale: whole, or the windows of the fixed grid, in every view and scale to average."""
    return _cut(subject, shift=False)


def cut_shifted(subject: Subject[State]) -> list[np.ndarray]:
    """Cut the image on the shifted grid, if that is asked for."""
    return _cut(subject, shift=True) if subject.options.check_grid and subject.state.maps is not None else []


def weigh_first_pass(subject: Subject[State], count: int) -> list[float]:
    """Weigh the items of the first pass: the others show the same at other scales or mirrored."""
    first = subject.state.passes[0].items
    return [1.0] * first + [0.0] * (count - first)


def _cut(subject: Subject[State], *, shift: bool) -> list[np.ndarray]:
    if subject.cards[PART].arch == OTSU:
        return []
    rgb = rgb_of(subject)
    diameter = subject.state.diameter
    factor = factor_of(subject, diameter) if diameter and network_diameter(subject) else 1.0
    options = subject.options
    views, scales = (1, 1) if options.raw else (options.views, options.scales)
    passes = plan_passes(rgb.shape, factor, views=views, scales=scales, shift=shift)
    subject.state.passes = passes
    return [item for way in passes for item in cut_pass(rgb, way)]


def segment(module: torch.nn.Module, batch: list[torch.Tensor]) -> list[np.ndarray]:
    """Run the network: per item (h, w, K) uint8 with the probabilities of all classes but background, then distance."""
    images = normalise(torch.stack(batch)).contiguous(memory_format=torch.channels_last)
    outputs = module(images).float()
    distance = has_distance(module)
    logits = outputs[:, :-1] if distance else outputs
    maps = [logits.softmax(1)[:, 1:]]
    if distance:
        maps.append(outputs[:, -1:].sigmoid())
    joined = (torch.cat(maps, 1) * 255).round().to(torch.uint8).movedim(1, -1)
    return list(joined.cpu().numpy())


def portable_maps(module: torch.nn.Module, images: torch.Tensor, _card: ModelCard) -> torch.Tensor:
    """Give the maps of `segment` as float32, (N, C, H, W)."""
    outputs = module(normalise(images))
    distance = has_distance(module)
    maps = [(outputs[:, :-1] if distance else outputs).softmax(1)[:, 1:]]
    if distance:
        maps.append(outputs[:, -1:].sigmoid())
    return torch.cat(maps, 1)


def portable_channels(card: ModelCard) -> tuple[str, ...]:
    """Name the maps of `portable_maps`."""
    classes = tuple(card.normalisation["pixel_classes"][1:])
    return (*classes, "distance") if has_distance(build_network(card.arch, card.arch_args)) else classes


def portable_window(_card: ModelCard, _module: torch.nn.Module) -> tuple[int, int]:
    """Give a window; others do as well."""
    return 256, 256


def portable_scale(card: ModelCard) -> str:
    """Say how large nuclei must be."""
    return f"RGB in [0, 1], nuclei of about {card.normalisation['diameter']:.0f} pixels in diameter"


def store_maps(subject: Subject[State], outputs: list[Any]) -> None:
    """Average what the passes gave."""
    if outputs:
        subject.state.maps = average_passes(outputs, subject.state.passes)
    subject.state.passes = []


def compare_shifted(subject: Subject[State], outputs: list[Any]) -> None:
    """Find the nuclei once more on the shifted grid and keep how far the two results agree."""
    if not outputs:
        return
    assert subject.state.maps is not None
    here = nuclei_of(subject, subject.state.maps)
    there = nuclei_of(subject, average_passes(outputs, subject.state.passes))
    subject.state.passes = []
    mine, other = here.labels > 0, there.labels > 0
    total = int(mine.sum() + other.sum())
    subject.state.shift = {
        "shifted_grid_dice": 2 * int((mine & other).sum()) / total if total else 1.0,
        "shifted_grid_count": len(there.score),
    }


def nuclei_of(subject: Subject[State], output: np.ndarray) -> Nuclei:
    """Turn averaged maps into nuclei by the subject's options."""
    options = subject.options
    if options.raw:
        shape = (subject.image.height, subject.image.width)
        return raw_nuclei(maps_of(output, subject), shape, threshold=options.probability_threshold)
    return find_nuclei(
        maps_of(output, subject),
        (subject.image.height, subject.image.width),
        rgb=rgb_of(subject),
        threshold=options.probability_threshold,
        depth=options.split_depth,
        min_area=options.min_area,
        doubtful_area=options.doubtful_area,
        doubtful_score=options.doubtful_score,
        min_nucleus=options.min_nucleus,
    )


def otsu_nuclei(rgb: np.ndarray) -> Nuclei:
    """Give the baseline's nuclei: components of the darkest of three Otsu classes, of at least 20 pixels."""
    from skimage.measure import label as components

    from cellscope.imaging.labels import relabel, remove_small

    labels = components(otsu_classes(rgb) == 2, connectivity=2)
    kept = relabel(remove_small(labels, 20), by_position=True)
    return Nuclei(kept, None, np.ones(int(kept.max(initial=0))), int(labels.max(initial=0) - kept.max(initial=0)))


def find(subject: Subject[State]) -> Nuclei:
    """Give the nuclei of a subject that has been through the stages."""
    if subject.cards[PART].arch == OTSU:
        return otsu_nuclei(rgb_of(subject))
    maps, subject.state.maps = subject.state.maps, None
    assert maps is not None
    return nuclei_of(subject, maps)


def conclude(subject: Subject[State]) -> Result:
    """Turn a finished subject into its rows, pictures and files."""
    return result_of(subject, find(subject))


def result_of(
    subject: Subject[State], nuclei: Nuclei, told: Callable[[pd.DataFrame], None] = lambda table: None
) -> Result:
    """Give the rows, pictures and files of an image with its nuclei.

    Parameters
    ----------
    subject : Subject
    nuclei : Nuclei
    told : callable
        Changes the rows to what a person said, before anything is made from them.
    """
    rgb = rgb_of(subject)
    pixel, warnings = trusted_pixel_size(subject.image, typical_diameter(nuclei), NUCLEUS_UM, "nuclei")
    table = objects_table(nuclei, rgb, pixel, review_below=subject.options.review_below)
    told(table)
    if not subject.state.colour:
        warnings.append("the image has no colour although it has three channels; the outlines may be wrong")
    shift = subject.state.shift
    if shift and (shift["shifted_grid_count"] != len(table) or shift["shifted_grid_dice"] < 0.99):
        warnings.append(
            f"on a grid shifted by half a window {shift['shifted_grid_count']} nuclei are found instead of "
            f"{len(table)}; the masks overlap by Dice {shift['shifted_grid_dice']:.4f}"
        )
    if subject.cards[PART].arch == OTSU and not len(table):
        warnings.append("the baseline found no nucleus: no dark pixels stand out in pieces of 20 or more")
    big = subject.kind == SLIDE
    geojson = as_geojson(nuclei.labels, table, subject.name)
    artefacts: dict[str, Any] = {
        ".labels.tif": nuclei.labels,
        ".overlay.png": draw_overlay(rgb, nuclei.labels, nuclei.cells, table),
        ".geojson.gz" if big else ".geojson": geojson,
    }
    if nuclei.cells is not None:
        artefacts[".cells.tif"] = nuclei.cells
    summary = {
        "n_review": int(table["review"].sum()),
        "n_dropped": nuclei.dropped,
        "nucleus_diameter": subject.state.diameter,
        "area_median": _median(table["area"]),
        "circularity_median": _median(table["circularity"]),
        "nucleus_cell_ratio_median": _median(table["nucleus_cell_ratio"]),
        **shift,
    }
    return Result(objects=table, summary=summary, artefacts=artefacts, warnings=warnings)


def _median(values: pd.Series) -> float:
    """Give the median of what is known; NaN for nothing, of which pandas warns."""
    known = values.dropna()
    return float(known.median()) if len(known) else np.nan


def typical_diameter(nuclei: Nuclei) -> float | None:
    """Give the median diameter of the nuclei, pixels; None where there are none."""
    area = np.bincount(nuclei.labels.ravel())[1:]
    area = area[area > 0]
    return float(np.sqrt(4 * np.median(area) / np.pi)) if len(area) else None


def objects_table(nuclei: Nuclei, rgb: np.ndarray, pixel_size_um: float | None, *, review_below: float) -> pd.DataFrame:
    """Give the rows of ``objects.csv``: call, review with its reasons, measurements.

    A nucleus is marked for review when the network is unsure of it, the image's border cuts it, or its shape is none a
    single nucleus has (it fills less than 70 % of its convex hull without having lobes).
    """
    table = measure_nuclei(nuclei.labels, nuclei.cells, rgb, pixel_size_um)
    table.insert(1, "class", CLASSES[0])
    table.insert(2, "score", nuclei.score[table["label"].to_numpy(int) - 1])
    reasons = [
        "; ".join(
            text
            for text, holds in (
                ("unsure", row["score"] < review_below),
                ("cut by the border", row["cut_by_border"]),
                ("odd shape", row["solidity"] < 0.7 and row["n_lobes"] == 1),
            )
            if holds
        )
        for row in table.to_dict("records")
    ]
    table.insert(3, "review", [bool(reason) for reason in reasons])
    table["reasons"] = reasons
    return table


def build(card: ModelCard, tensors: dict[str, torch.Tensor]) -> torch.nn.Module:
    """Rebuild the network from its model file.

    Raises
    ------
    ModelError
        If the architecture is unknown or the tensors do not fit it.
    """
    if card.arch == OTSU:
        return torch.nn.Identity()
    with rebuilding(card):
        network = build_network(card.arch, card.arch_args)
        network.load_state_dict(tensors)
    return network.to(memory_format=torch.channels_last).eval()


ASSAY = Assay(
    name="nucleus-seg",
    inputs=InputSpec(
        kinds=KINDS,
        suffixes=SUFFIXES,
        kind_of=kind_of,
        wants=Wants.COLOUR,
    ),
    stages=(
        Stage(PART, KINDS, 4, cut_estimate, segment, estimate_scale),
        Stage(PART, KINDS, 4, cut_estimate_again, segment, estimate_scale),
        Stage(PART, KINDS, 4, cut_windows, segment, store_maps, weigh=weigh_first_pass),
        Stage(PART, KINDS, 4, cut_shifted, segment, compare_shifted),
    ),
    state=State,
    parts=(PART,),
    summary_columns=SUMMARY,
    class_part=PART,
    layers={PART: ("stages.2", "encoder", "downs.4", "backbone.layer4")},
    described_as={SLIDE: IMAGE},
    portable={PART: Portable(portable_maps, portable_channels, portable_window, portable_scale, step=32)},
    build=build,
    conclude=conclude,
    summarise=summarise,
    figures={IMAGE: (".overlay.png",), SLIDE: (".overlay.png",)},
    weightless={OTSU: OTSU_CARD},
)
