"""Confidence intervals: Wilson's for proportions, the bootstrap over groups for other metrics."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from statistics import NormalDist

import numpy as np

_LEAST_DEFINED = 0.5  # share of resamples on which the statistic must exist for its interval to be worth stating


def wilson(k: float, n: float, level: float = 0.95) -> tuple[float, float] | tuple[None, None]:
    """Wilson's score interval of a proportion, without continuity correction.

    Parameters
    ----------
    k, n : float
        Successes and trials, 0 <= k <= n; whole, or both divided by a number where trials say less than their number.
    level : float
        Two-sided confidence level, between 0 and 1.

    Returns
    -------
    low, high : float
        Within [0, 1] and always around k / n; None, None for no trials.

    Raises
    ------
    ValueError
        If `k`, `n` or `level` is out of range.

    Notes
    -----
    `scipy.stats.binomtest(k, n).proportion_ci(method="wilson")` agrees within 4e-16 but takes 3.3 ms where this takes
    13 us, for it works out the p-value first, and importing it 0.8 s, which `predict` would pay.

    References
    ----------
    E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209-212.
    """
    if not 0 <= k <= n:
        raise ValueError(f"{k} successes in {n} trials are not possible")
    if not 0 < level < 1:
        raise ValueError(f"the level must lie between 0 and 1, not {level}")
    if n == 0:
        return None, None
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share = k / n
    scale = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # Exact at the ends, where rounding would leave 1e-17 or hide the proportion itself.
    low = 0.0 if k == 0 else min(max(0.0, centre - half), share)
    high = 1.0 if k == n else max(min(1.0, centre + half), share)
    return low, high


def bootstrap(
    groups: Sequence[Hashable] | np.ndarray,
    statistic: Callable[[np.ndarray], float | None],
    *,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float] | tuple[None, None]:
    """Percentile bootstrap interval that resamples groups, not items.

    Items of one group (patient, slide, cell) resemble one another, so resampling items would promise too much.

    Parameters
    ----------
    groups : (N,) sequence of hashable
        The group of every item. What the groups are called does not matter, only which items share one.
    statistic : callable
        ``statistic(indices)`` with `indices` (M,) int64 into the items, those of a group drawn twice being there twice;
        returns a number, or None or NaN where it is undefined.
    n : int
        Resamples, at least 1.
    seed : int
        The same seed gives the same interval.
    level : float

    Returns
    -------
    low, high : float
        Percentiles over the resamples on which the statistic is defined. None, None with fewer than two groups (nothing
        is known about the spread between groups) or where the statistic is undefined on more than half of the
        resamples.

    Raises
    ------
    ValueError
        If `n` or `level` is out of range.

    References
    ----------
    B. Efron and R. Tibshirani, An Introduction to the Bootstrap (1993), section 13.3.
    """
    if n < 1 or not 0 < level < 1:
        raise ValueError(f"n must be at least 1 and the level between 0 and 1, not {n} and {level}")
    members: dict[Hashable, list[int]] = {}
    for item, group in enumerate(groups.tolist() if isinstance(groups, np.ndarray) else groups):
        members.setdefault(group, []).append(item)
    if len(members) < 2:
        return None, None
    blocks = [np.array(items, np.int64) for items in members.values()]
    random = np.random.default_rng(seed)
    values = []
    for _ in range(n):
        drawn = random.integers(0, len(blocks), len(blocks))
        value = statistic(np.concatenate([blocks[block] for block in drawn]))
        if value is not None and math.isfinite(value):
            values.append(float(value))
    if len(values) < _LEAST_DEFINED * n:
        return None, None
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def f1_wilson(hits: int, missed: int, false: int, level: float = 0.95) -> tuple[float, float] | tuple[None, None]:
    """Give an interval of F1 = 2 TP / (2 TP + FP + FN) that stays honest for few cases and at 0 and 1.

    F1 is a rising function 2 J / (1 + J) of J = TP / (TP + FP + FN), a proportion of the cases that are positive or
    called so; the ends are those of Wilson's interval of J.

    Parameters
    ----------
    hits, missed, false : int
        True positives, false negatives, false positives.
    level : float

    Returns
    -------
    low, high : float
        None, None without any such case.
    """
    low, high = wilson(hits, hits + missed + false, level)
    if low is None or high is None:
        return None, None
    return 2 * low / (1 + low), 2 * high / (1 + high)


def wider(
    one: tuple[float, float] | tuple[None, None], other: tuple[float, float] | tuple[None, None]
) -> tuple[float, float] | tuple[None, None]:
    """Return the interval that holds both; the defined one where the other is not."""
    if one[0] is None or one[1] is None:
        return other
    if other[0] is None or other[1] is None:
        return one
    return min(one[0], other[0]), max(one[1], other[1])
