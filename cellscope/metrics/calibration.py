"""Calibration of a classifier's probabilities on data it was not trained on."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize, minimize_scalar


def best_temperature(log_probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature that makes probabilities honest: least negative log likelihood (Guo et al., ICML 2017).

    Parameters
    ----------
    log_probabilities : (N, K) float
    labels : (N,) int
    """
    index = np.arange(len(labels))

    def loss(log_t: float) -> float:
        scaled = log_probabilities / np.exp(log_t)
        return float(np.mean(np.logaddexp.reduce(scaled, axis=1) - scaled[index, labels]))

    return float(np.exp(minimize_scalar(loss, bounds=(-2.0, 2.0), method="bounded").x))


def best_slope_and_bias(log_odds: np.ndarray, positive: np.ndarray, *, balanced: bool = True) -> tuple[float, float]:
    """Find the line through which log odds become honest (Platt scaling).

    Parameters
    ----------
    log_odds : (N,) float
        Of the positive class.
    positive : (N,) bool
    balanced : bool
        As if both classes were equally frequent: 0.5 is where the two, each counted as one half of the data, are
        equally likely. Else as frequent as they are here.

    Returns
    -------
    slope, bias : float
        ``sigmoid(slope * log_odds + bias)`` is the probability. (1, 0) without both classes.
    """
    [slope], bias = best_weights_and_bias(np.asarray(log_odds, float)[:, None], positive, balanced=balanced)
    return slope, bias


def best_weights_and_bias(
    log_odds: np.ndarray, positive: np.ndarray, *, balanced: bool = True
) -> tuple[list[float], float]:
    """Find how several classifiers' log odds are best added up: `best_slope_and_bias` for M of them.

    Parameters
    ----------
    log_odds : (N, M) float
    positive : (N,) bool
    balanced : bool
        As for `best_slope_and_bias`.

    Returns
    -------
    weights : list of M float
        At least 0.01 each: no classifier is turned against itself. 1 / M without both classes.
    bias : float

    Notes
    -----
    Targets are Platt's (1999), not quite 0 and 1, so that separable data give finite values.
    """
    positive = np.asarray(positive, bool)
    count = log_odds.shape[1]
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if not ones or not zeros:
        return [1.0 / count] * count, 0.0
    target = np.where(positive, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    weight = np.where(positive, 0.5 / ones, 0.5 / zeros) if balanced else np.full(len(positive), 1 / len(positive))

    def loss(line: np.ndarray) -> float:
        z = log_odds @ line[:-1] + line[-1]
        return float(np.sum(weight * (np.logaddexp(0, z) - target * z)))

    start = np.append(np.full(count, 1.0 / count), 0.0)
    found = minimize(loss, start, method="L-BFGS-B", bounds=[(0.01, 10.0)] * count + [(-10.0, 10.0)])
    return [float(value) for value in found.x[:-1]], float(found.x[-1])


def log_odds(probability: np.ndarray) -> np.ndarray:
    """Natural log odds of probabilities, finite for 0 and 1."""
    clipped = np.clip(np.asarray(probability, float), 1e-6, 1 - 1e-6)
    return np.log(clipped) - np.log1p(-clipped)


def apply_line(probability: np.ndarray, slope: float, bias: float) -> np.ndarray:
    """Move probabilities along the line that `best_slope_and_bias` found."""
    return 1 / (1 + np.exp(-(slope * log_odds(probability) + bias)))
