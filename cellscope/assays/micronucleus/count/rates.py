"""What is known of the rates of wrong calls: from calibration cells, left-out cell lines, cells scored by hand.

Each source gives the same thing, `ErrorRates`: pairs of sensitivity and false positive rate with their weights, so that
one interval (`cellscope.assays.micronucleus.count.adjustment`) serves all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, logit

BETWEEN_LINES = "between_lines"
"""Where the calibration of a model card keeps what `train`'s left-out cell lines told."""

SIDES = ("sensitivity", "false_positive")
_NODES = 41
_PRODUCT = 15


@dataclass(frozen=True, eq=False)
class ErrorRates:
    """The rates of wrong calls and how well they are known.

    Attributes
    ----------
    sensitivity, false_positive : float
        The central values, with which a frequency is adjusted.
    points : (J, 2) float
        Possible pairs of sensitivity and false positive rate.
    weights : (J,) float
        Their probabilities; they sum to 1.
    origin : str
        Where they were measured, for messages.
    """

    sensitivity: float
    false_positive: float
    points: np.ndarray
    weights: np.ndarray
    origin: str

    @property
    def tells(self) -> bool:
        """Whether carriers are called more often than normal cells, so that a count says anything."""
        return self.sensitivity > self.false_positive


def _normal_nodes(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Hermite nodes and weights of the standard normal distribution."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return nodes, weights / weights.sum()


def calibrated_rates(errors: Mapping[str, int]) -> ErrorRates | None:
    """Give the rates of the calibration cells, which vary by the chance of their sampling only.

    Parameters
    ----------
    errors : mapping
        From `cellscope.assays.micronucleus.classify.calibration.error_counts`.

    Returns
    -------
    ErrorRates or None
        None where one class has no calibration cell. Logits are taken as normal, with half a cell added to each count
        (Anscombe) and the variance 1 / a + 1 / b.
    """
    hits, carriers = errors["true_positive"], errors["positive"]
    alarms, normal = errors["false_positive"], errors["negative"]
    if not carriers or not normal:
        return None
    nodes, weights = _normal_nodes(_PRODUCT)
    sides = []
    for called, total in ((hits, carriers), (alarms, normal)):
        yes, no = called + 0.5, total - called + 0.5
        sides.append(expit(np.log(yes / no) + nodes * np.sqrt(1 / yes + 1 / no)))
    pairs = np.stack(np.meshgrid(*sides, indexing="ij"), -1).reshape(-1, 2)
    return ErrorRates(
        hits / carriers, alarms / normal, pairs, np.outer(weights, weights).ravel(), "the model's calibration cells"
    )


def new_line_rates(spread: Mapping[str, Any], threshold: float, fields: int) -> ErrorRates:
    """Give the rates that a cell line may have which the training has not seen.

    Logits of both rates are normal over lines, and over the fields of a line. They are taken to move together: on a
    line on which the networks say yes more readily, carriers and normal cells are called more often. That is what
    widens the frequency most.

    Parameters
    ----------
    spread : mapping
        `BETWEEN_LINES` of the card's calibration, from `cellscope.assays.micronucleus.training.spread.fit_spread`:
        ``thresholds`` and, for each of `SIDES`, ``mean``, ``line`` and ``field`` at each of them (logits).
    threshold : float
        From which a cell is called positive; between the fitted ones it is interpolated.
    fields : int
        Fields whose cells are taken together; what differs between fields shrinks with their number.

    Returns
    -------
    ErrorRates
    """
    nodes, weights = _normal_nodes(_NODES)
    known = logit(np.asarray(spread["thresholds"], float))
    at = float(np.clip(logit(np.clip(threshold, 1e-12, 1 - 1e-12)), known[0], known[-1]))
    sides = []
    for side in SIDES:
        mean, line, field = (float(np.interp(at, known, spread[side][name])) for name in ("mean", "line", "field"))
        sides.append(expit(mean + nodes * np.sqrt(line**2 + field**2 / max(fields, 1))))
    middle = [float(expit(np.interp(at, known, spread[side]["mean"]))) for side in SIDES]
    points, origin = np.stack(sides, 1), f"{len(spread['lines'])} left-out cell lines"
    return ErrorRates(middle[0], middle[1], points, weights, origin)
