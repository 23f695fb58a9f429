"""Prepared sequences in memory, how often each is drawn, and their variations, the same for all frames of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from cellscope.assays.mitosis.datasets.cameras import other_microscope
from cellscope.assays.mitosis.sequences.channels import two_channels
from cellscope.assays.mitosis.sequences.names import Facts
from cellscope.assays.mitosis.sequences.tracks import measure
from cellscope.assays.mitosis.sequences.view import (
    FRAMES,
    TRAINED_PIXEL_UM,
    Trace,
    affine_grid,
    choose_frames,
    field_of_view,
    follow_trace,
    normalise,
    sample,
)
from cellscope.io.movie import open_movie
from cellscope.io.prepared import PreparedDataset
from cellscope.io.table import read_table

SEQUENCES = "sequences.csv"
"""In a prepared dataset: what is known of each sequence."""

RARE = 15.0
"""Added to the number of sequences of a dose, line and class when draws are balanced: single ones stay rare."""

TURN = 0.25
"""Most that a square which lies as the cell does is turned in training, radians; half as much more in each frame."""


OTHER_CAMERA = 0.8
"""Share of sequences that another microscope records, with ``--augment camera``."""


@dataclass
class Sequences:
    """A split in memory.

    Attributes
    ----------
    ids, groups : list of str
    pixels : list of (T, 2, H, W) float16
        Normalised; T is `FRAMES`.
    sizes : (N,) float32
        Pixel size in micrometres, NaN where unknown.
    labels : (N,) int64
    facts : list of Facts
    measurements : (N, FEATURES) float32
        From `tracks.measure`.
    traces : list of Trace
        From `view.follow_trace`.
    recorded : list of (T, 2, H, W) float16 or float32
        As stored, not normalised; empty where it was not asked for.
    tone : str
        Of `view.normalise`.
    """

    ids: list[str]
    groups: list[str]
    pixels: list[torch.Tensor]
    sizes: np.ndarray
    labels: np.ndarray
    facts: list[Facts]
    measurements: torch.Tensor
    traces: list[Trace]
    recorded: list[np.ndarray] = field(default_factory=list)
    tone: str = "absorption"

    def __len__(self) -> int:
        return len(self.ids)

    def fields(self, settings: Mapping[str, Any]) -> torch.Tensor:
        """Return (N,) how wide a square the network sees of each, in pixels."""
        known = [None if np.isnan(size) else float(size) for size in self.sizes]
        sides = [(x.shape[2] + x.shape[3]) / 2 for x in self.pixels]
        return torch.tensor(
            [field_of_view(side, size, settings) for side, size in zip(sides, known, strict=True)], dtype=torch.float32
        )


def read_facts(dataset: PreparedDataset) -> dict[str, Facts]:
    """Return id -> what is known of each sequence of a prepared dataset."""
    rows = read_table(dataset.root / SEQUENCES, ("id", "line", "dose", "position", "date", "frames"))
    return {row["id"]: Facts(row["line"], row["dose"], row["position"], row["date"], row["frames"]) for row in rows}


def load_sequences(
    dataset: PreparedDataset,
    rows: pd.DataFrame,
    classes: Sequence[str],
    *,
    measured: bool = True,
    tone: str = "absorption",
    recorded: bool = False,
) -> Sequences:
    """Read and normalise rows of ``items.csv``; sequences of another length are brought to `FRAMES` frames.

    Parameters
    ----------
    dataset : PreparedDataset
    rows : DataFrame
    classes : sequence of str
    measured : bool
        Measure them as well, which takes ten times as long; otherwise ``measurements`` has no columns.
    tone : str
        Of `view.normalise`.
    recorded : bool
        Keep them as they were stored too.
    """
    facts = read_facts(dataset)
    pixels, sizes, measurements, traces, stored = [], [], [], [], []
    for image in rows["image"]:
        shown, measures, trace, size, pair = _read_one(
            str(dataset.root / image), dataset.hash, measured, tone, recorded
        )
        traces.append(trace)
        if pair is not None:
            stored.append(pair)
        pixels.append(shown)
        measurements.append(measures)
        sizes.append(np.nan if size is None else size)
    labels = np.array([list(classes).index(name) for name in rows["class"]], np.int64)
    known = [facts.get(name, Facts()) for name in rows["id"]]
    sizes_um, stacked = np.array(sizes, np.float32), torch.stack(measurements) if measurements else torch.zeros(0, 0)
    return Sequences(
        list(rows["id"]), list(rows["group"]), pixels, sizes_um, labels, known, stacked, traces, stored, tone
    )


@lru_cache(maxsize=4096)
def _read_one(
    path: str, _hash: str, measured: bool, tone: str, recorded: bool
) -> tuple[torch.Tensor, torch.Tensor, Trace, float | None, np.ndarray | None]:
    """Read one prepared sequence; kept, because the trainings of a cross-validation share them."""
    movie = open_movie(path)
    pair = two_channels(movie.read(choose_frames(movie.frames, FRAMES, "pad").tolist()))
    zoom = (movie.pixel_size_um or TRAINED_PIXEL_UM) / TRAINED_PIXEL_UM
    measures = torch.from_numpy(measure(pair, zoom)) if measured else torch.zeros(0)
    shown = normalise(pair, tone)
    kept = None
    if recorded:  # float16 holds whole numbers up to 2048
        kept = pair.astype(np.float16) if pair.max() <= 2048 else pair
    return torch.from_numpy(shown).half(), measures, follow_trace(shown[:, 1]), movie.pixel_size_um, kept


def draw_weights(sequences: Sequences, balance: str) -> np.ndarray:
    """Say how often each sequence is drawn.

    Parameters
    ----------
    sequences : Sequences
    balance : str
        ``none`` and ``loss``: each alike. ``class``: classes equally often. ``dose``: classes equally
        often, and within a class no line and dose far more often than another, so that dose says less about the class.

    Returns
    -------
    (N,) float64, sums to 1
    """
    weights = np.ones(len(sequences))
    if balance == "dose":
        keys = [
            (fact.line, fact.dose, int(label)) for fact, label in zip(sequences.facts, sequences.labels, strict=True)
        ]
        counts = pd.Series(keys).map(pd.Series(keys).value_counts()).to_numpy(float)
        weights = 1 / (counts + RARE)
    if balance in ("class", "dose"):
        for label in np.unique(sequences.labels):
            weights[sequences.labels == label] /= weights[sequences.labels == label].sum()
    return weights / weights.sum()


def plain_batch(sequences: Sequences, index: Sequence[int], settings: Mapping[str, Any]) -> torch.Tensor:
    """Give sequences as a network sees them in prediction: (B, T, 2, size, size) float32."""
    fields = sequences.fields(settings)
    return torch.stack([_sample(sequences.pixels[i], sequences.traces[i], fields[i : i + 1], settings) for i in index])


def varied_batch(
    sequences: Sequences, index: Sequence[int], settings: Mapping[str, Any], kind: str, fields: torch.Tensor
) -> torch.Tensor:
    """Give varied views for training, drawn from torch's global generator.

    Parameters
    ----------
    sequences : Sequences
    index : sequence of int
    settings : mapping
        ``size``, ``zoom_power``, ``follow``, ``turn``.
    kind : str
        ``paper``: flips, rotation by up to 90 degrees, uniform noise, elastic deformation on a grid of 3x3 nodes.
        ``strong``: rotation by any angle, zoom, shift and elastic deformation; contrast, brightness and gamma of each
        channel, blur and noise; frames shifted, dropped or repeated; now and then one channel left out. ``camera``: as
        strong, but light, sharpness and noise are varied before normalisation, as another microscope would have
        recorded them. ``none``.
    fields : (N,) float
        `Sequences.fields` of all.

    Returns
    -------
    (B, T, 2, size, size) float32
    """
    if kind == "none":
        return torch.stack(
            [_sample(sequences.pixels[i], sequences.traces[i], fields[i : i + 1], settings) for i in index]
        )
    camera, strong = kind == "camera", kind in ("strong", "camera")
    views = []
    for i in index:
        order = _jitter(len(sequences.pixels[i])) if strong else torch.arange(len(sequences.pixels[i]))
        pixels, trace = sequences.pixels[i], sequences.traces[i]
        if camera and torch.rand(1) < OTHER_CAMERA:
            rng = np.random.default_rng(int(torch.randint(2**62, (1,))))
            pair = other_microscope(sequences.recorded[i].astype(np.float32), rng)
            pixels = torch.from_numpy(normalise(pair, sequences.tone))
        pixels = pixels[order]
        trace = Trace(trace.shift[order], trace.turn[order])
        fov = fields[i : i + 1] * (torch.exp(_uniform(0.2)) if strong else 1.0)
        angle = torch.rand(1) * (2 * torch.pi if strong else torch.pi / 2)
        if settings.get("turn"):  # as the cell lies, more or less, either way round
            angle = _uniform(TURN) + torch.pi * (torch.rand(1) < 0.5)
            trace = Trace(trace.shift, trace.turn + _uniform(TURN / 2, len(trace.turn)))
        mirror = (torch.rand(1) < 0.5).float() * 2 - 1
        shift = torch.cat([_uniform(5.0), _uniform(5.0)])[None] if strong else torch.zeros(1, 2)
        nodes = 4 if strong else 3
        elastic = (torch.rand(1, 2, nodes, nodes) * 2 - 1) * 0.07
        view = _sample(pixels, trace, fov, settings, elastic, angle=angle, mirror=mirror, shift=shift)
        views.append(view if strong or torch.rand(1) < 0.5 else view.flip(-2))
    batch = torch.stack(views)
    if camera:
        return _without_one_channel(batch)
    return _without_one_channel(_vary_tone(batch)) if strong else batch + (torch.rand_like(batch) * 2 - 1) * 0.05


def _uniform(most: float, count: int = 1) -> torch.Tensor:
    return (torch.rand(count) * 2 - 1) * most


def _sample(
    pixels: torch.Tensor,
    trace: Trace,
    fov: torch.Tensor,
    settings: Mapping[str, Any],
    elastic: torch.Tensor | None = None,
    **turn: Any,
) -> torch.Tensor:
    size = int(settings["size"])
    height, width = pixels.shape[2:]
    grid = affine_grid(fov, (height, width), size, **turn)
    if elastic is not None:
        bend = F.interpolate(elastic, (size, size), mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
        grid = grid + bend * fov / torch.tensor([width, height])
    turned = bool(settings.get("turn"))
    return sample(pixels.float(), grid, trace if settings.get("follow") else None, turned=turned)


def _jitter(frames: int) -> torch.Tensor:
    """Shift a sequence by up to two frames (its first or last is repeated), or drop one frame and repeat one."""
    chance = float(torch.rand(1))
    if chance < 0.3:
        by = int(torch.randint(-2, 3, (1,)))
        return (torch.arange(frames) + by).clamp(0, frames - 1)
    if chance < 0.5:
        dropped, repeated = torch.randint(0, frames, (2,)).tolist()
        kept = [place for place in range(frames) if place != dropped]
        repeated = min(repeated, len(kept) - 1)
        kept.insert(repeated, kept[repeated])
        return torch.tensor(kept)
    return torch.arange(frames)


def _vary_tone(batch: torch.Tensor) -> torch.Tensor:
    """Vary contrast, brightness, gamma, sharpness and noise; each sequence as a whole."""
    count = len(batch)

    def each(most: float) -> torch.Tensor:
        return _uniform(most, count).view(count, 1, 1, 1)

    light = batch[:, :, 0] * torch.exp(each(0.5)) + each(0.3)
    nuclei = (batch[:, :, 1] * torch.exp(each(0.3))).clamp_min(0) ** torch.exp(each(0.35))
    batch = torch.stack([light, nuclei], 2)
    blurred = torch.rand(count) < 0.4
    if blurred.any():
        side = torch.tensor([1.0, 2.0, 1.0]) / 4
        kernel = (side[:, None] * side).expand(2, 1, 3, 3)
        batch[blurred] = F.conv2d(batch[blurred].flatten(0, 1), kernel, padding=1, groups=2).view_as(batch[blurred])
    return batch + torch.randn_like(batch) * torch.rand(count, 1, 1, 1, 1) * 0.1


def _without_one_channel(batch: torch.Tensor) -> torch.Tensor:
    """Empty one channel of a tenth of the sequences."""
    left_out = torch.rand(len(batch))
    batch[:, :, 0][left_out < 0.05] = 0
    batch[:, :, 1][(left_out >= 0.05) & (left_out < 0.1)] = 0
    return batch
