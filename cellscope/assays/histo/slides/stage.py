"""What happens to an image or a window of one: cut, network, postprocess."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from cellscope.assays.histo.classes import PART
from cellscope.assays.histo.networks.registry import geometry, normalise, to_maps
from cellscope.assays.histo.nuclei.augmentation import augmented, average
from cellscope.assays.histo.nuclei.baseline import otsu_nuclei
from cellscope.assays.histo.nuclei.calibration import calibrate
from cellscope.assays.histo.nuclei.postprocess import Nuclei, find_nuclei
from cellscope.assays.histo.slides.regions import touches
from cellscope.assays.histo.slides.windows import (
    Box,
    Frame,
    Tiling,
    cut_tiles,
    join_tiles,
    labels_at_input,
    resample,
    scale_between,
)
from cellscope.engine.assay import Subject
from cellscope.imaging.labels import relabel
from cellscope.imaging.smear import to_rgb8

OTSU = "otsu"
#: Arguments of `find_nuclei` that a model's card may hold, and the options that overrule them.
TUNED = {"threshold": "probability_threshold", "edge": "edge", "min_score": "min_score", "min_area": "min_area"}
#: A tile whose colours each span no more than 8 of 255 levels is empty glass, or what a program filled in around a
#: cut-out; the palest nucleus differs from its surroundings by tens.
_EVEN = 8.5 / 255


def rgb_of(subject: Subject) -> np.ndarray:
    """Give a subject's pixels, (H, W, 3) uint8.

    Raises
    ------
    InputError
        If they are no colour image.
    """
    return to_rgb8(subject.image.pixels, subject.name)


def frame_of(subject: Subject) -> Frame:
    """Give the window a subject is: the whole image unless it is one of several."""
    if "frame" not in subject.state:
        shape = (subject.image.height, subject.image.width)
        model_um = subject.cards[PART].pixel_size_um
        subject.state["frame"] = Frame.whole(shape, scale_between(subject.image.pixel_size_um, model_um))
    frame: Frame = subject.state["frame"]
    return frame


def tiling_of(subject: Subject) -> Tiling:
    """Give the tiles the model takes."""
    return Tiling(*geometry(subject.cards[PART].arch_args))


def _shift(tiling: Tiling) -> tuple[int, int]:
    """Give the shifted grid of the check: half a core and an odd number of pixels away, so that no border is shared."""
    return tiling.core // 2 + 5, tiling.core // 2 - 7


def cut_windows(subject: Subject) -> list[np.ndarray]:
    """Cut the image at the model's scale into the network's tiles."""
    return _cut(subject, (0, 0))


def cut_shifted(subject: Subject) -> list[np.ndarray]:
    """Cut the image on the shifted grid, if that is asked for."""
    if not subject.options.check_grid or "maps" not in subject.state:
        return []
    return _cut(subject, _shift(tiling_of(subject)))


def _cut(subject: Subject, shift: tuple[int, int]) -> list[np.ndarray]:
    rgb, frame = rgb_of(subject), frame_of(subject)
    if subject.cards[PART].arch == OTSU:
        return []
    tiling = tiling_of(subject)
    scale, origin = subject.state.get("source", (frame.scale, (0, 0)))
    tiles = cut_tiles(rgb, scale, frame.window, tiling, origin=origin, shift=shift)
    inside = _inside(subject, shift)
    wanted = [here and not _even(tile) for tile, here in zip(tiles, inside, strict=True)]
    subject.state["wanted"] = wanted  # until this grid's outputs are joined
    views = subject.options.views
    return [copy for tile, here in zip(tiles, wanted, strict=True) if here for copy in augmented(tile, views)]


def _even(tile: np.ndarray) -> bool:
    """Tell whether a tile, (3, h, w) in [0, 1], shows nothing at all."""
    return bool((np.ptp(tile, axis=(1, 2)) < _EVEN).all())


def _inside(subject: Subject, shift: tuple[int, int]) -> list[bool]:
    """Tell which tiles lie where nuclei are segmented, in the order of `cut_tiles`."""
    frame, tiling = frame_of(subject), tiling_of(subject)
    window = frame.window
    rows, columns = (tiling.spans(size, by) for size, by in zip(window.shape, shift, strict=True))
    places = [Box(top, left, top + height, left + width) for top, height in rows for left, width in columns]
    mask = subject.state.get("mask")
    return [
        touches(
            mask, Box(p.top + window.top, p.left + window.left, p.bottom + window.top, p.right + window.left), frame
        )
        for p in places
    ]


def _join(subject: Subject, outputs: list[Any], shift: tuple[int, int]) -> np.ndarray:
    """Put the maps of the tiles together; maps are zero where a tile was left out."""
    views = subject.options.views
    given = (average(outputs[first : first + views]) for first in range(0, len(outputs), views))
    nothing = np.zeros_like(outputs[0][:1, :1])
    tiling, window = tiling_of(subject), frame_of(subject).window
    sizes = [
        (h, w) for _, h in tiling.spans(window.shape[0], shift[0]) for _, w in tiling.spans(window.shape[1], shift[1])
    ]
    every = [
        next(given) if wanted else np.broadcast_to(nothing, (*size, nothing.shape[-1]))
        for wanted, size in zip(subject.state.pop("wanted"), sizes, strict=True)
    ]
    return join_tiles(every, window.shape, tiling, shift)


def segment(module: torch.nn.Module, batch: list[torch.Tensor]) -> list[np.ndarray]:
    """Run the network: per item (core, core, 3 + K) float16 maps."""
    images = normalise(torch.stack(batch)).contiguous(memory_format=torch.channels_last)
    return list(to_maps(module(images)).cpu().numpy())


def take_maps(subject: Subject, outputs: list[Any]) -> None:
    """Put the tiles' maps together."""
    if outputs:
        subject.state["maps"] = _join(subject, outputs, (0, 0))


