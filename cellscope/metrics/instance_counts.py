"""Pairs of objects counted, all together and by type: what PQ and F1 are made of, and what may be added over images."""

from __future__ import annotations

import numpy as np

from cellscope.metrics.instances import Overlaps

RIGHT, WRONG_FOUND, WRONG_TRUTH, EXTRA, MISSED, IOU_SUM = range(6)
"""Columns of `count_types`."""


def count_types(
    pairs: Overlaps,
    matched: tuple[np.ndarray, np.ndarray, np.ndarray],
    truth_types: np.ndarray | None = None,
    found_types: np.ndarray | None = None,
    n_types: int = 0,
) -> np.ndarray:
    """Count pairs and lonely objects, all together and by type; tables of several images may be added.

    Parameters
    ----------
    pairs : Overlaps
    matched : from `pairs_by_overlap` or `pairs_by_centre`
    truth_types, found_types : (N,) and (M,) int, optional
        Types 0..n_types - 1, in the order of ``pairs.truth`` and ``pairs.found``; -1 is unknown. A true object of
        unknown type, and what is paired with it, is in no type's counts.
    n_types : int

    Returns
    -------
    (n_types + 1, 6) float64
        Row 0: all objects whatever their type; row 1 + k: type k. Columns: ``RIGHT`` pairs (of type k on both sides),
        ``WRONG_FOUND`` pairs found as k that are another type, ``WRONG_TRUTH`` pairs that are k but found as another,
        ``EXTRA`` objects found without partner, ``MISSED`` ones likewise, ``IOU_SUM`` over the right pairs (sum of the
        third array of `matched`). Rows of types are NaN without types: unknown is not zero.
    """
    rows, columns, values = matched
    counts = np.full((n_types + 1, 6), np.nan)
    counts[0] = (
        len(rows), 0, 0, len(pairs.found) - len(rows), len(pairs.truth) - len(rows), values.sum()
    )  # fmt: skip
    if truth_types is None or found_types is None or not n_types:
        return counts
    lonely, unused = np.ones(len(pairs.truth), bool), np.ones(len(pairs.found), bool)
    lonely[rows] = unused[columns] = False
    true, found = np.asarray(truth_types)[rows], np.asarray(found_types)[columns]

    def tally(types: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        known = types >= 0
        return np.bincount(types[known], None if weights is None else weights[known], n_types)[:n_types]

    same, other = true == found, (true != found) & (true >= 0)
    counts[1:] = np.stack(
        [
            tally(true[same]),
            tally(found[other]),
            tally(true[other]),
            tally(np.asarray(found_types)[unused]),
            tally(np.asarray(truth_types)[lonely]),
            tally(true[same], values[same]),
        ],
        1,
    )
    return counts


def panoptic(counts: np.ndarray) -> np.ndarray:
    """Give detection, segmentation and panoptic quality (Kirillov et al. 2019) of counts of pairs by overlap.

    Parameters
    ----------
    counts : (..., 6), from `count_types`

    Returns
    -------
    (..., 3) float64
        DQ = TP / (TP + FP / 2 + FN / 2), SQ = mean IoU of the pairs (0 without one), PQ = DQ x SQ. NaN where nothing
        was there and nothing found.
    """
    right, wrong_found, wrong_truth, extra, missed, iou = np.moveaxis(counts, -1, 0)
    total = right + (wrong_found + wrong_truth + extra + missed) / 2
    dq = np.divide(right, total, out=np.full_like(total, np.nan), where=total > 0)
    sq = np.where(np.isnan(dq), np.nan, iou / np.maximum(right, 1))
    return np.stack([dq, sq, dq * sq], -1)


def f1(counts: np.ndarray, weights: tuple[float, float, float, float] = (1, 1, 1, 1)) -> np.ndarray:
    """Give F1 = 2 TP / (2 TP + w0 FPc + w1 FNc + w2 FPd + w3 FNd): of detection (row 0) and of every type.

    Parameters
    ----------
    counts : (..., 6), from `count_types`
    weights : of wrongly typed pairs (found as this type, truly of this type) and of lonely objects (found, true)

    Returns
    -------
    (...,) float64
        NaN where nothing was there and nothing found.
    """
    right, *wrong, _ = np.moveaxis(counts, -1, 0)
    total = 2 * right + sum(weight * part for weight, part in zip(weights, wrong, strict=True))
    return np.divide(2 * right, total, out=np.full_like(total, np.nan), where=total > 0)
