"""From a count of micronuclei to the dose behind it, by a calibration curve. Counts in, numbers out.

References
----------
IAEA, Cytogenetic Dosimetry: Applications in Preparedness for and Response to Radiation Emergencies (EPR-Biodosimetry
2011), sections 8 and 9. W. Merkle, Radiat. Environ. Biophys. 21 (1983) 217-233. A. Hernandez et al., Biodose Tools,
Int. J. Radiat. Biol. 99 (2023) 1378-1390, function ``estimate_whole_body_merkle`` of the program.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2, gamma

from cellscope.assays.micronucleus.count.distribution import OVERDISPERSED
from cellscope.assays.micronucleus.dose.curve import Curve
from cellscope.errors import UsageError

LEVEL = 0.95


@dataclass(frozen=True)
class Dose:
    """A dose estimate.

    Attributes
    ----------
    micronuclei, cells : int
    per_cell : float
    per_cell_low, per_cell_high : float
        Exact Poisson limits (widened by the curve's dispersion, and by the case's where that was asked for).
    dose, low, high : float or None
        Gy. The dose is 0 where the yield is not above the curve's background; None where it is above all that the curve
        can reach (ten times the largest calibration dose).
    note : str
        What to know about it; empty when nothing.
    """

    micronuclei: int
    cells: int
    per_cell: float
    per_cell_low: float
    per_cell_high: float
    dose: float | None
    low: float | None
    high: float | None
    note: str


def poisson_limits(count: float, level: float = LEVEL) -> tuple[float, float]:
    """Exact (Garwood) limits of a Poisson mean for a count."""
    tail = (1 - level) / 2
    low = 0.0 if count <= 0 else float(gamma.ppf(tail, count))
    return low, float(gamma.ppf(1 - tail, count + 1))


@dataclass(frozen=True)
class Spread:
    """How the micronuclei of a case are spread over its cells.

    Attributes
    ----------
    index : float or None
        Variance over mean of micronuclei per cell; None where it cannot be told.
    u : float or None
        Papworth's u.
    """

    index: float | None
    u: float | None


def yield_limits(
    micronuclei: int, cells: int, level: float, *, factor: float = 1.0, spread: Spread | None = None, rule: str = "none"
) -> tuple[float, float]:
    """Give the limits of micronuclei per cell, wider than Poisson's for counts that vary more.

    Parameters
    ----------
    micronuclei, cells : int
    level : float
        Of the interval.
    factor : float
        What counts vary more than Poisson, from the curve.
    spread : Spread, optional
        Of the case.
    rule : str
        What the spread of the case does. ``none``: nothing. ``iaea``: where u is above 1.96, the standard error is that
        of Poisson times the root of the index. ``biodose-tools``: where the index is at least 1, a limit L of the count
        K becomes ``L (L / K)^sqrt(index)``. Neither makes an interval narrower than it is without.
    """
    index = spread.index if spread is not None else None
    if rule == "iaea" and spread is not None and index is not None and (spread.u or 0.0) > OVERDISPERSED:
        factor = max(factor, index)
    # A count that varies phi times as much as Poisson says as much as a Poisson count of 1 / phi of its size.
    low, high = (limit * factor for limit in poisson_limits(micronuclei / factor, level))
    if rule == "biodose-tools" and index is not None and index >= 1 and micronuclei:
        least, most = (x * (x / micronuclei) ** math.sqrt(index) for x in poisson_limits(micronuclei, level))
        low, high = min(low, least), max(high, most)
    return low / cells, high / cells


def estimate_dose(
    curve: Curve,
    micronuclei: int,
    cells: int,
    *,
    merkle_level: float = 0.83,
    limits: tuple[float, float] | None = None,
    spread: Spread | None = None,
    rule: str = "none",
) -> Dose:
    """Estimate the dose behind a count, with an interval by Merkle's method.

    Parameters
    ----------
    curve : Curve
    micronuclei, cells : int
    merkle_level : float
        Level of the Poisson limits and of the curve's confidence band alike. Limits at 83 % and a band at 83 % together
        hold the dose about 95 times of 100 (IAEA 2011, section 9.7.3).
    limits : (low, high), optional
        95 % limits of micronuclei per cell which include more than the chance of counting, such as what a new cell line
        does to calls; the dose's interval then reaches at least to them.
    spread, rule : Spread, str, optional
        As of `yield_limits`.

    Raises
    ------
    UsageError
        For a count below zero, or no cells.
    """
    if micronuclei < 0 or cells <= 0:
        raise UsageError(
            f"{micronuclei} micronuclei in {cells} cells: counts cannot be below zero, and at least one cell is needed"
        )
    observed = micronuclei / cells
    low_yield, high_yield = yield_limits(
        micronuclei, cells, merkle_level, factor=curve.factor, spread=spread, rule=rule
    )
    if limits is not None:
        low_yield, high_yield = min(low_yield, limits[0]), max(high_yield, limits[1])
    dose, low, high = dose_of_yield(curve, observed, low_yield, high_yield, merkle_level)
    notes = []
    if rule != "none" and (spread is None or spread.index is None):
        notes.append("the spread of micronuclei over cells is not known: not widened by it")
    if dose == 0.0:
        notes.append("not above the background of the curve")
    elif low == 0.0:
        notes.append("the interval reaches down to no dose")
    if dose is None or dose > curve.max_dose:
        notes.append(f"beyond the calibrated doses (up to {curve.max_dose:g} Gy): an extrapolation")
    counted = yield_limits(micronuclei, cells, LEVEL, factor=curve.factor, spread=spread, rule=rule)
    return Dose(
        micronuclei,
        cells,
        observed,
        counted[0],
        counted[1],
        dose,
        low,
        high,
        "; ".join(notes),
    )


def dose_of_yield(
    curve: Curve, value: float, low: float, high: float, level: float = 0.83
) -> tuple[float | None, float | None, float | None]:
    """Read doses off the curve: of a yield, and of its limits where they meet the curve's confidence band.

    Parameters
    ----------
    curve : Curve
    value, low, high : float
        Micronuclei per cell.
    level : float
        Of the band.

    Returns
    -------
    dose, low, high : float or None
        Gy; None above ten times the largest calibration dose.
    """
    reach = math.sqrt(float(chi2.ppf(level, max(int(np.count_nonzero(curve.coefficients)), 1))))
    top = 10 * curve.max_dose

    def middle(dose: float) -> float:
        return float(curve.yields(dose))

    def upper(dose: float) -> float:
        return float(curve.yields(dose) + reach * curve.standard_error(dose))

    def lower(dose: float) -> float:
        return float(curve.yields(dose) - reach * curve.standard_error(dose))

    return _invert(middle, value, top), _invert(upper, low, top), _invert(lower, high, top)


def _invert(function: Callable[[float], float], value: float, top: float) -> float | None:
    """Find the lowest dose at which a function that rises (in the end) reaches a value; 0 if it starts there."""
    if function(0.0) >= value:
        return 0.0
    grid = np.linspace(0, top, 2001)
    above = next((dose for dose in grid if function(float(dose)) >= value), None)
    if above is None:
        return None
    return float(brentq(lambda dose: function(dose) - value, float(above - grid[1]), float(above)))