def take_shifted(subject: Subject, outputs: list[Any]) -> None:
    """Find the nuclei once more on the shifted grid and keep how far the two results agree, in the window's core."""
    if not outputs:
        return
    maps = _join(subject, outputs, _shift(tiling_of(subject)))
    frame = frame_of(subject)
    here, there = (_nuclei(subject, each).labels for each in (subject.state["maps"], maps))
    core, window = frame.core, frame.window
    place = np.s_[core.top - window.top : core.bottom - window.top, core.left - window.left : core.right - window.left]
    mine, other = here[place] > 0, there[place] > 0
    subject.state["shift"] = {
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


def _nuclei(subject: Subject, maps: np.ndarray) -> Nuclei:
    """Post-process maps by the options; what they leave open is what the model was tuned to, else the default."""
    options, tuned = subject.options, subject.cards[PART].thresholds
    chosen = {name: getattr(options, option) for name, option in TUNED.items()}
    chosen |= {name: tuned[name] for name, value in chosen.items() if value is None and name in tuned}
    return find_nuclei(maps, **{name: value for name, value in chosen.items() if value is not None})


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
        rgb = resample(rgb_of(subject), scale, frame.window, origin)
        nuclei = otsu_nuclei(rgb, threshold=subject.state.get("otsu"))
    elif "maps" in subject.state:
        nuclei = _nuclei(subject, subject.state.pop("maps"))
    else:  # all tiles of a window were left out
        nothing = np.zeros(frame.window.shape, np.int32)
        nuclei = Nuclei(nothing, np.zeros((0, len(card.classes)), np.float32), np.zeros(0, np.float32))
    probabilities = calibrate(nuclei.probabilities, card) if len(card.classes) > 1 else nuclei.probabilities
    labels = labels_at_input(nuclei.labels, frame)
    if labels is nuclei.labels:
        return Nuclei(labels, probabilities, nuclei.score)
    present = np.unique(labels)
    present = present[present > 0] - 1  # at a coarser resolution a small one may have no pixel left
    return Nuclei(relabel(labels), probabilities[present], nuclei.score[present])
