"""Finder and classifier scores combined into a calibrated probability: logistic regression on validation fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import expit

RIDGE = 0.001
"""Pull of the weights towards zero: keeps them finite when a few fields are told apart without an error."""

DECISION = 0.5


def fit_logistic(features: np.ndarray, positive: np.ndarray, *, weights: np.ndarray | None = None) -> np.ndarray:
    """Fit ``P(positive) = expit(w0 + w1 x1 + ...)`` by maximum likelihood with a slight ridge on w1...

    Parameters
    ----------
    features : (N, F) float
    positive : (N,) bool
    weights : (N,) float, optional
        Of the cells; all alike if not given.

    Returns
    -------
    (F + 1,) float
        Intercept first.
    """
    from scipy.optimize import minimize  # here, since predicting does without it and it takes a while to import

    design = np.column_stack([np.ones(len(features)), features])
    sign = np.where(positive, 1.0, -1.0)
    share = np.ones(len(sign)) if weights is None else np.asarray(weights, float)
    share = share / share.sum()

    def loss(betas: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (design @ betas)
        slope = design.T @ (-sign * expit(-margin) * share)
        ridge = np.append(0.0, betas[1:])
        return float(share @ np.logaddexp(0, -margin) + RIDGE / 2 * ridge @ ridge), slope + RIDGE * ridge

    start = np.zeros(design.shape[1])
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B").x)


BOTH = ("offset", "classify", "finder")
"""Weights of the two scores: `field_offset` and so on for cells of fields, `cell_offset` and so on for crops."""


def fit_both(
    kind: str,
    logits: np.ndarray,
    finder_scores: np.ndarray,
    positive: np.ndarray,
    *,
    weights: np.ndarray | None = None,
) -> dict[str, float]:
    """Fit the weights of both scores; none where a class is missing.

    Parameters
    ----------
    kind : {"field", "cell"}
    logits, finder_scores : (N,) float
    positive : (N,) bool
    weights : (N,) float, optional
        Of the cells.
    """
    if not positive.any() or positive.all():
        return {}
    fitted = fit_logistic(np.column_stack([logits, finder_scores]), positive, weights=weights)
    return {f"{kind}_{name}": float(f"{weight:.5g}") for name, weight in zip(BOTH, fitted, strict=True)}


def field_probability(
    logits: np.ndarray, finder_scores: np.ndarray, thresholds: Mapping[str, float], *, kind: str = "field"
) -> np.ndarray:
    """Combine classifier and finder scores of the cells of a field, or of crops.

    Parameters
    ----------
    logits : (N,) float
        The classifier's, micronucleus against normal.
    finder_scores : (N,) float
        From `cellscope.assays.micronucleus.find.instances.score_cells`.
    thresholds : mapping
        Of the classifier's model card: ``field_offset``, ``field_classify``, ``field_finder``. A model without them
        gives the classifier's own probability.
    kind : {"field", "cell"}
        ``cell`` for crops, whose neighbours are blanked; a model without these weights takes those of fields.

    Returns
    -------
    (N,) float in [0, 1]
    """
    kind = next((name for name in (kind, "field") if f"{name}_offset" in thresholds), "")
    if not kind:
        return crop_probability(logits, thresholds)
    offset, classify, finder = (thresholds[f"{kind}_{name}"] for name in BOTH)
    return expit(offset + classify * np.asarray(logits, float) + finder * np.asarray(finder_scores, float))


def crop_probability(logits: np.ndarray, thresholds: Mapping[str, float]) -> np.ndarray:
    """Calibrate the classifier's logit alone (Platt): ``crop_offset`` and ``crop_scale`` of the model card."""
    offset, scale = thresholds.get("crop_offset", 0.0), thresholds.get("crop_scale", 1.0)
    return expit(offset + scale * np.asarray(logits, float))


def threshold_at(calibration: Mapping[str, Any], specificity: float) -> float:
    """Give the probability above which at most a share ``1 - specificity`` of the calibration's normal cells lie.

    Parameters
    ----------
    calibration : mapping
        ``training["calibration"]`` of a model card: ``normal`` holds the probabilities of normal cells.
    specificity : float
    """
    normal = np.sort(np.asarray(calibration["normal"], float))
    # the smallest threshold t with #(p >= t) <= (1 - specificity) N
    allowed = int(np.floor((1 - specificity) * len(normal) + 1e-9))
    return float(np.nextafter(normal[len(normal) - allowed - 1], 2.0)) if allowed < len(normal) else 0.0


def error_counts(calibration: Mapping[str, Any], threshold: float) -> dict[str, int]:
    """Count what a threshold does to the cells that the calibration was measured on.

    Returns
    -------
    dict
        ``true_positive`` of ``positive`` cells, ``false_positive`` of ``negative`` cells.
    """
    normal = np.asarray(calibration["normal"], float)
    carriers = np.asarray(calibration["micronucleus"], float)
    return {
        "true_positive": int((carriers >= threshold).sum()),
        "positive": len(carriers),
        "false_positive": int((normal >= threshold).sum()),
        "negative": len(normal),
    }
