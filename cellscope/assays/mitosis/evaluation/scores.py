"""The paper's measures of a classifier of divisions: arrays in, numbers out. All but the normal class are positive."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from cellscope.metrics.classification import accuracy, average_precision, expected_calibration_error, roc_auc


def calls(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Choose a class for each case: of two, the last from `threshold` on; of more, the most probable. (N,) int."""
    if probabilities.shape[1] == 2:
        return (probabilities[:, 1] >= threshold).astype(int)
    return np.asarray(probabilities.argmax(1), int)


def scores(
    labels: np.ndarray, probabilities: np.ndarray, *, threshold: float = 0.5, positive: Sequence[int] | None = None
) -> dict[str, float | None]:
    """Measure a classifier of normal against abnormal divisions.

    Parameters
    ----------
    labels : (N,) int
    probabilities : (N, K) float
    threshold : float
        Probability from which a case of two classes is called positive.
    positive : sequence of int, optional
        The classes that count as abnormal; all but the first.

    Returns
    -------
    dict
        accuracy, precision, recall, specificity, f1, roc_auc, average_precision, balanced_accuracy, f1_balanced (F1
        where both classes were equally frequent), calibration_error; None where undefined.
    """
    chosen = list(range(1, probabilities.shape[1])) if positive is None else list(positive)
    true, p = np.isin(labels, chosen), probabilities[:, chosen].sum(1).clip(0, 1)
    said = np.isin(calls(probabilities, threshold), chosen)
    hit, missed, false = int((true & said).sum()), int((true & ~said).sum()), int((~true & said).sum())
    right = int((~true & ~said).sum())
    recall, specificity = _ratio(hit, hit + missed), _ratio(right, right + false)
    both = recall is not None and specificity is not None
    return {
        "accuracy": accuracy(true, said),
        "precision": _ratio(hit, hit + false),
        "recall": recall,
        "specificity": specificity,
        "f1": _ratio(2 * hit, 2 * hit + missed + false),
        "roc_auc": roc_auc(true, p),
        "average_precision": average_precision(true, p),
        "balanced_accuracy": (recall + specificity) / 2 if both else None,  # type: ignore[operator]
        "f1_balanced": _ratio(2 * recall, 1 + recall + 1 - specificity) if both else None,  # type: ignore[operator]
        "calibration_error": expected_calibration_error(np.stack([1 - p, p], 1), true.astype(int)),
    }


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def majority_by(keys: Sequence[Hashable], labels: np.ndarray, folds: Sequence[Hashable]) -> np.ndarray:
    """Guess each case's class from its key alone: what a model that only knows the dose would say.

    Parameters
    ----------
    keys : (N,) sequence
        The dose, say.
    labels : (N,) int
    folds : (N,) sequence
        A case is never judged by cases of its own fold (or group).

    Returns
    -------
    (N,) int
        The most frequent class among cases of the same key in other folds; without any, the most frequent of all in
        other folds. Ties go to the lower class.
    """
    labels = np.asarray(labels)
    key, fold = np.array([str(k) for k in keys]), np.array([str(f) for f in folds])
    guesses = np.zeros(len(labels), int)
    for place in range(len(labels)):
        others = fold != fold[place]
        alike = others & (key == key[place])
        pool = labels[alike if alike.any() else others]
        guesses[place] = int(np.bincount(pool).argmax()) if len(pool) else 0
    return guesses


def within_mixed(keys: Sequence[Hashable], labels: np.ndarray, least: int = 5) -> np.ndarray:
    """Select the cases whose key holds at least `least` of each of two or more classes: (N,) bool.

    Accuracy there cannot come from the key.
    """
    labels = np.asarray(labels)
    key = np.array([str(k) for k in keys])
    chosen = np.zeros(len(labels), bool)
    for value in np.unique(key):
        counts = np.bincount(labels[key == value])
        if (counts >= least).sum() >= 2:
            chosen |= key == value
    return chosen
