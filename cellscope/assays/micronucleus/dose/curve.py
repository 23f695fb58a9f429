"""The linear-quadratic calibration curve of micronuclei against dose, and its fit. Counts in, numbers out.

``Y(D) = C + alpha D + beta D^2`` is the yield of micronuclei per cell at dose D. Counts vary as Poisson counts, or by a
factor more (overdispersion): the fit is maximum likelihood, and where the data are overdispersed its variances are
multiplied by the dispersion. `cellscope.assays.micronucleus.dose.estimate` turns it round.

References
----------
IAEA, Cytogenetic Dosimetry: Applications in Preparedness for and Response to Radiation Emergencies (EPR-Biodosimetry
2011), section 8.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.stats import chi2

from cellscope.errors import UsageError

SCHEMA = "cellscope.dose-curve/1"
MODELS = ("linear-quadratic", "linear")
PARAMETERS = ("C", "alpha", "beta")
_TINY = 1e-12


@dataclass(frozen=True)
class Curve:
    """A fitted calibration curve.

    Attributes
    ----------
    model : str
        One of `MODELS`.
    coefficients : (3,) tuple of float
        C (micronuclei per cell without dose), alpha (per Gy), beta (per Gy squared; 0 for the linear model).
    covariance : 3 x 3 tuple of tuples
        Of the coefficients, already multiplied by the dispersion where that is above 1; zero for a coefficient that is
        held at 0.
    dispersion : float
        Pearson's chi-square over the degrees of freedom; 1 is Poisson.
    chi2 : float
    degrees : int
        Of freedom.
    p_value : float or None
        Of the goodness of fit under Poisson; None without a degree of freedom.
    max_dose : float
        Largest dose of the table, Gy.
    table : tuple of (dose, cells, micronuclei)
        What it was fitted to.
    """

    model: str
    coefficients: tuple[float, float, float]
    covariance: tuple[tuple[float, float, float], ...]
    dispersion: float
    chi2: float
    degrees: int
    p_value: float | None
    max_dose: float
    table: tuple[tuple[float, int, int], ...]

    @property
    def factor(self) -> float:
        """What variances are multiplied by: the dispersion, never less than 1."""
        return max(self.dispersion, 1.0)

    def yields(self, dose: Any) -> Any:
        """Give micronuclei per cell at a dose (Gy)."""
        c, alpha, beta = self.coefficients
        return c + alpha * np.asarray(dose, float) + beta * np.asarray(dose, float) ** 2

    def standard_error(self, dose: Any) -> Any:
        """Give the standard error of the yield at a dose."""
        dose = np.asarray(dose, float)
        basis = np.stack([np.ones_like(dose), dose, dose**2], -1)
        variance = np.einsum("...i,ij,...j->...", basis, np.array(self.covariance), basis)
        return np.sqrt(np.maximum(variance, 0.0))

    def as_dict(self) -> dict[str, Any]:
        """Give the curve as JSON."""
        return {"schema": SCHEMA, **asdict(self)}


def curve_from(content: Any, name: str) -> Curve:
    """Read a curve back from JSON.

    Raises
    ------
    UsageError
        If it is none.
    """
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise UsageError(f"{name} is not a dose curve ({SCHEMA}); make one from a calibration table")
    try:
        return Curve(
            model=str(content["model"]),
            coefficients=tuple(float(v) for v in content["coefficients"]),  # type: ignore[arg-type]
            covariance=tuple(tuple(float(v) for v in row) for row in content["covariance"]),  # type: ignore[misc]
            dispersion=float(content["dispersion"]),
            chi2=float(content["chi2"]),
            degrees=int(content["degrees"]),
            p_value=None if content["p_value"] is None else float(content["p_value"]),
            max_dose=float(content["max_dose"]),
            table=tuple((float(d), int(n), int(k)) for d, n, k in content["table"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{name}: the dose curve is damaged ({error})") from error


def check_table(rows: Sequence[tuple[float, float, float]], name: str) -> list[tuple[float, int, int]]:
    """Check a calibration table.

    Parameters
    ----------
    rows : sequence of (dose in Gy, cells, micronuclei)
    name : str
        For messages.

    Raises
    ------
    UsageError
        For numbers below zero, counts that are not whole, a row without cells, or fewer than three different doses.
    """
    checked = []
    for number, (dose, cells, found) in enumerate(rows, 1):
        where = f"{name}, row {number}"
        if not all(math.isfinite(value) for value in (dose, cells, found)):
            raise UsageError(f"{where}: dose, cells and micronuclei must be numbers")
        if dose < 0 or cells < 0 or found < 0:
            raise UsageError(f"{where}: dose {dose:g}, cells {cells:g}, micronuclei {found:g}: none can be below zero")
        if cells != int(cells) or found != int(found):
            raise UsageError(f"{where}: cells {cells:g} and micronuclei {found:g} are counts and must be whole")
        if cells == 0:
            raise UsageError(f"{where}: no cells were scored; leave the row out")
        checked.append((float(dose), int(cells), int(found)))
    if len({dose for dose, _, _ in checked}) < 3:
        raise UsageError(f"{name}: a curve needs at least three different doses, better ten")
    return checked


def fit_curve(
    rows: Sequence[tuple[float, float, float]], *, model: str = "linear-quadratic", name: str = "table"
) -> Curve:
    """Fit the curve by maximum likelihood (Poisson, identity link; no coefficient below zero).

    Parameters
    ----------
    rows : sequence of (dose in Gy, cells, micronuclei)
    model : str
        One of `MODELS`.
    name : str
        For messages.

    Returns
    -------
    Curve

    Raises
    ------
    UsageError
        For a table that `check_table` refuses, or in which no micronucleus was counted.
    """
    table = check_table(rows, name)
    dose, cells, found = (np.array(values, float) for values in zip(*table, strict=True))
    if not found.any():
        raise UsageError(f"{name}: no micronucleus was counted at any dose; there is no curve to fit")
    terms = 3 if model == "linear-quadratic" else 2
    design = np.stack([np.ones_like(dose), dose, dose**2], 1)[:, :terms] * cells[:, None]
    coefficients = _maximise(design, found, dose, cells)
    mean = np.maximum(design @ coefficients, _TINY)
    free = coefficients > _TINY
    information = (design[:, free] / mean[:, None]).T @ design[:, free]
    degrees = len(table) - int(free.sum())
    statistic = float(np.sum((found - mean) ** 2 / mean))
    ratio = statistic / degrees if degrees > 0 else 1.0
    covariance = np.zeros((3, 3))
    places = np.flatnonzero(free)
    covariance[np.ix_(places, places)] = np.linalg.inv(information) * max(ratio, 1.0)
    full = np.zeros(3)
    full[:terms] = np.where(free, coefficients, 0.0)
    return Curve(
        model=model,
        coefficients=(float(full[0]), float(full[1]), float(full[2])),
        covariance=tuple((a, b, c) for a, b, c in covariance.tolist()),
        dispersion=ratio,
        chi2=statistic,
        degrees=degrees,
        p_value=float(chi2.sf(statistic, degrees)) if degrees > 0 else None,
        max_dose=float(dose.max()),
        table=tuple(table),
    )


def _maximise(design: np.ndarray, found: np.ndarray, dose: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Maximise the Poisson likelihood over coefficients of at least zero, in units in which all are of order one."""
    scale = found.sum() / design.sum(0)
    scaled = design * scale

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        mean = np.maximum(scaled @ weights, _TINY)
        return float(np.sum(mean - found * np.log(mean))), scaled.T @ (1 - found / mean)

    start = np.full(design.shape[1], 1 / design.shape[1])
    best = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * design.shape[1],
        options={"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-12},
    ).x  # fmt: skip
    for _ in range(50):  # Newton steps on the coefficients that are free: exact to the last digits
        free = best > 1e-9
        mean = np.maximum(scaled @ best, _TINY)
        gradient = scaled[:, free].T @ (1 - found / mean)
        hessian = (scaled[:, free] * (found / mean**2)[:, None]).T @ scaled[:, free]
        step = np.linalg.lstsq(hessian, gradient, rcond=None)[0]
        trial = best.copy()
        trial[free] -= step
        if (trial < 0).any() or not np.isfinite(trial).all():
            break
        best = trial
        if np.abs(step).max() < 1e-13:
            break
    return np.where(best > 1e-9, best, 0.0) * scale
