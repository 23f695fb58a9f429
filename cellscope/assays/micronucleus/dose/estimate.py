"""From a count of micronuclei to the dose behind it, by a calibration curve. Counts in, numbers out.

References
----------
IAEA, Cytogenetic Dosimetry: Applications in Preparedness for and Response to Radiation Emergencies (EPR-Biodosimetry
2011), section 9. W. Merkle, Radiat. Environ. Biophys. 21 (1983) 217-233.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2, gamma

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
        Exact Poisson limits (widened by the curve's dispersion).
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


def estimate_dose(
    curve: Curve,
    micronuclei: int,
    cells: int,
    *,
    merkle_level: float = 0.83,
    limits: tuple[float, float] | None = None,
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

    Raises
    ------
    UsageError
        For a count below zero, or no cells.
    """
    if micronuclei < 0 or cells <= 0:
        raise UsageError(
            f"{micronuclei} micronuclei in {cells} cells: counts cannot be below zero, and at least one cell is needed"
        )
    shrink = curve.factor
    observed = micronuclei / cells
    # A count that varies phi times as much as Poisson says as much as a Poisson count of 1 / phi of its size.
    low_count, high_count = poisson_limits(micronuclei / shrink, merkle_level)
    low_yield, high_yield = low_count * shrink / cells, high_count * shrink / cells
    if limits is not None:
        low_yield, high_yield = min(low_yield, limits[0]), max(high_yield, limits[1])
    dose, low, high = dose_of_yield(curve, observed, low_yield, high_yield, merkle_level)
    notes = []
    if dose == 0.0:
        notes.append("not above the background of the curve")
    elif low == 0.0:
        notes.append("the interval reaches down to no dose")
    if dose is None or dose > curve.max_dose:
        notes.append(f"beyond the calibrated doses (up to {curve.max_dose:g} Gy): an extrapolation")
    counted = poisson_limits(micronuclei / shrink)
    return Dose(
        micronuclei,
        cells,
        observed,
        counted[0] * shrink / cells,
        counted[1] * shrink / cells,
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
