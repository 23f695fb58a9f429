"""What `eval` measures, arrays in and numbers out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cellscope.assays.histo.nuclei.postprocess import Nuclei
from cellscope.metrics.conventions import HOVERNET, IMAGE_METRICS, STRICT
from cellscope.metrics.instance_counts import EXTRA, MISSED, RIGHT
from cellscope.metrics.instance_summary import ImageInstances, Summary, measure_overlaps
from cellscope.metrics.instances import overlaps, pairs_by_overlap


@dataclass
class Scored:
    """One image measured.

    Attributes
    ----------
    instances : ImageInstances
        For the conventions.
    true_types : (Q,) int
        Of the pairs (IoU > 0.5) whose true type is known; types as in `score_image`.
    probabilities : (Q, n_types) float32
        Of the same pairs; 0 for types the model does not know.
    """

    instances: ImageInstances
    true_types: np.ndarray
    probabilities: np.ndarray


def score_image(
    labels: np.ndarray, types: np.ndarray | None, nuclei: Nuclei, codes: np.ndarray | None, n_types: int, radius: float
) -> Scored:
    """Compare the nuclei found in one image with the truth.

    Parameters
    ----------
    labels : (H, W) int
        Truth.
    types : (max label + 1,) int or None
        Type of every true label, 0..n_types - 1, -1 unknown; None for an image without types.
    nuclei : Nuclei
    codes : (K,) int or None
        The model's types in the numbers of `types`; None where they cannot be compared.
    n_types : int
        Types of truth and model together.
    radius : float
        Pixels, for pairs by centroid.
    """
    pairs = overlaps(labels, nuclei.labels)
    true = found = None
    chosen, shown = np.zeros(0, int), np.zeros((0, n_types), np.float32)
    if types is not None and codes is not None and n_types:
        true = types[pairs.truth]
        found = codes[nuclei.probabilities.argmax(1)] if len(nuclei.score) else np.zeros(0, int)
        rows, columns, _ = pairs_by_overlap(pairs)
        known = true[rows] >= 0
        chosen, shown = true[rows[known]], np.zeros((int(known.sum()), n_types), np.float32)
        shown[:, codes] = nuclei.probabilities[columns[known]]
    return Scored(measure_overlaps(pairs, true, found, n_types, radius=radius), chosen, shown)


def image_row(scored: Scored, classes: tuple[str, ...] = ()) -> dict[str, Any]:
    """Give the row of ``per_image.csv``.

    Parameters
    ----------
    scored : Scored
    classes : tuple of str
        Names of the types; without, no columns of types.

    Returns
    -------
    dict
        ``n_true``, ``n_found``, ``n_matched`` (IoU > 0.5), the image metrics (NaN without any nucleus) and
        ``f1_<type>`` (IoU > 0.5, NaN where the type is not there, not found, or not known).
    """
    summary, alone = Summary([scored.instances]), np.zeros(1, int)
    counts = scored.instances.by_overlap[0]
    row: dict[str, Any] = {
        "n_true": int(counts[RIGHT] + counts[MISSED]),
        "n_found": int(counts[RIGHT] + counts[EXTRA]),
        "n_matched": int(counts[RIGHT]),
    }
    row |= {name: float(summary.image_values(name, HOVERNET)[0]) for name in IMAGE_METRICS}
    if classes:
        row |= {f"f1_{name}": float(value) for name, value in zip(classes, summary.f1(STRICT, alone)[1:], strict=True)}
    return row


def compared_measures(per_image: pd.DataFrame) -> pd.DataFrame:
    """Give what `eval --compare` compares, of ``per_image.csv``: image metrics, F1 of types, the error of the count."""
    names = [name for name in per_image if name in IMAGE_METRICS or name.startswith("f1_")]
    error = (per_image["n_found"] - per_image["n_true"]).abs()
    return per_image[names].assign(count_error=error)
