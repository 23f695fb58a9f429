"""What happens to an image or a window of one: cut, network, postprocess."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from cellscope.assays.histo.classes import PART
from cellscope.assays.histo.networks.registry import geometry, geometry_of, normalise, to_maps
from cellscope.assays.histo.nuclei.baseline import otsu_nuclei
from cellscope.assays.histo.nuclei.calibration import calibrate, calibrate_score
from cellscope.assays.histo.nuclei.postprocess import Nuclei, find_nuclei
from cellscope.assays.histo.nuclei.sizes import KEPT
from cellscope.assays.histo.slides.regions import touches
from cellscope.assays.histo.slides.state import Source, State
from cellscope.assays.histo.slides.windows import (
    Box,
    Frame,
    Tiling,
    cut_tiles,
    cut_views,
    is_even,
    join_views,
    labels_at_input,
    resample,
    scale_between,
    working_um,
)
from cellscope.engine.assay import Subject
from cellscope.imaging.labels import relabel
from cellscope.imaging.smear import to_rgb8
from cellscope.imaging.tiling import Grid
from cellscope.models.card import ModelCard

OTSU = "otsu"
#: Arguments of `find_nuclei` that a model's card may hold, and the options that overrule them.
TUNED = {"threshold": "probability_threshold", "edge": "edge", "min_score": "min_score", "min_area": "min_area"}


def rgb_of(subject: Subject[State]) -> np.ndarray:
    """Give a subject's pixels, (H, W, 3) uint8.

    Raises
    ------
    InputError
        If they are no colour image.
    """
    return to_rgb8(subject.image.pixels, subject.name)


def frame_of(subject: Subject[State]) -> Frame:
    """Give the window a subject is: the whole image unless it is one of several."""
    if subject.state.frame is None:
        shape = (subject.image.height, subject.image.width)
        model_um = subject.cards[PART].pixel_size_um
        subject.state.frame = Frame.whole(shape, scale_between(working_um(subject.image), model_um))
    return subject.state.frame


def tiling_of(subject: Subject[State]) -> Tiling:
    """Give the tiles the model takes."""
    return Tiling(*geometry(subject.cards[PART].arch_args))


def _grid(subject: Subject[State], *, shifted: bool = False) -> Grid:
    """Give the grid of tiles over a subject's window.

    The shifted one of the check lies half a core and an odd number of pixels away, so that no border is shared.
    """
    tiling = tiling_of(subject)
    shift = (tiling.core // 2 + 5, tiling.core // 2 - 7) if shifted else (0, 0)
    return tiling.grid(frame_of(subject).window.shape, shift)


def cut_windows(subject: Subject[State]) -> list[np.ndarray]:
    """Cut the image at the model's scale into the network's tiles."""
    return _cut(subject, shifted=False)


def cut_shifted(subject: Subject[State]) -> list[np.ndarray]:
    """Cut the image on the shifted grid, if that is asked for."""
    if not subject.options.check_grid or subject.state.maps is None:
        return []
    return _cut(subject, shifted=True)


def _cut(subject: Subject[State], *, shifted: bool) -> list[np.ndarray]:
    rgb, frame = rgb_of(subject), frame_of(subject)
    if subject.cards[PART].arch == OTSU:
        return []
    grid = _grid(subject, shifted=shifted)
    source = subject.state.source or Source(frame.scale)
    tiles = cut_tiles(rgb, source.scale, frame.window, grid, origin=source.origin)
    inside = _inside(subject, grid)
    wanted = [here and not is_even(tile) for tile, here in zip(tiles, inside, strict=True)]
    subject.state.wanted = wanted  # until this grid's outputs are joined
    return cut_views(tiles, wanted, subject.options.views)


def _inside(subject: Subject[State], grid: Grid) -> list[bool]:
    """Tell which tiles lie where nuclei are segmented, in the order of `cut_tiles`."""
    frame, mask = frame_of(subject), subject.state.mask
    top, left = frame.window[:2]
    boxes = [Box(top + y, left + x, top + y + height, left + x + width) for y, x, height, width in grid.cores]
    return [touches(mask, box, frame) for box in boxes]


def weigh_views(subject: Subject[State], _count: int) -> list[float]:
    """Weigh tiles by the area of theirs inside the window, and of the views of a tile the first alone."""
    height, width = frame_of(subject).window.shape
    weights = []
    for (top, left, tall, wide), here in zip(_grid(subject).cores, subject.state.wanted, strict=True):
        if here:
            area = (min(top + tall, height) - max(top, 0)) * (min(left + wide, width) - max(left, 0))
            weights += [float(area), *[0.0] * (subject.options.views - 1)]
    return weights


def _join(subject: Subject[State], outputs: list[Any], *, shifted: bool) -> np.ndarray:
    """Put the maps of the tiles together."""
    wanted, subject.state.wanted = subject.state.wanted, []
    return join_views(outputs, wanted, subject.options.views, _grid(subject, shifted=shifted))


def segment(module: torch.nn.Module, batch: list[torch.Tensor]) -> list[np.ndarray]:
    """Run the network: per item (core, core, 3 + K) float16 maps."""
    images = normalise(torch.stack(batch)).contiguous(memory_format=torch.channels_last)
    return list(to_maps(module(images)).cpu().numpy())


def portable_maps(module: torch.nn.Module, images: torch.Tensor, _card: ModelCard) -> torch.Tensor:
    """Give the maps of `segment` as float32, (N, 3 + K, h, w)."""
    outputs = module(normalise(images))
    return torch.cat([outputs[:, :2].softmax(1)[:, 1:], outputs[:, 2:4].clamp(-1.5, 1.5), outputs[:, 5:].softmax(1)], 1)


def portable_channels(card: ModelCard) -> tuple[str, ...]:
    """Name the maps of `portable_maps`."""
    return ("nucleus", "horizontal", "vertical", *card.classes)


def portable_window(_card: ModelCard, module: torch.nn.Module) -> tuple[int, int]:
    """Give the window of a network: with the margin that its maps lack."""
    core, margin, _step = geometry_of(module)
    return core + 2 * margin, core + 2 * margin


def portable_scale(card: ModelCard) -> str:
    """Say how large pixels must be."""
    return f"RGB in [0, 1], pixels of {card.pixel_size_um} µm"


def join_maps(subject: Subject[State], outputs: list[Any]) -> None:
    """Put the tiles' maps together."""
    if outputs:
        subject.state.maps = _join(subject, outputs, shifted=False)


