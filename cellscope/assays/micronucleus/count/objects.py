"""The rows of a field: cells with their class, measurements and micronuclei; which of them can be scored at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from cellscope.assays.micronucleus.classes import MICRONUCLEUS, NORMAL
from cellscope.assays.micronucleus.count.adjustment import Counts, observed_interval
from cellscope.assays.micronucleus.count.rates import ErrorRates
from cellscope.assays.micronucleus.datasets.sources.cells import nucleus_at
from cellscope.assays.micronucleus.find.instances import micronuclei_of
from cellscope.imaging.labels import label_table
from cellscope.imaging.measure import add_physical

BRIGHT = 2.2
"""Mitotic and dying nuclei are condensed: so many times as bright as the field's median nucleus ..."""

SMALL = 0.6
"""... and at most this share of its area. A rule, not learnt: the training fields hold no outlined examples."""

MN_COLUMNS = ("label", "parent", "score", "area", "centroid-0", "centroid-1")


def scorable(table: pd.DataFrame, shape: tuple[int, ...], background: float, *, keep_border: bool) -> np.ndarray:
    """Tell which cells can be scored: not cut off by the edge, not condensed (mitotic, dying).

    Parameters
    ----------
    table : DataFrame
        From `cellscope.imaging.labels.label_table`, with ``intensity_mean``.
    shape : (H, W)
    background : float
        Grey value of the background.
    keep_border : bool
        Leave cells at the edge in.

    Returns
    -------
    (N,) bool
    """
    inside = np.ones(len(table), bool)
    if not keep_border and len(table):
        boxes = table[[f"bbox-{number}" for number in range(4)]].to_numpy()
        inside = (boxes[:, 0] > 0) & (boxes[:, 1] > 0) & (boxes[:, 2] < shape[0]) & (boxes[:, 3] < shape[1])
    return inside & ~condensed(table, background)


def condensed(table: pd.DataFrame, background: float) -> np.ndarray:
    """Tell which nuclei are mitotic or dying by `BRIGHT` and `SMALL`; (N,) bool."""
    if len(table) < 3:  # no median to compare with
        return np.zeros(len(table), bool)
    signal = table["intensity_mean"].to_numpy(float) - background
    area = table["area"].to_numpy(float)
    return (signal > BRIGHT * np.median(signal)) & (area < SMALL * np.median(area))


def localise(
    logits: np.ndarray, reach: np.ndarray, positive: Sequence[int], threshold: float
) -> tuple[np.ndarray, dict[int, int], dict[int, float]]:
    """Find the micronuclei that are seen of the cells that were called positive.

    A cell may be called positive without one: the classifier weighs the whole cell, and its micronucleus may be too dim
    to be outlined, or none. Nothing is drawn there.

    Parameters
    ----------
    logits : (H, W) float32
        The finder's, per pixel.
    reach : (H, W) int32
        From `cellscope.assays.micronucleus.find.instances.reachable`.
    positive : sequence of int
        Nuclei called positive.
    threshold : float
        Least probability of a pixel.

    Returns
    -------
    labels, parents, scores
        As `micronuclei_of`.
    """
    return micronuclei_of(logits, np.where(np.isin(reach, list(positive)), reach, 0), threshold=threshold)


