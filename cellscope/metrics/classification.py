"""Scores of a classifier. What is undefined (no case of a class, one class only) is None, never NaN and never zero."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata


def confusion_matrix(truth: Sequence | np.ndarray, predicted: Sequence | np.ndarray, classes: Sequence) -> np.ndarray:
    """Count pairs of true and predicted class.

    Parameters
    ----------
    truth, predicted : (N,) class labels, integers or strings
    classes : sequence of the K labels, in the order of the rows
        A call such as ``unassigned`` that is never true is listed like any class.

    Returns
    -------
    (K, K) int64
        Rows are the truth, columns the prediction.

    Raises
    ------
    ValueError
        If the lengths differ, a class is listed twice or a label is not listed.
    """
    truth, predicted = _pair(truth, predicted)
    position: dict[Hashable, int] = {label: number for number, label in enumerate(classes)}
    if len(position) != len(classes):
        raise ValueError("a class is listed twice")
    unknown = {*truth.tolist(), *predicted.tolist()} - set(position)
    if unknown:
        raise ValueError(f"not among the classes: {', '.join(sorted(map(str, unknown))[:5])}")
    count = len(position)
    rows = np.array([position[label] for label in truth.tolist()], np.int64)
    columns = np.array([position[label] for label in predicted.tolist()], np.int64)
    return np.bincount(rows * count + columns, minlength=count * count).reshape(count, count)


def accuracy(truth: Sequence | np.ndarray, predicted: Sequence | np.ndarray) -> float | None:
    """Share of items whose class is right; None for no items."""
    truth, predicted = _pair(truth, predicted)
    return float(np.mean(truth == predicted)) if len(truth) else None


def balanced_accuracy(truth: Sequence | np.ndarray, predicted: Sequence | np.ndarray) -> float | None:
    """Mean recall over the classes that occur in the truth, each counting the same; None for no items."""
    truth, predicted = _pair(truth, predicted)
    if not len(truth):
        return None
    _, inverse = np.unique(truth, return_inverse=True)
    right = np.bincount(inverse.ravel(), weights=truth == predicted)
    return float(np.mean(right / np.bincount(inverse.ravel())))


def per_class(truth: Sequence | np.ndarray, predicted: Sequence | np.ndarray, classes: Sequence) -> pd.DataFrame:
    """Recall, precision and F1 of every class.

    Parameters
    ----------
    truth, predicted, classes
        As for `confusion_matrix`.

    Returns
    -------
    DataFrame
        A row per class: ``class, n, n_predicted, recall, precision, f1``. Recall TP / (TP + FN) is None without a true
        case, precision TP / (TP + FP) without a prediction, F1 = 2 TP / (2 TP + FP + FN) without either.
    """
    table = confusion_matrix(truth, predicted, classes)
    hit, true, said = np.diag(table), table.sum(1), table.sum(0)
    return pd.DataFrame(
        {
            "class": list(classes),
            "n": true,
            "n_predicted": said,
            "recall": _ratios(hit, true),
            "precision": _ratios(hit, said),
            "f1": _ratios(2 * hit, true + said),
        }
    )


def roc_auc(positive: np.ndarray, score: np.ndarray) -> float | None:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counting one half.

    Parameters
    ----------
    positive : (N,) bool
    score : (N,) float
        Higher means more positive.

    Returns
    -------
    float or None
        None unless there are both positives and negatives. Computed from mid-ranks (Mann and Whitney's U).

    Raises
    ------
    ValueError
        If the lengths differ or a score is NaN.

    Notes
    -----
    torchmetrics' `binary_auroc` and `binary_average_precision` compute in float32 (off by up to 7e-8), take three and
    seven times as long, a thousand times over in a bootstrap, and 2 s to import. scikit-learn would be a dependency for
    these two alone.
    """
    positive, score = _scored(positive, score)
    ones = int(positive.sum())
    zeros = len(positive) - ones
    if not ones or not zeros:
        return None
    rank_sum = float(rankdata(score)[positive].sum())
    return (rank_sum - ones * (ones + 1) / 2) / (ones * zeros)


