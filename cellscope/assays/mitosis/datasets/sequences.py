"""Prepared sequences in memory, and how often each is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import torch

from cellscope.assays.mitosis.sequences.channels import two_channels
from cellscope.assays.mitosis.sequences.names import Facts
from cellscope.assays.mitosis.sequences.tracks import measure
from cellscope.assays.mitosis.sequences.view import (
    FRAMES,
    TRAINED_PIXEL_UM,
    Trace,
    choose_frames,
    field_of_view,
    follow_trace,
    normalise,
)
from cellscope.io.movie import open_movie
from cellscope.io.prepared import PreparedDataset
from cellscope.io.table import read_table

SEQUENCES = "sequences.csv"
"""In a prepared dataset: what is known of each sequence."""

RARE = 15.0
"""Added to the number of sequences of a dose, line and class when draws are balanced: single ones stay rare."""


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
