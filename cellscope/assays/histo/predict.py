"""The histo assay for the engine: cut, network, postprocess."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from cellscope.assays.histo.baseline import otsu_nuclei
from cellscope.assays.histo.calibrate import calibrate
from cellscope.assays.histo.classes import PIXEL_SIZE_UM
from cellscope.assays.histo.figures import as_geojson, draw_overlay
from cellscope.assays.histo.measure import measure_nuclei
from cellscope.assays.histo.model import build_network, geometry, normalise, to_maps
from cellscope.assays.histo.postprocess import Nuclei, find_nuclei
from cellscope.assays.histo.windows import (
    Frame,
    Tiling,
    cut_tiles,
    join_tiles,
    labels_at_input,
    resample,
    scale_between,
)
from cellscope.engine.assay import Assay, Result, Stage, Subject, probability_columns
from cellscope.errors import InputError, ModelError, UsageError
from cellscope.imaging.labels import relabel
from cellscope.imaging.smear import to_rgb8
from cellscope.io.image import Image
from cellscope.io.read import SUFFIXES
from cellscope.models.card import ModelCard

PART = "nuclei"
IMAGE, SLIDE = "image", "slide"
KINDS = (IMAGE, SLIDE)
OTSU = "otsu"
#: Further from the model's resolution than this, either way, results are doubtful.
FAR = 2.5
#: Summary columns of ``images.csv``, before those per class.
SUMMARY = ("n_review", "area_mm2", "density_per_mm2", "shifted_grid_dice", "shifted_grid_count")

OTSU_CARD = ModelCard(
    assay="histo", part=PART, arch=OTSU, arch_args={}, classes=("nucleus",), channels=("red", "green", "blue"),
    normalisation={"kind": "none"}, pixel_size_um=PIXEL_SIZE_UM, thresholds={}, training={}, metrics={},
    cellscope_version="1",
)  # fmt: skip
"""The baseline without weights: Otsu's threshold on haematoxylin, then a watershed."""


def kind_of(image: Image, forced: str) -> str:
    """Tell what an input is taken for.

    Raises
    ------
    UsageError
        If `forced` is neither ``auto`` nor a kind.
    """
    if forced in KINDS:
        return forced
    if forced != "auto":
        raise UsageError(f"--input {forced}: histo reads {', '.join(KINDS)} (or auto)")
    return IMAGE


def rgb_of(subject: Subject) -> np.ndarray:
    """Give a subject's pixels, (H, W, 3) uint8.

    Raises
    ------
    InputError
        If they are no colour image.
    """
    try:
        return to_rgb8(subject.image.pixels, subject.name)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{subject.name}: {error}") from error


def frame_of(subject: Subject) -> Frame:
    """Give the window a subject is: the whole image unless it is one of several."""
    if "frame" not in subject.state:
        shape = (subject.image.height, subject.image.width)
        model_um = subject.cards[PART].pixel_size_um
        subject.state["frame"] = Frame.whole(shape, scale_between(subject.image.pixel_size_um, model_um))
    frame: Frame = subject.state["frame"]
    return frame


def _tiling(subject: Subject) -> Tiling:
    return Tiling(*geometry(subject.cards[PART].arch_args))


def _shift(tiling: Tiling) -> tuple[int, int]:
    """Give the shifted grid of the check: half a core and an odd number of pixels away, so that no border is shared."""
    return tiling.core // 2 + 5, tiling.core // 2 - 7


def cut_windows(subject: Subject) -> list[np.ndarray]:
    """Cut the image at the model's scale into the network's windows."""
    return _cut(subject, shift=False)


def cut_shifted(subject: Subject) -> list[np.ndarray]:
    """Cut the image on the shifted grid, if that is asked for."""
    return _cut(subject, shift=True) if subject.options.check_grid and "maps" in subject.state else []