def average_precision(positive: np.ndarray, score: np.ndarray) -> float | None:
    """Average precision: the sum over distinct thresholds of precision times the recall gained there, not interpolated.

    Parameters
    ----------
    positive, score
        As for `roc_auc`. Items of equal score enter together, so their order does not matter.

    Returns
    -------
    float or None
        None without a positive.
    """
    positive, score = _scored(positive, score)
    total = int(positive.sum())
    if not total:
        return None
    found, said = _ranked(positive, score)
    return float(np.sum(np.diff(found, prepend=0) / total * found / said))


def roc_points(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ROC curve: false and true positive rates at every distinct threshold, from (0, 0) to (1, 1).

    Parameters are those of `roc_auc`; there must be cases of both kinds. The area under straight lines between the
    points is `roc_auc`.

    Returns
    -------
    false, true : (M,) float, not falling
    """
    found, said = _ranked(*_scored(positive, score))
    total = int(np.sum(positive))
    false, true = (said - found) / (len(score) - total), found / total
    return np.concatenate([[0.0], false]), np.concatenate([[0.0], true])


def precision_points(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision-recall curve: recall (not falling) and precision at every distinct threshold, (M,) float each.

    Parameters are those of `average_precision`; there must be a positive.
    """
    found, said = _ranked(*_scored(positive, score))
    return found / int(np.sum(positive)), found / said


def _ranked(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count positives, and all cases, from every distinct score on, the highest score first."""
    order = np.argsort(-score, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    return np.cumsum(positive[order])[last_of_tie], last_of_tie + 1


def reliability_table(probabilities: np.ndarray, truth: np.ndarray, bins: int = 15) -> pd.DataFrame:
    """Confidence against accuracy in bins of equal width.

    Parameters
    ----------
    probabilities : (N, K) float, rows sum to 1
    truth : (N,) int
        Index of the true class.
    bins : int
        Equal-width bins of the largest probability over (0, 1]; a value on an edge belongs to the bin below.

    Returns
    -------
    DataFrame
        A row per bin: ``low, high, n, confidence, accuracy`` (means over the bin, None in an empty one).

    Raises
    ------
    ValueError
        If shapes do not match or `bins` is below 1.
    """
    probabilities, truth = np.asarray(probabilities, float), np.asarray(truth)
    if probabilities.ndim != 2 or len(probabilities) != len(truth) or bins < 1:
        raise ValueError(f"probabilities {probabilities.shape} and truth {truth.shape} do not match, or {bins} bins")
    if len(truth):
        confidence = probabilities.max(1)
        right = probabilities.argmax(1) == truth
    else:
        confidence, right = np.zeros(0), np.zeros(0, bool)
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    return pd.DataFrame(
        {
            "low": edges[:-1],
            "high": edges[1:],
            "n": count,
            "confidence": _ratios(np.bincount(place, weights=confidence, minlength=bins), count),
            "accuracy": _ratios(np.bincount(place, weights=right, minlength=bins), count),
        }
    )


def expected_calibration_error(probabilities: np.ndarray, truth: np.ndarray, bins: int = 15) -> float | None:
    """Mean gap between confidence and accuracy over the bins of `reliability_table`, weighted by their counts.

    None for no items.

    References
    ----------
    C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equation 3.
    """
    table = reliability_table(probabilities, truth, bins)
    filled = table[table["n"] > 0]
    if filled.empty:
        return None
    gap = np.abs(filled["accuracy"].to_numpy(float) - filled["confidence"].to_numpy(float))
    return float(np.average(gap, weights=filled["n"]))


def _pair(truth: Sequence | np.ndarray, predicted: Sequence | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.ndim != 1 or truth.shape != predicted.shape:
        raise ValueError(f"truth {truth.shape} and prediction {predicted.shape} must be lists of the same length")
    return truth, predicted


def _scored(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    positive, score = _pair(np.asarray(positive, bool), np.asarray(score, float))
    if np.isnan(score).any():
        raise ValueError("a score is NaN")
    return positive, score


def _ratios(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide, with None (in an object array, so that pandas keeps it) where there is nothing to divide by."""
    return np.array([float(a) / float(b) if b else None for a, b in zip(part, whole, strict=True)], object)
