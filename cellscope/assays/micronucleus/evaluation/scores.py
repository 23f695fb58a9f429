"""What is measured: cells classified, frequency per field. Arrays in, numbers out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cellscope.engine.eval.compare import right_and_probability


def sensitivity_at(positive: np.ndarray, score: np.ndarray, specificity: float) -> float | None:
    """Share of positives above the score that keeps a share of negatives below; None without both.

    The threshold is the `specificity` quantile of the negatives' scores, a positive must lie strictly above it.
    """
    positive = np.asarray(positive, bool)
    if positive.all() or not positive.any():
        return None
    cut = np.quantile(score[~positive], specificity)
    return float(np.mean(score[positive] > cut))


def frequency_error(true: np.ndarray, found: np.ndarray) -> dict[str, float | None]:
    """Compare the frequency of micronucleated cells per field: Pearson correlation, mean absolute error, bias."""
    if not len(true):
        return {"frequency_r": None, "frequency_mae": None, "frequency_bias": None}
    spread = len(true) > 1 and np.std(true) > 0 and np.std(found) > 0
    return {
        "frequency_r": float(np.corrcoef(true, found)[0, 1]) if spread else None,
        "frequency_mae": float(np.mean(np.abs(true - found))),
        "frequency_bias": float(np.mean(found - true)),
    }


def compared_measures(per_image: pd.DataFrame) -> pd.DataFrame:
    """Give what `eval --compare` compares, of ``per_image.csv``.

    Of a crop whether the call is right and the probability of its class; of a field the share of nuclei found, objects
    that are none, and the error of the frequency.
    """
    found = pd.DataFrame(index=per_image.index)
    if "predicted" in per_image:
        found = right_and_probability(per_image)
    if "n_true" in per_image:
        found["found"] = per_image["matched"] / per_image["n_true"]
        found["extra"] = per_image["extra"]
        found["frequency_error"] = (per_image["found_frequency"] - per_image["true_frequency"]).abs()
    return found