def _cut(subject: Subject, *, shift: bool) -> list[np.ndarray]:
    rgb, frame = rgb_of(subject), frame_of(subject)
    if subject.cards[PART].arch == OTSU:
        return []
    tiling = _tiling(subject)
    scale, origin = subject.state.get("source", (frame.scale, (0, 0)))
    by = _shift(tiling) if shift else (0, 0)
    return cut_tiles(rgb, scale, frame.window, tiling, origin=origin, shift=by)


def segment(module: torch.nn.Module, batch: list[torch.Tensor]) -> list[np.ndarray]:
    """Run the network: per item (core, core, 3 + K) float16 maps."""
    images = normalise(torch.stack(batch)).contiguous(memory_format=torch.channels_last)
    return list(to_maps(module(images)).cpu().numpy())


def take_maps(subject: Subject, outputs: list[Any]) -> None:
    """Put the windows' maps together."""
    if outputs:
        subject.state["maps"] = join_tiles(outputs, frame_of(subject).window.shape, _tiling(subject))


def take_shifted(subject: Subject, outputs: list[Any]) -> None:
    """Find the nuclei once more on the shifted grid and keep how far the two results agree."""
    if not outputs:
        return
    tiling = _tiling(subject)
    maps = join_tiles(outputs, frame_of(subject).window.shape, tiling, _shift(tiling))
    here, there = _nuclei(subject, subject.state["maps"]), _nuclei(subject, maps)
    mine, other = here.labels > 0, there.labels > 0
    subject.state["shift"] = {
        "both": int((mine & other).sum()),
        "sum": int(mine.sum() + other.sum()),
        "count": len(there.score),
    }


def _nuclei(subject: Subject, maps: np.ndarray) -> Nuclei:
    return find_nuclei(maps, threshold=subject.options.probability_threshold)


def find(subject: Subject) -> Nuclei:
    """Give the nuclei of a subject that has been through the stages, at the input's own resolution.

    Returns
    -------
    Nuclei
        Labels of the pixels ``frame_of(subject).inputs``, the whole input unless it is a window of one; calibrated
        probabilities.
    """
    frame = frame_of(subject)
    card = subject.cards[PART]
    if card.arch == OTSU:
        scale, origin = subject.state.get("source", (frame.scale, (0, 0)))
        nuclei = otsu_nuclei(resample(rgb_of(subject), scale, frame.window, origin))
    else:
        nuclei = _nuclei(subject, subject.state.pop("maps"))
    probabilities = calibrate(nuclei.probabilities, card) if len(card.classes) > 1 else nuclei.probabilities
    labels = labels_at_input(nuclei.labels, frame)
    if labels is nuclei.labels:
        return Nuclei(labels, probabilities, nuclei.score)
    present = np.unique(labels)
    present = present[present > 0] - 1  # at a coarser resolution a small one may have no pixel left
    return Nuclei(relabel(labels), probabilities[present], nuclei.score[present])


def resolution_warnings(image: Image, card: ModelCard) -> list[str]:
    """Say what is doubtful about an image's resolution."""
    model_um = card.pixel_size_um
    if not model_um:
        return []
    if not image.pixel_size_um:
        return [f"the file does not say its resolution; {model_um:g} um per pixel is assumed (--pixel-size sets it)"]
    ratio = image.pixel_size_um / model_um
    if 1 / FAR <= ratio <= FAR:
        return []
    return [
        f"its resolution of {image.pixel_size_um:.3g} um per pixel is far from the model's {model_um:g}; "
        "expect more errors, and check --pixel-size"
    ]


