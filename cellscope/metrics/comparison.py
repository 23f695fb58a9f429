"""Tests of one method against another: over images, and over the folds of a cross-validation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats


def unpaired_t(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, int] | None:
    """Student's t-test of two independent samples with equal variance (Table 4 of MSFF-SegNeXt: 3 + 3 folds).

    Returns
    -------
    tuple or None
        t (negative when `first` is lower), two-sided p, degrees of freedom n1 + n2 - 2; None with fewer than two values
        on a side or without any spread.
    """
    x, y = np.asarray(first, float), np.asarray(second, float)
    if min(len(x), len(y)) < 2 or (np.ptp(x) == 0 and np.ptp(y) == 0):
        return None
    result = stats.ttest_ind(x, y)
    return float(result.statistic), float(result.pvalue), len(x) + len(y) - 2


def paired_t(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, int] | None:
    """Student's t-test of the differences of pairs: t, two-sided p, n - 1; None where it is undefined."""
    x, y = _pairs(first, second)
    if len(x) < 2 or np.ptp(x - y) == 0:
        return None
    result = stats.ttest_rel(x, y)
    return float(result.statistic), float(result.pvalue), len(x) - 1


def wilcoxon(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, int] | None:
    """Wilcoxon's signed-rank test of pairs: statistic, two-sided p, pairs that differ; None where none does."""
    x, y = _pairs(first, second)
    differing = int((x != y).sum())
    if not differing:
        return None
    result = stats.wilcoxon(x, y)
    return float(result.statistic), float(result.pvalue), differing


def _pairs(first: Sequence[float], second: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(first, float), np.asarray(second, float)
    if x.shape != y.shape:
        raise ValueError(f"pairs need samples of one length, not {len(x)} and {len(y)}")
    return x, y