def cell_table(
    measured: pd.DataFrame,
    probability: np.ndarray,
    *,
    threshold: float,
    review_margin: float,
    able: np.ndarray,
    logits: np.ndarray,
    finder_scores: np.ndarray,
) -> pd.DataFrame:
    """Make the rows of ``objects.csv``; ``n_micronuclei`` is filled in later.

    Parameters
    ----------
    measured : DataFrame
        From `cellscope.imaging.labels.label_table`.
    probability : (N,) float
        Of a micronucleus.
    threshold : float
        From which a cell is positive.
    review_margin : float
        A cell nearer to the threshold than this is marked for review.
    able : (N,) bool
        Scorable.
    logits, finder_scores : (N,) float
        Classifier and finder scores, log odds.
    """
    positive = probability >= threshold
    table = pd.DataFrame(
        {
            "label": measured["label"].to_numpy(int),
            "class": np.where(positive, MICRONUCLEUS, NORMAL),
            "score": np.where(positive, probability, 1 - probability),
            "review": (np.abs(probability - threshold) < review_margin) & able,
            f"p_{NORMAL}": 1 - probability,
            f"p_{MICRONUCLEUS}": probability,
            "scorable": able,
            "n_micronuclei": 0,
            "corrected": False,
            "classifier_probability": expit(logits),
            "finder_probability": expit(finder_scores),
        }
    )
    return pd.concat([table, measured.drop(columns="label").reset_index(drop=True)], axis=1)


def apply_corrections(table: pd.DataFrame, labels: np.ndarray, corrections: Sequence[tuple[float, float, str]]) -> int:
    """Give cells the class a person gave them, found by place, so that other labels do no harm. Changes `table`.

    Parameters
    ----------
    table : DataFrame
        From `cell_table`.
    labels : (H, W) int
    corrections : sequence of (row, column, class)

    Returns
    -------
    int
        Corrections for which there is no nucleus.
    """
    lost = 0
    for row, column, class_ in corrections:
        label = nucleus_at(labels, (row, column))
        at = table.index[table["label"] == label]
        if label is None or not len(at):
            lost += 1
            continue
        table.loc[at, ["class", "score", "review", "corrected"]] = [class_, 1.0, False, True]
    return lost


def mark_unseen(table: pd.DataFrame, parents: Mapping[int, int]) -> None:
    """Fill in ``n_micronuclei``, and mark the cells called positive of which none is seen. Changes `table`.

    Parameters
    ----------
    table : DataFrame
        From `cell_table`.
    parents : mapping
        Micronucleus -> nucleus, from `localise`.
    """
    counts = pd.Series(list(parents.values()), dtype=int).value_counts()
    table["n_micronuclei"] = table["label"].map(counts).fillna(0).astype(int)
    table["unseen"] = (table["class"] == MICRONUCLEUS) & (table["n_micronuclei"] == 0)


def micronucleus_table(
    labels: np.ndarray, parents: Mapping[int, int], scores: Mapping[int, float], pixel_size_um: float | None
) -> pd.DataFrame:
    """Make the rows of ``micronuclei.csv``: label, parent, score, area, place; in order of the labels."""
    measured = label_table(labels, shapes=("area",))
    table = pd.DataFrame(
        {
            "label": measured["label"].astype(int),
            "parent": [parents[int(label)] for label in measured["label"]],
            "score": [scores[int(label)] for label in measured["label"]],
            "area": measured["area"],
            "centroid-0": measured["centroid-0"],
            "centroid-1": measured["centroid-1"],
        },
        columns=list(MN_COLUMNS),
    )
    return add_physical(table, pixel_size_um)


def summary_of(table: pd.DataFrame, rates: ErrorRates | None = None) -> dict[str, Any]:
    """Count a field's scorable cells for ``images.csv``.

    Parameters
    ----------
    table : DataFrame
        Rows of ``objects.csv``.
    rates : ErrorRates, optional
        How calls may differ on a new cell line; without them the interval is Wilson's.
    """
    counted = table[table["scorable"]]
    total = len(counted)
    positive = int((counted["class"] == MICRONUCLEUS).sum())
    found = int(counted["n_micronuclei"].sum())
    decided = counted[counted["corrected"]]
    confirmed = int((decided["class"] == MICRONUCLEUS).sum())
    low, high = observed_interval(Counts(len(decided), confirmed, total - len(decided), positive - confirmed), rates)
    return {
        "n_nuclei": total,
        "n_micronucleated": positive,
        "n_micronuclei": found,
        "mn_frequency": positive / total if total else None,
        "mn_frequency_low": low,
        "mn_frequency_high": high,
        "mn_per_nucleus": found / total if total else None,
    }
