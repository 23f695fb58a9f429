"""What `eval` measures, arrays in and numbers out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cellscope.assays.nucleus_seg.classes import CYTOPLASM, NUCLEUS, OUTSIDE, cells_of
from cellscope.metrics.comparison import paired_t, unpaired_t, wilcoxon
from cellscope.metrics.overlap import Counts, boundary_metrics, count_pixels, overlap_metrics

#: Per image, in the order of ``per_image.csv``.
MEASURES = ("dice", "iou", "accuracy", "precision", "recall", "boundary_f1", "hd95")
#: What comparisons test.
COMPARED = ("dice", "iou", "accuracy", "precision", "recall")


def true_cells(mask: np.ndarray) -> int:
    """Count the annotated cells that have a nucleus of at least 20 pixels.

    Parameters
    ----------
    mask : (H, W) uint8, codes of `classes`
    """
    cells = cells_of(mask)
    return int((np.bincount(cells[mask == NUCLEUS], minlength=1)[1:] >= 20).sum())


def image_measures(
    mask: np.ndarray, labels: np.ndarray, cells: np.ndarray | None
) -> tuple[dict[str, float | int], Counts]:
    """Measure one image.

    Parameters
    ----------
    mask : (H, W) uint8
        Truth, codes of `classes`.
    labels : (H, W) int
        Nuclei found.
    cells : (H, W) int or None
        Cells found.

    Returns
    -------
    measures : dict
        `MEASURES` of the nucleus, ``cell_dice`` (NaN where unknown), ``n_true``, ``n_found``.
    counts : Counts
        Of nucleus pixels, for pooling.
    """
    truth, found = mask == NUCLEUS, labels > 0
    counts = count_pixels(truth, found)
    measures: dict[str, float | int] = {**overlap_metrics(counts), **boundary_metrics(truth, found)}
    known = cells is not None and not (mask == OUTSIDE).any()
    measures["cell_dice"] = (
        overlap_metrics(count_pixels(mask >= CYTOPLASM, cells > 0))["dice"] if known and cells is not None else np.nan
    )
    measures["n_true"], measures["n_found"] = true_cells(mask), int(labels.max(initial=0))
    return measures, counts


def compare_tables(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Test two evaluations of the same images against each other.

    Parameters
    ----------
    ours, theirs : DataFrame
        ``per_image.csv`` of each: ``image``, the measures, and ``fold`` where folds were evaluated.

    Returns
    -------
    DataFrame
        A row per measure and test: ``measure, test, unit, ours, theirs, difference, statistic, p, df, n``. Over images:
        the paired t-test and Wilcoxon's. Over folds (where both have them): the unpaired t-test of the paper's Table 4
        and the paired one. Undefined values are empty.

    Raises
    ------
    ValueError
        If the two share no image.
    """
    pairs = ours.merge(theirs, on="image", suffixes=("", "_theirs"))
    if pairs.empty:
        raise ValueError("the two evaluations have no image in common")
    rows = []
    for name in COMPARED:
        mine, other = pairs[name].to_numpy(float), pairs[f"{name}_theirs"].to_numpy(float)
        for test, result in (("paired t", paired_t(mine, other)), ("Wilcoxon", wilcoxon(mine, other))):
            rows.append(_row(name, test, "image", mine, other, result))
        if {"fold", "fold_theirs"} <= set(pairs) and pairs["fold"].nunique() > 1:
            folds = pairs.groupby("fold")[[name, f"{name}_theirs"]].mean()
            mine, other = folds[name].to_numpy(float), folds[f"{name}_theirs"].to_numpy(float)
            for test, result in (("unpaired t", unpaired_t(mine, other)), ("paired t", paired_t(mine, other))):
                rows.append(_row(name, test, "fold", mine, other, result))
    return pd.DataFrame(rows)


def _row(
    name: str, test: str, unit: str, mine: np.ndarray, other: np.ndarray, result: tuple[float, float, int] | None
) -> dict[str, object]:
    statistic, p, freedom = result or (np.nan, np.nan, np.nan)
    return {
        "measure": name,
        "test": test,
        "unit": unit,
        "ours": mine.mean(),
        "theirs": other.mean(),
        "difference": mine.mean() - other.mean(),
        "statistic": statistic,
        "p": p,
        "df": freedom,
        "n": len(mine),
    }
