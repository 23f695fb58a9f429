"""How many micronuclei cells have: the distribution, Papworth's u test, Poisson and negative binomial beside it.

Counts in, numbers out; no image and no file.

References
----------
IAEA, Cytogenetic Dosimetry (EPR-Biodosimetry 2011), section 8 (dispersion index and u test);
C. I. Bliss, R. A. Fisher, Biometrics 9 (1953) 176-200 (the negative binomial distribution fitted by its likelihood).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import gammaln, psi

MOST = 3
"""Cells with so many micronuclei or more are taken together in the table."""

OVERDISPERSED = 1.96
"""Papworth's u above which counts are overdispersed (5 %)."""

_STEPS = 200
_LARGEST = 1e4
"""A size above which the negative binomial distribution cannot be told from Poisson's."""


@dataclass(frozen=True)
class Dispersal:
    """How micronuclei are spread over cells.

    Attributes
    ----------
    cells, micronuclei : int
    mean, variance : float
        Of micronuclei per cell; the variance has the divisor ``cells - 1``.
    index : float or None
        Variance over mean; 1 for Poisson. None without a micronucleus or with one cell.
    u : float or None
        Papworth's u: the index less 1, in its standard errors for Poisson. Above 1.96 it is overdispersed, below
        -1.96 underdispersed (5 %). None for fewer than two micronuclei.
    size : float or None
        Of the negative binomial distribution; its variance is ``mean + mean^2 / size``. None where the counts are not
        overdispersed: it is Poisson then.
    poisson_aic, negative_binomial_aic : float or None
        Akaike's criterion of both; the smaller fits better.
    """

    cells: int
    micronuclei: int
    mean: float
    variance: float | None
    index: float | None
    u: float | None
    size: float | None
    poisson_aic: float | None
    negative_binomial_aic: float | None


def disperse(cells_with: np.ndarray) -> Dispersal:
    """Describe the distribution of micronuclei over cells.

    Parameters
    ----------
    cells_with : (K,) int
        Cells with 0, 1, 2 ... micronuclei; at least one cell.

    Returns
    -------
    Dispersal
    """
    cells_with = np.asarray(cells_with, float)
    number = np.arange(len(cells_with))
    cells, total = int(cells_with.sum()), int((cells_with * number).sum())
    mean = total / cells
    variance = float((cells_with * (number - mean) ** 2).sum() / (cells - 1)) if cells > 1 else None
    index = variance / mean if variance is not None and total else None
    u = (index - 1) * math.sqrt((cells - 1) / (2 * (1 - 1 / total))) if index is not None and total > 1 else None
    size = negative_binomial_size(cells_with)
    poisson = _aic(cells_with, mean, None) if total else None
    negative_binomial = _aic(cells_with, mean, size) if size is not None else None
    return Dispersal(cells, total, mean, variance, index, u, size, poisson, negative_binomial)


def negative_binomial_size(cells_with: np.ndarray) -> float | None:
    """Fit the size of the negative binomial distribution by maximum likelihood, its mean being that of the counts.

    The slope of the likelihood has one zero where the variance (divisor: cells) exceeds the mean, else none. It is
    found by halving on the logarithm, for `scipy.optimize` takes long to import and `predict` does without.
    """
    cells_with = np.asarray(cells_with, float)
    number = np.arange(len(cells_with))
    cells = cells_with.sum()
    mean = float((cells_with * number).sum() / cells)
    if mean == 0 or float((cells_with * (number - mean) ** 2).sum() / cells) <= mean:
        return None

    def slope(size: float) -> float:
        return float((cells_with * (psi(number + size) - psi(size))).sum() - cells * np.log1p(mean / size))

    low, high = math.log(1e-6), math.log(_LARGEST)
    if slope(math.exp(high)) > 0:
        return None
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(math.exp(middle)) > 0 else (low, middle)
    return math.exp((low + high) / 2)


def _log_chances(number: np.ndarray, mean: float, size: float | None) -> np.ndarray:
    """Log probability of counts: Poisson without a size, else negative binomial."""
    if mean == 0:
        return np.where(number == 0, 0.0, -np.inf)
    if size is None:
        return np.asarray(number * math.log(mean) - mean - gammaln(number + 1))
    known = gammaln(number + size) - gammaln(size) - gammaln(number + 1)
    return np.asarray(known - size * math.log1p(mean / size) + number * math.log(mean / (size + mean)))


def _aic(cells_with: np.ndarray, mean: float, size: float | None) -> float:
    chances = _log_chances(np.arange(len(cells_with)), mean, size)
    return 2 * (1 if size is None else 2) - 2 * float((cells_with * chances).sum())


def expected(cells: int, mean: float, size: float | None) -> list[float]:
    """Give the cells to expect with 0, 1, ... and `MOST` or more micronuclei; Poisson without a size."""
    chances = np.exp(_log_chances(np.arange(MOST), mean, size))
    return [cells * float(chance) for chance in (*chances, max(1 - chances.sum(), 0.0))]


def distribution_row(name: str, micronuclei: np.ndarray, unseen: int) -> dict[str, Any]:
    """Make a row of ``distribution.csv``.

    Parameters
    ----------
    name : str
        The group.
    micronuclei : (N,) int
        Micronuclei seen in each scorable cell, at least one cell.
    unseen : int
        Cells called positive in which none is seen; they are among those with 0.
    """
    cells_with = np.bincount(micronuclei)
    found = disperse(cells_with)
    padded = np.pad(cells_with, (0, max(MOST + 1 - len(cells_with), 0)))
    labels = [*(str(number) for number in range(MOST)), f"{MOST}_or_more"]
    row: dict[str, Any] = {"group": name, "n_cells": found.cells, "n_micronuclei": found.micronuclei}
    row |= {f"cells_{x}": int(n) for x, n in zip(labels, (*padded[:MOST], padded[MOST:].sum()), strict=True)}
    row |= {"n_unseen": unseen, "mean": found.mean, "variance": found.variance}
    row |= {"dispersion_index": found.index, "papworth_u": found.u}
    poisson = expected(found.cells, found.mean, None)
    row |= {f"poisson_{x}": n for x, n in zip(labels, poisson, strict=True)} | {"poisson_aic": found.poisson_aic}
    other = [None] * len(labels) if found.size is None else expected(found.cells, found.mean, found.size)
    row |= {"negative_binomial_size": found.size}
    row |= {f"negative_binomial_{x}": n for x, n in zip(labels, other, strict=True)}
    return row | {"negative_binomial_aic": found.negative_binomial_aic}
