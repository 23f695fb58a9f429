"""Figures of merit with their 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cellscope.metrics.intervals import bootstrap, wilson
from cellscope.report.plots import interval_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


LEVEL = 0.95
"""Confidence level of every interval."""

RESAMPLES = 1000
"""Of every bootstrap interval."""


def _defined(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


@dataclass
class Metric:
    """One figure of merit with its 95 % interval.

    Attributes
    ----------
    name : str
        Key in ``eval.json``, e.g. ``mask_ap50``.
    value, low, high : float or None
        None where undefined; NaN and infinity become None. An interval without a value is dropped.
    n : int
        How many items the value rests on.
    convention : str
        What exactly was computed, in one sentence: averaging, thresholds, matching.
    per_class : dict, optional
        Class -> value, None where undefined.
    """

    name: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    convention: str
    per_class: dict[str, float | None] | None = None

    def __post_init__(self) -> None:
        self.value, self.low, self.high = _defined(self.value), _defined(self.low), _defined(self.high)
        if self.value is None or self.low is None or self.high is None:
            self.low = self.high = None
        elif self.low > self.high:
            raise ValueError(f"{self.name}: the interval {self.low} to {self.high} is upside down")
        if not self.name or not self.convention:
            raise ValueError(f"metric {self.name!r} needs a name and the convention it follows")
        if self.per_class is not None:
            self.per_class = {str(label): _defined(value) for label, value in self.per_class.items()}

    @property
    def text(self) -> str:
        """The value with its interval, for people: ``0.982 (0.951 to 0.996)``."""
        if self.value is None:
            return "undefined"
        interval = "" if self.low is None or self.high is None else f" ({self.low:.3g} to {self.high:.3g})"
        return f"{self.value:.3g}{interval}"


def measure(
    name: str,
    groups: Sequence[Hashable] | np.ndarray,
    statistic: Callable[[np.ndarray], float | None],
    *,
    convention: str,
    per_class: dict[str, float | None] | None = None,
    n: int | None = None,
    seed: int = 0,
) -> Metric:
    """Compute a statistic over all items and its bootstrap interval over groups.

    Parameters
    ----------
    name, convention, per_class
        As in `Metric`.
    groups, statistic, seed
        As in `cellscope.metrics.intervals.bootstrap`; the value is ``statistic`` of every item once.
    n : int, optional
        Resamples; `RESAMPLES` by default.

    Returns
    -------
    Metric
    """
    count = len(groups)
    value = statistic(np.arange(count)) if count else None
    n = RESAMPLES if n is None else n
    low, high = bootstrap(groups, statistic, n=n, seed=seed, level=LEVEL) if _finite(value) else (None, None)
    return Metric(name, value, low, high, count, convention, per_class)


def _finite(value: float | None) -> bool:
    return _defined(value) is not None


def proportion(name: str, k: int, n: int, *, convention: str) -> Metric:
    """Return k / n with Wilson's interval, for independent trials; undefined for none."""
    low, high = wilson(k, n, LEVEL)
    return Metric(name, k / n if n else None, low, high, n, convention)


def metrics_figure(metrics: Sequence[Metric], title: str) -> Figure:
    """Draw metrics as bars with their intervals, in their order."""
    return interval_figure(
        [metric.name for metric in metrics],
        [metric.value for metric in metrics],
        [metric.low for metric in metrics],
        [metric.high for metric in metrics],
        title=title,
    )


def over_folds(table: pd.DataFrame, names: Iterable[str]) -> list[Metric]:
    """Give mean and spread of the folds' means, as papers with a cross-validation print them.

    Parameters
    ----------
    table : DataFrame
        One row per image, with a column ``fold``; without it there is nothing to give.
    names : iterable of str
        Columns; images where one is empty count for nothing.

    Returns
    -------
    list of Metric
        ``folds.<name>_mean`` and ``folds.<name>_sd``.
    """
    if "fold" not in table:
        return []
    metrics, folds = [], table.groupby("fold")
    for name in names:
        means = folds[name].mean().dropna()
        text = f"mean over {len(means)} folds of the mean over images"
        metrics.append(Metric(f"folds.{name}_mean", float(means.mean()), None, None, len(means), text))
        spread = f"standard deviation (n - 1) of the {len(means)} folds' means"
        metrics.append(Metric(f"folds.{name}_sd", float(means.std(ddof=1)), None, None, len(means), spread))
    return metrics
