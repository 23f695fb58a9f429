"""What `eval` measures, arrays in and numbers out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cellscope.assays.nucleus_seg.classes import CYTOPLASM, NUCLEUS, OUTSIDE, cells_of
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


def compared_measures(per_image: pd.DataFrame) -> pd.DataFrame:
    """Give what `eval --compare` compares, of ``per_image.csv``: `COMPARED`."""
    return per_image[list(COMPARED)]
