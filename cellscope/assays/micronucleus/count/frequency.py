"""Frequencies of micronucleated cells: intervals, differences between fields, correction for wrong calls.

Counts in, numbers out; no image and no file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.special import chdtrc

from cellscope.metrics.intervals import wilson

LEVEL = 0.95


@dataclass(frozen=True)
class Dispersion:
    """How much fields differ, and whether chance alone could do that.

    Attributes
    ----------
    fields : int
        Fields with at least one nucleus.
    index : float or None
        Pearson's chi-square over its degrees of freedom; 1 for binomial counts. None for fewer than two fields, or
        when no or every cell is positive.
    p_value : float or None
        Of the chi-square test that all fields share one frequency.
    """

    fields: int
    index: float | None
    p_value: float | None


def dispersion(positive: np.ndarray, total: np.ndarray) -> Dispersion:
    """Test whether fields share one frequency.

    Parameters
    ----------
    positive, total : (F,) int
        Micronucleated and scorable cells per field; fields without cells are left out.

    Returns
    -------
    Dispersion
    """
    positive, total = np.asarray(positive, float), np.asarray(total, float)
    positive, total = positive[total > 0], total[total > 0]
    fields = len(total)
    if fields < 2:
        return Dispersion(fields, None, None)
    share = positive.sum() / total.sum()
    if share in (0.0, 1.0):
        return Dispersion(fields, None, None)
    statistic = float(np.sum((positive - total * share) ** 2 / (total * share * (1 - share))))
    return Dispersion(fields, statistic / (fields - 1), float(chdtrc(fields - 1, statistic)))


def interval(positive: int, total: int, index: float | None = None) -> tuple[float, float] | tuple[None, None]:
    """Wilson's 95 % interval of a frequency, widened where fields differ more than chance lets them.

    Parameters
    ----------
    positive, total : int
    index : float, optional
        The dispersion index: variances are multiplied by it where it is above 1 (quasi-binomial), as if there were
        that many times fewer cells. A level that goes with the wider interval would be too near 1 for large indices.
    """
    factor = max(index or 1.0, 1.0)
    return wilson(positive / factor, total / factor, LEVEL)


@dataclass(frozen=True)
class Corrected:
    """A frequency freed from known rates of wrong calls; None where the test cannot tell the classes apart."""

    frequency: float | None
    low: float | None
    high: float | None


def corrected_frequency(
    positive: int,
    total: int,
    *,
    true_positive: int,
    positives: int,
    false_positive: int,
    negatives: int,
    index: float | None = None,
) -> Corrected:
    """Correct an observed frequency for sensitivity and specificity, and carry their uncertainty along.

    Parameters
    ----------
    positive, total : int
        Cells called micronucleated, of all scorable ones.
    true_positive, positives : int
        Of so many cells with micronuclei this many were called, where the calls were measured.
    false_positive, negatives : int
        Of so many normal cells this many were called.
    index : float, optional
        Dispersion index of the observed fields; variances of the observed frequency grow by it where it is above 1.

    Returns
    -------
    Corrected
        Within [0, 1].

    References
    ----------
    W. J. Rogan, B. Gladen, Am. J. Epidemiol. 107 (1978) 71-76 (the estimate);
    Z. Lang, J. Reiczigel, Prev. Vet. Med. 113 (2014) 13-22 (the interval).
    """
    if total == 0 or positives == 0 or negatives == 0:
        return Corrected(None, None, None)
    sensitivity, specificity = true_positive / positives, 1 - false_positive / negatives
    if sensitivity + specificity <= 1:
        return Corrected(None, None, None)
    estimate = (positive / total + specificity - 1) / (sensitivity + specificity - 1)
    z = NormalDist().inv_cdf(0.5 + LEVEL / 2)
    # Agresti and Coull's additions: z^2 / 2 of each kind to the counts, one of each kind to those of the calibration
    n = total / max(index or 1.0, 1.0)
    observed = (n * positive / total + z * z / 2) / (n + z * z)
    se, sp = (true_positive + 1) / (positives + 2), (negatives - false_positive + 1) / (negatives + 2)
    gain = se + sp - 1
    if gain <= 0:
        return Corrected(None, None, None)
    share = (observed + sp - 1) / gain
    var_se, var_sp = se * (1 - se) / (positives + 2), sp * (1 - sp) / (negatives + 2)
    shift = 2 * z * z * (share * var_se - (1 - share) * var_sp)
    spread = observed * (1 - observed) / (n + z * z) + share**2 * var_se + (1 - share) ** 2 * var_sp
    half = z * math.sqrt(spread) / gain
    low, high = (min(max(share + shift + side * half, 0.0), 1.0) for side in (-1, 1))
    value = min(max(estimate, 0.0), 1.0)
    return Corrected(value, min(low, value), max(high, value))


def within_errors(positive: int, total: int, *, false_positive: int, negatives: int) -> bool:
    """Tell whether wrong calls of normal cells alone could have given a count.

    True when the observed frequency does not lie clearly (95 %) above the measured share of normal cells that are
    called micronucleated.
    """
    if total == 0 or negatives == 0:
        return False
    low, _ = wilson(positive, total)
    _, rate = wilson(false_positive, negatives)
    assert low is not None
    assert rate is not None
    return low <= rate
