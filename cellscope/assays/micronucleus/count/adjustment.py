"""A frequency freed from wrong calls, where a person decided some of the cells, or where lines call differently.

Counts in, numbers out; no image and no file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cellscope.assays.micronucleus.count.frequency import LEVEL, Corrected, interval
from cellscope.assays.micronucleus.count.rates import ErrorRates

_GRID = 2000
_STEPS = 100


@dataclass(frozen=True)
class Counts:
    """Cells of one group: those a person decided, and those the model called.

    Attributes
    ----------
    decided, decided_positive : int
        Cells whose class a person gave.
    called, called_positive : int
        The others, and how many of them the model called micronucleated.
    """

    decided: int
    decided_positive: int
    called: int
    called_positive: int

    @property
    def total(self) -> int:
        """All cells."""
        return self.decided + self.called

    @property
    def positive(self) -> int:
        """All cells counted as micronucleated."""
        return self.decided_positive + self.called_positive


def adjusted_frequency(counts: Counts, rates: ErrorRates, index: float | None = None) -> Corrected:
    """Estimate the share of micronucleated cells behind calls that may be wrong and decisions that are right.

    The likelihood of a share p: a decided cell is a carrier with probability p; a called one is called positive with
    probability ``q = p se + (1 - p) fp``. Which cells a person looked at may depend on the call (a person looks at
    positive ones), since the call is known of every cell. With no cell decided the estimate is that of Rogan and
    Gladen, with all decided the observed share.

    Parameters
    ----------
    counts : Counts
    rates : ErrorRates
    index : float, optional
        Dispersion index of the fields: where it is above 1, cells say as much as ``1 / index`` as many.

    Returns
    -------
    Corrected
        The maximum of the likelihood at the central rates; the interval holds the middle 95 % of the likelihood
        averaged over the rates, with Jeffreys' prior of a share.
    """
    if counts.total == 0 or (counts.called and not rates.tells):
        return Corrected(None, None, None)
    value = _estimate(counts, rates.sensitivity, rates.false_positive)
    angle = (np.arange(_GRID) + 0.5) * (math.pi / 2 / _GRID)  # in this scale Jeffreys' prior is flat
    share = np.sin(angle) ** 2
    se, fp = rates.points[:, :1], rates.points[:, 1:]
    q = np.clip(fp + share * (se - fp), 1e-300, 1 - 1e-16)
    said = counts.called_positive * np.log(q) + (counts.called - counts.called_positive) * np.log1p(-q)
    known = counts.decided_positive * np.log(share)
    known += (counts.decided - counts.decided_positive) * np.log1p(-share)
    exponent = (said + known) / max(index or 1.0, 1.0)
    likelihood = rates.weights @ np.exp(exponent - exponent.max())
    reached = np.cumsum(likelihood) / likelihood.sum()
    low, high = np.interp([(1 - LEVEL) / 2, (1 + LEVEL) / 2], reached, share)
    return Corrected(value, min(float(low), value), max(float(high), value))


def _estimate(counts: Counts, se: float, fp: float) -> float:
    """Maximise the likelihood, which is concave: the place where its slope changes sign."""
    if not counts.decided:
        return min(max((counts.called_positive / counts.called - fp) / (se - fp), 0.0), 1.0)
    yes, no = counts.decided_positive, counts.decided - counts.decided_positive
    said, silent = counts.called_positive, counts.called - counts.called_positive

    def slope(p: float) -> float:
        q = fp + p * (se - fp)
        parts = ((yes, p), (-no, 1 - p), (said * (se - fp), q), (-silent * (se - fp), 1 - q))
        return sum(weight / max(chance, 1e-300) for weight, chance in parts if weight)

    low, high = 0.0, 1.0
    if slope(low) <= 0:
        return low
    if slope(high) >= 0:
        return high
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return (low + high) / 2


def observed_interval(
    counts: Counts, rates: ErrorRates | None, index: float | None = None
) -> tuple[float, float] | tuple[None, None]:
    """Give the 95 % interval around the observed share.

    Parameters
    ----------
    counts : Counts
    rates : ErrorRates or None
        What a new cell line may do to calls. Without it the interval is Wilson's, with it that and the adjusted one.
    index : float, optional
        Dispersion index of the fields.
    """
    low, high = interval(counts.positive, counts.total, index)
    if low is None or high is None:
        return None, None
    if rates is None:
        return low, high
    adjusted = adjusted_frequency(counts, rates, index)
    if adjusted.low is None or adjusted.high is None:
        return 0.0, 1.0  # calls that say nothing of a line
    return min(low, adjusted.low), max(high, adjusted.high)
