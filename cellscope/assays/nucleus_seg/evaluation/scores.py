"""What `eval` measures, arrays in and numbers out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cellscope.assays.nucleus_seg.classes import CYTOPLASM, NUCLEUS, OUTSIDE, cells_of
from cellscope.metrics.instance_counts import count_types, panoptic
from cellscope.metrics.instances import Overlaps, aji, overlaps, pairs_by_overlap
from cellscope.metrics.overlap import Counts, boundary_metrics, count_pixels, overlap_metrics

#: Per image, in the order of ``per_image.csv``.
MEASURES = ("dice", "iou", "accuracy", "precision", "recall", "boundary_f1", "hd95")
#: What comparisons test.
COMPARED = ("dice", "iou", "accuracy", "precision", "recall")
#: Of single nuclei, per image.
INSTANCE_MEASURES = ("pq", "aji")
#: Overlaps (IoU) above which a nucleus counts as found, as COCO has them.
OVERLAPS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
#: Annotated nuclei of fewer pixels are specks of the annotation.
LEAST_PIXELS = 20


def true_cells(mask: np.ndarray, nuclei: np.ndarray | None = None) -> int:
    """Count the annotated cells that have a nucleus of at least 20 pixels.

    Parameters
    ----------
    mask : (H, W) uint8, codes of `classes`
    nuclei : (H, W) int, optional
        Numbers of the annotated nuclei, where the mask alone does not tell them apart.
    """
    return int(np.count_nonzero(np.unique(true_nuclei(mask, nuclei))))


def true_nuclei(mask: np.ndarray, nuclei: np.ndarray | None = None) -> np.ndarray:
    """Give numbers to the annotated nuclei: one per cell, whatever its lobes, of at least `LEAST_PIXELS`.

    Parameters
    ----------
    mask : (H, W) uint8, codes of `classes`
    nuclei : (H, W) int, optional
        As in `true_cells`.

    Returns
    -------
    (H, W) int32
    """
    labels = np.where(mask == NUCLEUS, cells_of(mask, nuclei), 0)
    small = np.bincount(labels.ravel()) < LEAST_PIXELS
    small[0] = False
    labels[small[labels]] = 0
    return labels


def matches(pairs: Overlaps) -> np.ndarray:
    """Count the pairs above each of `OVERLAPS`, then the nuclei annotated and found: (len(OVERLAPS) + 2,) int."""
    right = [len(pairs_by_overlap(pairs, floor)[0]) for floor in OVERLAPS]
    return np.array([*right, len(pairs.truth), len(pairs.found)])


def f1_by_overlap(counts: np.ndarray) -> np.ndarray:
    """Give F1 above each of `OVERLAPS` of nuclei of several images together.

    Parameters
    ----------
    counts : (images, len(OVERLAPS) + 2) int
        From `matches`.

    Returns
    -------
    (len(OVERLAPS),) float
        2 TP / (annotated + found); NaN without any nucleus.
    """
    *right, true, found = counts.sum(0)
    return 2 * np.array(right, float) / (true + found) if true + found else np.full(len(OVERLAPS), np.nan)


def image_measures(
    mask: np.ndarray, labels: np.ndarray, cells: np.ndarray | None, nuclei: np.ndarray | None = None
) -> tuple[dict[str, float | int], Counts, np.ndarray]:
    """Measure one image.

    Parameters
    ----------
    mask : (H, W) uint8
        Truth, codes of `classes`.
    labels : (H, W) int
        Nuclei found.
    cells : (H, W) int or None
        Cells found.
    nuclei : (H, W) int, optional
        Truth, as in `true_cells`.

    Returns
    -------
    measures : dict
        `MEASURES` of the nucleus, ``cell_dice`` (NaN where unknown), ``n_true``, ``n_found``, `INSTANCE_MEASURES`.
    counts : Counts
        Of nucleus pixels, for pooling.
    matched : (len(OVERLAPS) + 2,) int
        From `matches`, for pooling.
    """
    truth, found = mask == NUCLEUS, labels > 0
    counts = count_pixels(truth, found)
    measures: dict[str, float | int] = {**overlap_metrics(counts), **boundary_metrics(truth, found)}
    known = cells is not None and not (mask == OUTSIDE).any()
    measures["cell_dice"] = (
        overlap_metrics(count_pixels(mask >= CYTOPLASM, cells > 0))["dice"] if known and cells is not None else np.nan
    )
    measures["n_true"], measures["n_found"] = true_cells(mask, nuclei), int(labels.max(initial=0))
    pairs = overlaps(true_nuclei(mask, nuclei), labels)
    quality = panoptic(count_types(pairs, pairs_by_overlap(pairs)))[0, 2]
    measures |= {"pq": float(quality), "aji": aji(pairs)}
    return measures, counts, matches(pairs)


def compared_measures(per_image: pd.DataFrame) -> pd.DataFrame:
    """Give what `eval --compare` compares, of ``per_image.csv``: `COMPARED`."""
    return per_image[list(COMPARED)]
