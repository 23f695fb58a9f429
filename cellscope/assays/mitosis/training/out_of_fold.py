"""What a cross-validation is worth: every fold judged by networks, and calibrated by folds, that had not seen it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from cellscope.assays.mitosis.assay import call
from cellscope.assays.mitosis.evaluation.evaluate import measures
from cellscope.io.prepared import PreparedDataset
from cellscope.io.write import write_csv
from cellscope.metrics.calibration import best_weights_and_bias

OUT_OF_FOLD = "out_of_fold.csv"
"""Of a cross-validation: every measure of ``eval`` with its interval, each sequence judged by who had not seen it."""


def folds_of(prepared: PreparedDataset, table: pd.DataFrame) -> np.ndarray:
    """Give (N,) the fold of each sequence of a table of predictions."""
    return table["id"].map(dict(zip(prepared.items["id"], prepared.items["fold"], strict=True))).to_numpy()


def by_others(fold: np.ndarray, calibrated: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Calibrate every fold by what the others say.

    Parameters
    ----------
    fold : (N,)
    calibrated : callable
        (N,) bool, true for the other folds -> (n, K) probabilities of the n sequences that are left.

    Returns
    -------
    (N, K) float
    """
    parts = {one: calibrated(fold != one) for one in np.unique(fold)}
    honest = np.zeros((len(fold), next(iter(parts.values())).shape[1]))
    for one, p in parts.items():
        honest[fold == one] = p
    return honest


def combined_by(odds: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Weigh log odds of frames and of measurements, (N, 2), by some rows; (n, 2) probabilities of the others."""
    weights, bias = best_weights_and_bias(odds[rows], labels[rows] == 1)
    p = 1 / (1 + np.exp(-(odds[~rows] @ np.asarray(weights) + bias)))
    return np.stack([1 - p, p], 1)


def write_out_of_fold(out: Path, table: pd.DataFrame, p: np.ndarray, classes: list[str]) -> None:
    """Write `OUT_OF_FOLD`; `p` : (N, K) float, of the rows of `table`."""
    known = table[["id", "group", "class"]].rename(columns={"id": "image"})
    for column in ("line", "dose"):
        known[column] = table[column].fillna("").replace("", "unknown").to_numpy()
    known["predicted"] = [classes[call(row, 0.5)] for row in p]
    known = known.join(pd.DataFrame(p, columns=[f"p_{name}" for name in classes]))
    rows = [[m.name, m.value, m.low, m.high, m.n] for m in measures(known, tuple(classes), 0.5)]
    write_csv(out / OUT_OF_FOLD, pd.DataFrame(rows, columns=["metric", "value", "low", "high", "n"]))