def compare_shifted(subject: Subject[State], outputs: list[Any]) -> None:
    """Find the nuclei once more on the shifted grid and keep how far the two results agree, in the window's core."""
    if not outputs:
        return
    assert subject.state.maps is not None
    maps = _join(subject, outputs, shifted=True)
    frame = frame_of(subject)
    here, there = (_nuclei(subject, each).labels for each in (subject.state.maps, maps))
    core, window = frame.core, frame.window
    place = np.s_[core.top - window.top : core.bottom - window.top, core.left - window.left : core.right - window.left]
    mine, other = here[place] > 0, there[place] > 0
    subject.state.shift = {
        "both": int((mine & other).sum()),
        "sum": int(mine.sum() + other.sum()),
        "here": _count(here, place),
        "there": _count(there, place),
    }


def _count(labels: np.ndarray, place: tuple[slice, slice]) -> int:
    """Count the labels whose centroid lies in a place."""
    rows, columns = np.nonzero(labels)
    numbers = labels[rows, columns]
    size = int(labels.max(initial=0)) + 1
    area = np.bincount(numbers, minlength=size)[1:]
    inside = np.ones(size - 1, bool)
    for axis, where in zip((rows, columns), place, strict=True):
        centre = np.bincount(numbers, axis, size)[1:] / np.maximum(area, 1)
        inside &= (centre >= where.start - 0.5) & (centre < where.stop - 0.5)
    return int((inside & (area > 0)).sum())


def _nuclei(subject: Subject[State], maps: np.ndarray) -> Nuclei:
    """Post-process maps by the options; what they leave open is what the model was tuned to, else the default."""
    options, tuned = subject.options, subject.cards[PART].thresholds
    chosen = {name: getattr(options, option) for name, option in TUNED.items()}
    chosen |= {name: tuned[name] for name, value in chosen.items() if value is None and name in tuned}
    chosen |= {name: tuned[name] for name in KEPT if name in tuned}
    return find_nuclei(maps, **{name: value for name, value in chosen.items() if value is not None})


def find(subject: Subject[State]) -> Nuclei:
    """Give the nuclei of a subject that has been through the stages, at the input's own resolution.

    Returns
    -------
    Nuclei
        Labels of the pixels ``frame_of(subject).inputs``, the whole input unless it is a window of one; calibrated
        probabilities and scores.
    """
    frame = frame_of(subject)
    card = subject.cards[PART]
    if card.arch == OTSU:
        source = subject.state.source or Source(frame.scale)
        rgb = resample(rgb_of(subject), source.scale, frame.window, source.origin)
        nuclei = otsu_nuclei(rgb, threshold=subject.state.otsu)
    elif subject.state.maps is not None:
        maps, subject.state.maps = subject.state.maps, None
        nuclei = _nuclei(subject, maps)
    else:  # all tiles of a window were left out
        nothing = np.zeros(frame.window.shape, np.int32)
        nuclei = Nuclei(nothing, np.zeros((0, len(card.classes)), np.float32), np.zeros(0, np.float32))
    probabilities = calibrate(nuclei.probabilities, card) if len(card.classes) > 1 else nuclei.probabilities
    score = calibrate_score(nuclei.score, card)
    labels = labels_at_input(nuclei.labels, frame)
    if labels is nuclei.labels:
        return Nuclei(labels, probabilities, score)
    present = np.unique(labels)
    present = present[present > 0] - 1  # at a coarser resolution a small one may have no pixel left
    return Nuclei(relabel(labels), probabilities[present], score[present])