def conclude(subject: Subject) -> Result:
    """Turn a finished subject into its rows, pictures and files."""
    card = subject.cards[PART]
    rgb, nuclei, pixel = rgb_of(subject), find(subject), subject.image.pixel_size_um
    shape = (subject.image.height, subject.image.width)
    table = measure_nuclei(
        rgb, nuclei, card.classes, pixel, origin=(0, 0), shape=shape, review_below=subject.options.review_below
    )
    warnings = resolution_warnings(subject.image, card)
    summary = summarise(table["class"].value_counts().to_dict(), card.classes, shape[0] * shape[1], pixel)
    summary["n_review"] = int(table["review"].sum())
    shift, notes = shift_summary(subject.state.get("shift"), len(table))
    artefacts = {
        ".labels.tif": nuclei.labels,
        ".overlay.png": draw_overlay(rgb, nuclei.labels, table, card.classes),
        ".geojson": as_geojson(nuclei.labels, table, subject.name, card.classes),
    }
    return Result(objects=table, summary=summary | shift, artefacts=artefacts, warnings=warnings + notes)


def summarise(
    counts: Mapping[str, int], classes: tuple[str, ...], pixels: int, pixel_size_um: float | None
) -> dict[str, Any]:
    """Give the counts and densities of ``images.csv``.

    Parameters
    ----------
    counts : mapping
        Class -> nuclei.
    classes : tuple of str
    pixels : int
        The area they were looked for in, input pixels.
    pixel_size_um : float or None
        Densities are left out without it.
    """
    found: dict[str, Any] = {f"n_{name}": int(counts.get(name, 0)) for name in classes} if len(classes) > 1 else {}
    if pixel_size_um:
        area = pixels * pixel_size_um**2 / 1e6
        found["area_mm2"] = area
        if area > 0:
            found["density_per_mm2"] = sum(counts.values()) / area
            if len(classes) > 1:
                found |= {f"{name}_per_mm2": counts.get(name, 0) / area for name in classes}
    return found


def shift_summary(shift: Mapping[str, int] | None, count: int) -> tuple[dict[str, Any], list[str]]:
    """Give the summary columns of the shifted grid and, where the results differ, a warning."""
    if not shift:
        return {}, []
    dice = 2 * shift["both"] / shift["sum"] if shift["sum"] else 1.0
    notes = []
    if shift["count"] != count or dice < 0.99:
        notes = [
            f"on a grid shifted by half a window {shift['count']} nuclei are found instead of {count}; "
            f"the masks overlap by Dice {dice:.4f}"
        ]
    return {"shifted_grid_dice": dice, "shifted_grid_count": shift["count"]}, notes


def build(card: ModelCard, tensors: dict[str, torch.Tensor]) -> torch.nn.Module:
    """Rebuild the network from its model file.

    Raises
    ------
    ModelError
        If the tensors do not fit the architecture.
    """
    if card.arch == OTSU:
        return torch.nn.Identity()
    try:
        network = build_network(card.arch_args)
        network.load_state_dict(tensors)
    except (TypeError, RuntimeError, KeyError) as error:
        raise ModelError(
            f"the model's tensors do not fit its architecture {card.arch}: {str(error).splitlines()[0]}"
        ) from error
    return network.to(memory_format=torch.channels_last).eval()


def classes_columns(cards: Mapping[str, ModelCard]) -> tuple[str, ...]:
    """Give the probability columns of ``objects.csv``."""
    return probability_columns(cards[PART].classes)


def class_summary(cards: Mapping[str, ModelCard]) -> tuple[str, ...]:
    """Give the columns per type of ``images.csv``: counts, then densities."""
    classes = cards[PART].classes
    return (
        tuple(f"n_{name}" for name in classes) + tuple(f"{name}_per_mm2" for name in classes)
        if len(classes) > 1
        else ()
    )


ASSAY = Assay(
    name="histo",
    kinds=KINDS,
    suffixes=SUFFIXES,
    stages=(
        Stage(PART, KINDS, 4, cut_windows, segment, take_maps),
        Stage(PART, KINDS, 4, cut_shifted, segment, take_shifted),
    ),
    parts=(PART,),
    summary_columns=SUMMARY,
    classes_columns=classes_columns,
    class_summary=class_summary,
    kind_of=kind_of,
    build=build,
    conclude=conclude,
    figures={IMAGE: (".overlay.png",), SLIDE: (".overlay.png", ".density.png")},
    weightless={OTSU: OTSU_CARD},
)
