"""Overlap and outlines of masks; tests of one method against another."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cellscope.metrics.comparison import paired_t, unpaired_t, wilcoxon
from cellscope.metrics.overlap import Counts, boundary_metrics, count_pixels, outline_of, overlap_metrics, pool


def square(top: int, left: int, side: int = 10) -> np.ndarray:
    mask = np.zeros((30, 30), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_counts_and_their_pool() -> None:
    counts = count_pixels(square(5, 5), square(5, 10))
    assert counts == Counts(50, 50, 50, 750)
    assert overlap_metrics(counts) == pytest.approx(
        {"dice": 0.5, "iou": 1 / 3, "accuracy": 800 / 900, "precision": 0.5, "recall": 0.5}
    )
    both = pool([counts, count_pixels(square(5, 5), square(5, 5))])
    assert overlap_metrics(both)["dice"] == pytest.approx(2 * 150 / (2 * 150 + 100))
    with pytest.raises(ValueError, match="differ in size"):
        count_pixels(square(5, 5), np.zeros((3, 3), bool))


def test_empty_masks() -> None:
    nothing = np.zeros((30, 30), bool)
    assert set(overlap_metrics(count_pixels(nothing, nothing)).values()) == {1.0}
    missed = overlap_metrics(count_pixels(square(5, 5), nothing))
    assert (missed["dice"], missed["precision"], missed["recall"]) == (0, 0, 0)
    assert boundary_metrics(nothing, nothing) == {"boundary_f1": 1.0, "hd95": 0.0}
    assert np.isnan(boundary_metrics(nothing, square(5, 5))["hd95"])


def test_outlines_by_hand() -> None:
    assert outline_of(square(5, 5)).sum() == 36
    assert boundary_metrics(square(5, 5), square(5, 5)) == {"boundary_f1": 1.0, "hd95": 0.0}
    near = boundary_metrics(square(5, 5), square(5, 6), tolerance=1)
    assert near["boundary_f1"] == 1
    assert near["hd95"] == pytest.approx(1)
    far = boundary_metrics(square(0, 0, 4), square(20, 20, 4))
    assert far["boundary_f1"] == 0
    assert far["hd95"] > 20


def test_table_4_of_the_paper() -> None:
    """Dice 0.9165 +- 0.0094 against 0.9422 +- 0.0065 over three folds: t -3.891, p 0.018, 4 degrees of freedom."""
    shape = np.array([-1.0, 0.0, 1.0])
    t, p, freedom = unpaired_t(0.9165 + 0.0094 * shape, 0.9422 + 0.0065 * shape) or (0, 0, 0)
    assert t == pytest.approx(-3.891, abs=0.01)
    assert p == pytest.approx(0.018, abs=0.001)
    assert freedom == 4


def test_pairs() -> None:
    x, y = [0.9, 0.8, 0.7, 0.95], [0.85, 0.79, 0.72, 0.9]
    assert paired_t(x, y)[:2] == pytest.approx(tuple(stats.ttest_rel(x, y)))
    assert wilcoxon(x, y)[1] == pytest.approx(stats.wilcoxon(x, y).pvalue)
    assert paired_t(x, x) is None
    assert wilcoxon(x, x) is None
    assert unpaired_t([1.0], [2.0]) is None
    with pytest.raises(ValueError, match="one length"):
        paired_t(x, y[:2])
