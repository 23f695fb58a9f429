"""A random sample of a run's cells, and the error rates that a person's scores of them give. Tables in, numbers out.

Half of the sample is drawn from the cells called positive, half from the others, as far as there are so many: of a
sample regardless of the call almost all cells would be normal, and sensitivity unknown. Rates are weighted back.

References
----------
A. Tenenbein, J. Am. Stat. Assoc. 65 (1970) 1350-1361 (double sampling with a second, better classifier).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from cellscope.assays.micronucleus.classes import MICRONUCLEUS
from cellscope.assays.micronucleus.count.frequency import LEVEL
from cellscope.assays.micronucleus.count.rates import ErrorRates
from cellscope.errors import UsageError

DRAWS = 1000
KEY = ("image", "label")


def draw_sample(cells: pd.DataFrame, number: int, seed: int) -> pd.DataFrame:
    """Draw cells to score by eye.

    Parameters
    ----------
    cells : DataFrame
        Rows of ``objects.csv`` that can be scored and that no person has decided.
    number : int
        Cells to draw; all where there are fewer.
    seed : int

    Returns
    -------
    DataFrame
        Rows of `cells` in random order.
    """
    rng = np.random.default_rng(seed)
    called = (cells["class"] == MICRONUCLEUS).to_numpy()
    yes, no = np.flatnonzero(called), np.flatnonzero(~called)
    of_yes = min(len(yes), max(number // 2, number - len(no)))
    chosen = np.concatenate(
        [rng.choice(yes, of_yes, replace=False), rng.choice(no, min(len(no), number - of_yes), replace=False)]
    )
    return cells.iloc[rng.permutation(chosen)]


def audited_rates(cells: pd.DataFrame, scores: Mapping[tuple[str, int], int]) -> tuple[ErrorRates, pd.DataFrame]:
    """Estimate sensitivity and specificity of a run's calls.

    Parameters
    ----------
    cells : DataFrame
        As `draw_sample` got them.
    scores : mapping
        (image, label) -> micronuclei seen by a person.

    Returns
    -------
    rates : ErrorRates
        From draws of the shares of carriers among the cells called positive and among the others (Jeffreys' prior).
    table : DataFrame
        ``error_rates.csv``: ``measure``, ``value``, ``low``, ``high`` (95 %) and ``n``, the scored cells it rests on.

    Raises
    ------
    UsageError
        No score is of a cell called positive, or none of another, or one is of no cell of the run.
    """
    call = dict(zip(zip(cells["image"], cells["label"].astype(int), strict=True), cells["class"], strict=True))
    if strange := [key for key in scores if key not in call]:
        image, label = strange[0]
        raise UsageError(f"cell {label} of {image} is scored, and is no scorable undecided cell of the run")
    sides = []
    for positive in (True, False):
        own = [number > 0 for key, number in scores.items() if (call[key] == MICRONUCLEUS) == positive]
        if not own:
            raise UsageError(f"no cell called {'positive' if positive else 'normal'} is scored; rates cannot be told")
        sides.append((sum(own), len(own)))
    share = float((cells["class"] == MICRONUCLEUS).mean())
    rng = np.random.default_rng(0)
    draws = [rng.beta(k + 0.5, n - k + 0.5, DRAWS) for k, n in sides]
    points = np.stack(_rates(share, *draws), 1)
    middle = _rates(share, *(k / n for k, n in sides))
    if np.isnan(middle).any():
        middle = tuple(np.median(points, 0))  # no carrier was seen at all: its rate is what the draws say
    rates = ErrorRates(float(middle[0]), float(middle[1]), points, np.full(DRAWS, 1 / DRAWS), "cells scored by eye")
    n = len(scores)
    rows = [
        _row("sensitivity", middle[0], points[:, 0], n),
        _row("specificity", 1 - middle[1], 1 - points[:, 1], n),
        _row("carriers among positive calls", sides[0][0] / sides[0][1], draws[0], sides[0][1]),
        _row("carriers among normal calls", sides[1][0] / sides[1][1], draws[1], sides[1][1]),
    ]
    return rates, pd.DataFrame(rows)


def _rates(share: float, among_positive: Any, among_normal: Any) -> tuple[Any, Any]:
    """Turn shares of carriers by call into sensitivity and false positive rate, by Bayes' theorem."""
    hits, missed = share * among_positive, (1 - share) * among_normal
    alarms, right = share * (1 - among_positive), (1 - share) * (1 - among_normal)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.divide(hits, hits + missed), np.divide(alarms, alarms + right)


def _row(measure: str, value: float, draws: np.ndarray, n: int) -> dict[str, Any]:
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"measure": measure, "value": value, "low": min(low, value), "high": max(high, value), "n": n}
