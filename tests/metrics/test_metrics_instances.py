"""Instance metrics against cases worked by hand and against the published formulas, written slowly, on random maps."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from cellscope.metrics.instance_counts import count_types, f1, panoptic
from cellscope.metrics.instances import (
    aji,
    aji_plus,
    best_pairs,
    dice,
    overlaps,
    pairs_by_centre,
    pairs_by_overlap,
)


def random_labels(seed: int, side: int = 40, number: int = 12) -> np.ndarray:
    """Draw boxes over one another; numbers with gaps."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((side, side + 7), np.int32)
    for label in rng.choice(np.arange(1, 200), rng.integers(0, number + 1), replace=False):
        y, x, h, w = *rng.integers(0, side - 2, 2), *rng.integers(2, side // 2, 2)
        labels[y : y + h, x : x + w] = label
    return labels


def pair_of_labels(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a truth and a prediction that resembles it now and then."""
    rng = np.random.default_rng(seed)
    truth = random_labels(seed)
    if rng.random() < 0.5:
        return truth, random_labels(seed + 10**6)
    found = np.roll(truth, rng.integers(-3, 4, 2), (0, 1))
    found[found == rng.integers(1, 200)] = 0
    return truth, ndimage.grey_dilation(found, 3) if rng.random() < 0.5 else found


class Slow:
    """The formulas as published, one mask at a time."""

    def __init__(self, truth: np.ndarray, found: np.ndarray) -> None:
        self.g = [truth == label for label in np.unique(truth) if label]
        self.p = [found == label for label in np.unique(found) if label]
        self.inter = np.array([[(g & p).sum() for p in self.p] for g in self.g]).reshape(len(self.g), len(self.p))
        self.union = np.array([[(g | p).sum() for p in self.p] for g in self.g]).reshape(len(self.g), len(self.p))
        self.iou = self.inter / np.maximum(self.union, 1)

    def dice(self) -> float:
        a, b = (np.any(masks, axis=0) if masks else np.zeros(1, bool) for masks in (self.g, self.p))
        return 2 * (a & b).sum() / (a.sum() + b.sum())

    def aji(self) -> float:
        """Graham et al. 2019, equation of AJI in the appendix, best IoU, prediction reusable."""
        shared = together = 0
        used = set()
        for i, g in enumerate(self.g):
            if self.p and self.iou[i].max() > 0:
                j = int(self.iou[i].argmax())
                shared, together = shared + self.inter[i, j], together + self.union[i, j]
                used.add(j)
            else:
                together += g.sum()
        return shared / (together + sum(p.sum() for j, p in enumerate(self.p) if j not in used))

    def aji_of(self, pairs: list[tuple[int, int]]) -> float:
        rows, columns = {i for i, _ in pairs}, {j for _, j in pairs}
        shared = sum(self.inter[i, j] for i, j in pairs)
        together = sum(self.union[i, j] for i, j in pairs)
        together += sum(g.sum() for i, g in enumerate(self.g) if i not in rows)
        return shared / (together + sum(p.sum() for j, p in enumerate(self.p) if j not in columns))

    def pq(self) -> tuple[float, float, float]:
        matched = [self.iou[i, j] for i in range(len(self.g)) for j in range(len(self.p)) if self.iou[i, j] > 0.5]
        tp = len(matched)
        dq = tp / (tp + 0.5 * (len(self.p) - tp) + 0.5 * (len(self.g) - tp))
        sq = sum(matched) / tp if tp else 0.0
        return dq, sq, dq * sq


@given(st.integers(0, 10**5))
@settings(max_examples=120, deadline=None)
def test_the_published_formulas_hold_on_random_maps(seed: int) -> None:
    truth, found = pair_of_labels(seed)
    pairs, slow = overlaps(truth, found), Slow(truth, found)
    if not len(slow.g) + len(slow.p):
        assert np.isnan(
            [dice(pairs), aji(pairs), aji_plus(pairs), *panoptic(count_types(pairs, pairs_by_overlap(pairs))[0])]
        ).all()
        return
    assert dice(pairs) == pytest.approx(slow.dice(), abs=1e-12)
    assert aji(pairs) == pytest.approx(slow.aji(), abs=1e-12)
    assert panoptic(count_types(pairs, pairs_by_overlap(pairs))[0]) == pytest.approx(slow.pq(), abs=1e-12)
    # Several pairings can have the same sum of IoU, so the sum is compared first, and AJI+ for the pairing found.
    chosen = best_pairs(pairs)
    taken = list(zip(pairs.rows[chosen].tolist(), pairs.columns[chosen].tolist(), strict=True))
    assert len({i for i, _ in taken}) == len({j for _, j in taken}) == len(taken)
    rows, columns = linear_sum_assignment(-slow.iou)
    assert sum(slow.iou[i, j] for i, j in taken) == pytest.approx(slow.iou[rows, columns].sum(), abs=1e-9)
    assert aji_plus(pairs) == pytest.approx(slow.aji_of(taken), abs=1e-12)


@given(st.integers(0, 10**5))
@settings(max_examples=40, deadline=None)
def test_the_table_counts_every_pixel_once(seed: int) -> None:
    truth, found = pair_of_labels(seed)
    pairs = overlaps(truth, found)
    assert pairs.truth.tolist() == [label for label in np.unique(truth) if label]
    for i, j, shared in zip(pairs.rows, pairs.columns, pairs.shared, strict=True):
        assert shared == ((truth == pairs.truth[i]) & (found == pairs.found[j])).sum() > 0
    assert pairs.shared.sum() == ((truth > 0) & (found > 0)).sum()
    swapped = overlaps(found, truth)
    assert dice(swapped) == pytest.approx(dice(pairs), nan_ok=True)
    assert aji_plus(swapped) == pytest.approx(aji_plus(pairs), nan_ok=True)
    for label, area, centre in zip(pairs.truth, pairs.truth_areas, pairs.truth_centres, strict=True):
        assert area == (truth == label).sum()
        assert centre == pytest.approx(ndimage.center_of_mass(truth == label))


def test_large_and_sparse_numbers_make_no_difference() -> None:
    truth, found = random_labels(1), random_labels(2)
    small, large = overlaps(truth, found), overlaps(truth.astype(np.int64) * 10**12, found.astype(np.int64) + 0)
    assert large.truth.tolist() == (small.truth * 10**12).tolist()
    for name in ("rows", "columns", "shared", "truth_areas", "found_centres"):
        np.testing.assert_array_equal(getattr(small, name), getattr(large, name))
    one, other = np.arange(1, 401).reshape(20, 20), np.arange(400, 0, -1).reshape(20, 20)
    every = overlaps(one, other)  # 160,000 possible pairs on 400 pixels: sorted instead of tabulated
    assert len(every.shared) == 400
    assert (every.rows + every.columns == 399).all()


def row(*labels: int) -> np.ndarray:
    return np.array([labels])


def test_by_hand() -> None:
    # Truth: 1 of 4 pixels, 2 of 4, 3 of 2. Found: 5 covers 3 of 1 and 1 of 2; 6 covers 3 of 2; 7 lies elsewhere.
    truth = row(1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 0, 0)
    found = row(0, 5, 5, 5, 5, 6, 6, 6, 0, 0, 7, 7)
    pairs = overlaps(truth, found)
    assert pairs.shared.tolist() == [3, 1, 3]
    assert pairs.union.tolist() == [5, 7, 4]
    assert dice(pairs) == pytest.approx(2 * 7 / (10 + 9))
    # 1 takes 5 (3 of 5), 2 takes 6 (3 of 4); 3 is missed (2 pixels), 7 made up (2 pixels).
    assert aji(pairs) == pytest.approx((3 + 3) / (5 + 4 + 2 + 2))
    assert aji_plus(pairs) == aji(pairs)
    dq, sq, pq = panoptic(count_types(pairs, pairs_by_overlap(pairs))[0])
    assert dq == pytest.approx(2 / 3)
    assert sq == pytest.approx((3 / 5 + 3 / 4) / 2)
    assert pq == pytest.approx(dq * sq)


def test_aji_lets_two_share_one_and_aji_plus_does_not() -> None:
    truth = row(1, 1, 1, 2, 2, 2, 2)
    found = row(9, 9, 9, 9, 9, 9, 9)
    pairs = overlaps(truth, found)
    assert aji(pairs) == pytest.approx((3 + 4) / (7 + 7))
    assert aji_plus(pairs) == pytest.approx(4 / (7 + 3))


def test_the_pairing_of_aji_plus_gives_up_the_best_pair_for_a_better_sum() -> None:
    truth, found = np.zeros((1, 200), int), np.zeros((1, 200), int)
    truth[0, :100], truth[0, 100:133] = 1, 2
    found[0, 32:132], found[0, :32] = 5, 6  # 5 takes 68 of 1 and 32 of 2, 6 the other 32 of 1
    pairs = overlaps(truth, found)
    chosen = best_pairs(pairs)
    sums = {
        picked: sum(pairs.iou[list(picked)])
        for n in range(len(pairs.rows) + 1)
        for picked in itertools.combinations(range(len(pairs.rows)), n)
        if len(set(pairs.rows[list(picked)])) == len(set(pairs.columns[list(picked)])) == n
    }
    assert tuple(chosen) == max(sums, key=lambda picked: sums[picked])
    assert pairs.iou.argmax() not in chosen


def test_an_overlap_of_just_a_half_is_no_pair() -> None:
    pairs = overlaps(row(1, 1, 0), row(0, 5, 0))
    assert pairs.iou.tolist() == [0.5]
    assert len(pairs_by_overlap(pairs)[0]) == 0
    with pytest.raises(ValueError, match=r"0\.3 would not make pairs unique"):
        pairs_by_overlap(pairs, 0.3)


def test_the_centroid_pairing_loses_a_possible_pair() -> None:
    # True nuclei at A and B, found ones at X = B and Y. A-X (12) and B-Y (11.7) are both near enough, but B-X (0) and
    # A-Y (13.6) sum to less, and then A-Y is too far.
    truth, found = np.zeros((14, 14), int), np.zeros((14, 14), int)
    truth[12, 0], truth[0, 0] = 1, 2
    found[0, 0], found[4, 11] = 5, 6
    rows, columns, distances = pairs_by_centre(overlaps(truth, found), 12)
    assert (rows.tolist(), columns.tolist(), distances.tolist()) == ([1], [0], [0])
    assert len(pairs_by_centre(overlaps(truth, found), 14)[0]) == 2
    assert [len(part) for part in pairs_by_centre(overlaps(truth, np.zeros_like(truth)), 12)] == [0, 0, 0]


def test_types_by_hand() -> None:
    truth = row(1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 0, 0, 0)
    found = row(1, 1, 1, 2, 2, 2, 3, 3, 3, 0, 0, 0, 5, 5, 5)
    pairs = overlaps(truth, found)
    matched = pairs_by_overlap(pairs)
    counts = count_types(pairs, matched, np.array([0, 1, 1, 1]), np.array([0, 1, 0, 0]), 3)
    assert counts[0].tolist() == [3, 0, 0, 1, 1, 3]
    assert counts[1].tolist() == [1, 1, 0, 1, 0, 1]  # 3 was found as type 0, and 5 made up as 0
    assert counts[2].tolist() == [1, 0, 1, 0, 1, 1]
    assert counts[3].tolist() == [0, 0, 0, 0, 0, 0]
    assert f1(counts)[:3] == pytest.approx([6 / 8, 2 / 4, 2 / 4])
    assert np.isnan(f1(counts)[3])
    assert f1(counts, (2, 2, 1, 1))[1] == pytest.approx(2 / (2 + 2 + 1))
    assert panoptic(counts)[1:3, 0] == pytest.approx([1 / 2, 1 / 2])
    unknown = count_types(pairs, matched, np.array([0, 1, -1, 1]), np.array([0, 1, 0, 0]), 3)
    assert unknown[1].tolist() == [1, 0, 0, 1, 0, 1]  # what is paired with the unknown one is no error
    assert unknown[2].tolist() == [1, 0, 0, 0, 1, 1]
    assert np.isnan(count_types(pairs, matched, None, None, 3)[1:]).all()


@given(st.integers(0, 10**5))
@settings(max_examples=30, deadline=None)
def test_the_quality_of_a_type_is_that_of_its_objects_alone(seed: int) -> None:
    truth, found = pair_of_labels(seed)
    pairs = overlaps(truth, found)
    rng = np.random.default_rng(seed)
    true_types, found_types = rng.integers(0, 3, len(pairs.truth)), rng.integers(0, 3, len(pairs.found))
    whole = panoptic(count_types(pairs, pairs_by_overlap(pairs), true_types, found_types, 3))
    for kind in range(3):
        of_truth = np.where(np.isin(truth, pairs.truth[true_types == kind]), truth, 0)
        of_found = np.where(np.isin(found, pairs.found[found_types == kind]), found, 0)
        if of_truth.any() or of_found.any():
            assert whole[1 + kind] == pytest.approx(Slow(of_truth, of_found).pq(), abs=1e-12)
        else:
            assert np.isnan(whole[1 + kind]).all()


def test_images_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in size"):
        overlaps(np.zeros((3, 3), int), np.zeros((3, 4), int))
    with pytest.raises(ValueError, match="negative"):
        overlaps(np.full((3, 3), -1), np.zeros((3, 3), int))
