"""How far rates of wrong calls differ between cell lines, fitted to what networks said of lines they had not seen.

Sensitivity and false positive rate of a field are binomial; their logits are normal over the lines and over the fields
of a line (a generalised linear mixed model, as meta-analyses of diagnostic tests use it: Chu and Cole, J. Clin.
Epidemiol. 59 (2006) 1331-1332). The standard deviations maximise the likelihood times themselves, which keeps them off
zero when there are few lines (Chung, Rabe-Hesketh, Dorie, Gelman and Liu, Psychometrika 78 (2013) 685-709). What a few
lines say of one more is then tried on each of them in turn, and widened until it holds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit

from cellscope.assays.micronucleus.classes import MICRONUCLEUS, NORMAL
from cellscope.assays.micronucleus.count.adjustment import Counts, observed_interval
from cellscope.assays.micronucleus.count.rates import SIDES, new_line_rates
from cellscope.errors import UsageError

GRID = tuple(float(value) for value in np.round(expit(np.linspace(-5, 5, 11)), 5))
"""Thresholds at which the spread is fitted; between them it is interpolated."""

DECISIONS = (0.5, 0.75, 0.95)
"""Thresholds at which intervals must cover the truth: the default, and about those of 95 and 99 % specificity."""

AIM = 0.9
"""Share of fields whose 95 % interval must cover the truth."""

FACTORS = tuple(1.15**power for power in range(10))
"""What the standard deviation between lines may be multiplied by until it does."""

LEAST_LINES = 2
EVEN = 1.8
"""Standard deviation of a logit at which a rate is about as likely to be anything between 0 and 1: wider says less."""

_NODES = 21
_LARGEST, _SMALLEST = 3.0, 0.02


def field_counts(cells: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Count the calls in every field.

    Parameters
    ----------
    cells : DataFrame
        ``cells.csv`` of `eval`.
    threshold : float
        Probability from which a cell is called positive.

    Returns
    -------
    DataFrame
        A row per field: ``image``, ``line``; ``n_true`` outlined nuclei, ``n_true_positive`` of them with a
        micronucleus; ``n_nuclei`` scorable cells found, ``n_called`` of them; and of the scorable ones
        ``true_positive`` of ``positive`` carriers and ``false_positive`` of ``negative`` others. What is no outlined
        nucleus counts as one without a micronucleus.
    """
    found = cells["scorable"] & cells["p"].notna()
    called = found & (cells["p"] >= threshold)
    carrier, true = cells["class"] == MICRONUCLEUS, cells["class"].isin((MICRONUCLEUS, NORMAL))
    marks = pd.DataFrame(
        {
            "image": cells["image"],
            "line": cells["line"],
            "n_true": true,
            "n_true_positive": carrier,
            "n_nuclei": found,
            "n_called": called,
            "true_positive": called & carrier,
            "positive": found & carrier,
            "false_positive": called & ~carrier,
            "negative": found & ~carrier,
        }
    )
    return marks.groupby(["image", "line"], sort=True).sum().reset_index()


def fit_side(called: np.ndarray, total: np.ndarray, lines: np.ndarray) -> tuple[float, float, float]:
    """Fit mean and standard deviations, between lines and between fields of a line, of the logit of a rate.

    Parameters
    ----------
    called, total : (F,) int
        Cells called positive, of so many, in each field.
    lines : (F,) str

    Returns
    -------
    mean, line, field : float
    """
    kept = total > 0
    order = np.argsort(lines[kept], kind="stable")
    counts = np.stack([called[kept], total[kept] - called[kept]], 1).astype(float)[order]
    edges = np.unique(lines[kept][order], return_index=True)[1]  # every line's first field
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    weights = weights / weights.sum()

    def loss(values: np.ndarray) -> float:
        mean, line, field = values[0], np.exp(values[1]), np.exp(values[2])
        at = (mean + line * nodes[:, None] + field * nodes).ravel()  # line nodes by field nodes
        each = counts @ -np.logaddexp(0, np.stack([-at, at]))
        most = each.max(1, keepdims=True)
        fields = np.exp(each - most).reshape(-1, _NODES, _NODES) @ weights
        by_line = np.add.reduceat(np.log(np.maximum(fields, 1e-300)) + most, edges, axis=0)
        top = by_line.max(1, keepdims=True)
        likelihood = float(np.sum(np.log(np.exp(by_line - top) @ weights) + top[:, 0]))
        half_a_cell = -0.5 * float(np.logaddexp(0, -mean) + np.logaddexp(0, mean))
        return -(likelihood + half_a_cell + float(values[1] + values[2]))

    rate = (counts[:, 0].sum() + 0.5) / (counts.sum() + 1)
    limits = (np.log(_SMALLEST), np.log(_LARGEST))
    best = minimize(
        loss, np.array([np.log(rate / (1 - rate)), np.log(0.5), np.log(0.3)]), method="L-BFGS-B",
        bounds=[(-9.0, 9.0), limits, limits],
    ).x  # fmt: skip
    return float(best[0]), float(np.exp(best[1])), float(np.exp(best[2]))


def _spread_at(cells: pd.DataFrame, thresholds: tuple[float, ...]) -> dict[str, Any]:
    sides: dict[str, dict[str, list[float]]] = {side: {"mean": [], "line": [], "field": []} for side in SIDES}
    lines = sorted(set(cells["line"]))
    for threshold in thresholds:
        counts = field_counts(cells, threshold)
        for side, called, total in (
            ("sensitivity", "true_positive", "positive"), ("false_positive", "false_positive", "negative"),
        ):  # fmt: skip
            mean, line, field = fit_side(*(counts[name].to_numpy() for name in (called, total, "line")))
            further = line * float(np.sqrt(1 + 1 / len(lines)))  # the mean is not known better than by so many lines
            for name, value in (("mean", mean), ("line", further), ("field", field)):
                sides[side][name].append(float(f"{value:.5g}"))
    return {"lines": lines, "thresholds": list(thresholds), **sides}


def widened(spread: dict[str, Any], factor: float) -> dict[str, Any]:
    """Multiply the standard deviations between lines, as far as rates from 0 to 1 are about equally likely."""
    wider = {
        side: {**spread[side], "line": [float(f"{min(factor * v, max(v, EVEN)):.5g}") for v in spread[side]["line"]]}
        for side in SIDES
    }
    return {**spread, **wider}


def covered(cells: pd.DataFrame, spread: dict[str, Any] | None, threshold: float) -> pd.DataFrame:
    """Give the 95 % interval of every field beside its true frequency.

    Parameters
    ----------
    cells : DataFrame
        ``cells.csv`` of `eval`.
    spread : dict or None
        From `fit_spread`; None for the interval of chance alone.
    threshold : float

    Returns
    -------
    DataFrame
        `field_counts`, ``true_frequency``, ``frequency``, ``low``, ``high``, ``covered``; of the fields with outlined
        nuclei and scorable cells.
    """
    counts = field_counts(cells, threshold)
    counts = counts[(counts["n_true"] > 0) & (counts["n_nuclei"] > 0)].reset_index(drop=True)
    rates = None if spread is None else new_line_rates(spread, threshold, 1)
    ends = [
        observed_interval(Counts(0, 0, total, called), rates)
        for total, called in zip(counts["n_nuclei"].astype(int), counts["n_called"].astype(int), strict=True)
    ]
    counts["true_frequency"] = counts["n_true_positive"] / counts["n_true"]
    counts["frequency"] = counts["n_called"] / counts["n_nuclei"]
    counts["low"], counts["high"] = np.array(ends, float).reshape(-1, 2).T
    counts["covered"] = counts["true_frequency"].between(counts["low"], counts["high"])
    return counts


def fit_spread(cells: pd.DataFrame) -> dict[str, Any]:
    """Fit what a new cell line does to calls, so that intervals of left-out lines cover the truth.

    Parameters
    ----------
    cells : DataFrame
        ``image``, ``line``, ``class`` (true; empty for what is no outlined nucleus), ``p`` (of a micronucleus; NaN for
        a nucleus that was not found), ``scorable``; of lines that the networks had not seen.

    Returns
    -------
    dict
        For the model card (`cellscope.assays.micronucleus.count.rates.new_line_rates`): ``lines``, ``fields``,
        ``thresholds`` and, for `SIDES`, ``mean``, ``line`` and ``field`` (logits) at each; the ``factor`` by which
        ``line`` had to be widened until, at each of `DECISIONS`, at least `AIM` of the fields were covered;
        ``coverage`` at the default threshold, with what is stored, and ``coverage_of_others``, of each line with what
        the other lines alone say (None for two lines); ``coverage_by_chance``, without any of this.

    Raises
    ------
    UsageError
        Fewer than two lines, or a class without cells.
    """
    lines = sorted(set(cells["line"]))
    if len(lines) < LEAST_LINES:
        raise UsageError(f"the cells are all of {lines[0] if lines else 'no line'}; two left-out cell lines are needed")
    missing = [name for name in (MICRONUCLEUS, NORMAL) if not ((cells["class"] == name) & cells["scorable"]).any()]
    if missing:
        raise UsageError(f"no scorable cell is truly {missing[0]}: its error rate cannot be measured")
    spread = _spread_at(cells, GRID)
    others = {}
    if len(lines) > LEAST_LINES:
        others = {line: _spread_at(cells[cells["line"] != line], DECISIONS) for line in lines}
    factor, within, beyond = 1.0, np.nan, np.nan
    for factor in FACTORS:
        wider = widened(spread, factor)
        within_at = [float(covered(cells, wider, at)["covered"].mean()) for at in DECISIONS]
        beyond_at = [
            float(pd.concat([covered(cells[cells["line"] == line], widened(other, factor), at)["covered"]
                             for line, other in others.items()]).mean())
            for at in DECISIONS
        ] if others else [1.0]  # fmt: skip
        within, beyond = within_at[0], beyond_at[0]
        if min(*within_at, *beyond_at) >= AIM:
            break
    by_chance = covered(cells, None, DECISIONS[0])
    return widened(spread, factor) | {
        "fields": len(by_chance),
        "factor": round(factor, 4),
        "coverage": round(within, 4),
        "coverage_of_others": round(beyond, 4) if others else None,
        "coverage_by_chance": round(float(by_chance["covered"].mean()), 4),
    }
