"""From box-shaped masks to chromosomes in the image."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from drawn.karyotype import rod
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as rle

from cellscope.assays.karyotype.detect.detections import (
    Detection,
    drop_duplicates,
    drop_pale,
    encode,
    overlap,
    place,
    to_labels,
)

SHAPE = (60, 70)


def whole(detection: Detection, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    full = np.zeros(shape, bool)
    x0, y0, x1, y1 = detection.bbox
    full[y0:y1, x0:x1] = detection.mask
    return full


def cut(mask: np.ndarray, score: float = 0.9) -> Detection:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    return Detection(box, mask[box[1] : box[3], box[0] : box[2]].copy(), score)


def bar(x: float, y: float, angle: float, length: float = 40, width: float = 7, score: float = 0.9) -> Detection:
    return cut(rod(SHAPE, (x, y), angle, length, width)[0], score)


def slow_probability(box: np.ndarray, probability: np.ndarray, row: int, column: int) -> float:
    """Bilinear value of the box's cells at the centre of one image pixel, edge cells repeated."""
    side = len(probability)
    u = (column + 0.5 - box[0]) / (box[2] - box[0]) * side - 0.5
    v = (row + 0.5 - box[1]) / (box[3] - box[1]) * side - 0.5
    i, j = int(np.floor(v)), int(np.floor(u))
    total = 0.0
    for a, wa in ((i, 1 - (v - i)), (i + 1, v - i)):
        for b, wb in ((j, 1 - (u - j)), (j + 1, u - j)):
            total += wa * wb * probability[min(max(a, 0), side - 1), min(max(b, 0), side - 1)]
    return total


@settings(max_examples=20, deadline=None)
@given(
    x=st.floats(-10, 50),
    y=st.floats(-10, 40),
    width=st.floats(25, 45),
    height=st.floats(25, 45),
    seed=st.integers(0, 99),
)
def test_place_agrees_with_every_pixel_worked_out(x: float, y: float, width: float, height: float, seed: int) -> None:
    box = np.array([x, y, x + width, y + height])
    rng = np.random.default_rng(seed)
    rows, columns = (np.mgrid[:28, :28] + 0.5) / 28
    probability = np.exp(-(((rows - rng.uniform(0.3, 0.7)) / 0.35) ** 2) - ((columns - 0.5) / 0.25) ** 2).astype(
        np.float32
    )
    found = place(box, probability, SHAPE, 0.7)
    got = np.zeros(SHAPE, bool) if found is None else whole(found)
    for row in range(SHAPE[0]):
        for column in range(SHAPE[1]):
            # Pixels that the box touches are looked at, also when only part of them is inside.
            near = np.floor(x) <= column < np.ceil(x + width) and np.floor(y) <= row < np.ceil(y + height)
            value = slow_probability(box, probability, row, column) if near else 0.0
            if abs(value - 0.5) > 0.03:  # OpenCV interpolates in steps of a 32nd
                assert got[row, column] == (value > 0.5)


def test_place_gives_a_tight_box_and_shrinks_smoothly() -> None:
    probability = np.zeros((112, 112), np.float32)
    probability[28:84, 28:84] = 1
    found = place(np.array([10.0, 20.0, 30.0, 40.0]), probability, SHAPE, 0.5)
    np.testing.assert_array_equal(found.bbox, [15, 25, 25, 35])
    assert found.mask.all()
    assert found.area == 100


def test_place_outside_or_empty_gives_nothing() -> None:
    ones = np.ones((28, 28), np.float32)
    assert place(np.array([80.0, 10.0, 90.0, 20.0]), ones, SHAPE, 0.5) is None
    assert place(np.array([10.0, 10.0, 20.0, 20.0]), 0 * ones, SHAPE, 0.5) is None
    clipped = place(np.array([-10.0, -10.0, 10.0, 10.0]), ones, SHAPE, 0.5)
    np.testing.assert_array_equal(clipped.bbox, [0, 0, 10, 10])


def test_specks_are_dropped_and_halves_kept() -> None:
    probability = np.zeros((28, 28), np.float32)
    probability[2:26, 10:18] = 1
    probability[12:14, 2:4] = 1
    box = np.array([5.0, 5.0, 33.0, 33.0])
    assert cv2.connectedComponents(place(box, probability, SHAPE, 0.5).mask.astype(np.uint8))[0] == 2
    probability[12:16, 8:20] = 0  # a faint centromere parts the arms
    assert cv2.connectedComponents(place(box, probability, SHAPE, 0.5).mask.astype(np.uint8))[0] == 3


def test_overlap_counts_shared_pixels() -> None:
    a, b = bar(35, 30, 0.3), bar(35, 30, 1.9)
    assert overlap(a, b) == (whole(a) & whole(b)).sum() > 0
    assert overlap(a, a) == a.area
    assert overlap(bar(12, 30, 0), bar(55, 30, 0)) == 0


def test_crossing_chromosomes_are_both_kept() -> None:
    a, b = bar(35, 30, np.pi / 4, score=0.9), bar(35, 30, -np.pi / 4, score=0.8)
    box_overlap = min(a.bbox[2], b.bbox[2]) - max(a.bbox[0], b.bbox[0])
    assert box_overlap > 0.9 * (a.bbox[2] - a.bbox[0])  # the boxes all but coincide
    assert drop_duplicates([b, a]) == [a, b]


def test_the_weaker_duplicate_and_the_fragment_go() -> None:
    best, duplicate = bar(35, 30, 0, score=0.9), bar(36, 30, 0, score=0.8)
    fragment = bar(35, 22, 0, length=14, score=0.7)
    elsewhere = bar(10, 30, 0, score=0.2)
    assert drop_duplicates([elsewhere, fragment, duplicate, best]) == [best, elsewhere]


def test_a_whole_chromosome_outlives_a_better_scored_fragment() -> None:
    fragment, long = bar(35, 22, 0, length=12, score=0.9), bar(35, 30, 0, score=0.8)
    assert any(one is long for one in drop_duplicates([fragment, long]))


def test_labels_put_the_smaller_one_on_top() -> None:
    long, short = bar(35, 30, 0), bar(35, 30, np.pi / 2, length=20)
    labels = to_labels([short, long], SHAPE)
    np.testing.assert_array_equal(labels == 1, whole(short))
    np.testing.assert_array_equal(labels == 2, whole(long) & ~whole(short))
    assert not to_labels([], SHAPE).any()


def test_encode_is_cocos_rle_of_the_whole_image() -> None:
    detection = bar(20, 25, 0.8)
    coded = encode(detection.mask, int(detection.bbox[0]), int(detection.bbox[1]), SHAPE)
    np.testing.assert_array_equal(rle.decode(coded).astype(bool), whole(detection))
    assert isinstance(coded["counts"], str)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_the_order_of_equal_masks_does_not_matter(order: list[int]) -> None:
    found = [bar(12, 30, 0, score=0.5), bar(35, 30, 0, score=0.7), bar(55, 30, 0, score=0.6)]
    kept = drop_duplicates([found[i] for i in order])
    assert [one.score for one in kept] == [0.7, 0.6, 0.5]


def test_nuclei_are_dropped_by_their_thickness():
    from cellscope.assays.karyotype.detect.detections import Detection, drop_thick, half_width

    rods = [Detection(np.array([9, 20 * i + 9, 49, 20 * i + 19]), np.ones((10, 40), bool), 0.9) for i in range(12)]
    nucleus = Detection(np.array([100, 100, 160, 160]), np.ones((60, 60), bool), 0.99)
    assert half_width(rods[0].mask) == pytest.approx(5, abs=1)
    assert drop_thick([*rods, nucleus], (300, 300)) == rods
    assert drop_thick([*rods[:4], nucleus], (300, 300)) == [*rods[:4], nucleus]  # too few to tell
    thick = np.ones((16, 60), bool)  # 1.6 times the half width of the others
    inside = Detection(np.array([100, 9, 160, 25]), thick, 0.8)
    cut = Detection(np.array([240, 50, 300, 66]), thick, 0.8)
    assert drop_thick([*rods, inside, cut], (300, 300)) == [*rods, inside]


def test_the_reported_box_lies_midway_between_mask_and_network() -> None:
    placed = place(np.array([10.0, 20.0, 30.0, 40.0]), np.pad(np.ones((8, 8), np.float32), 1), SHAPE, 0.9)
    assert placed is not None
    assert placed.bbox.tolist() == [12, 22, 28, 38]
    np.testing.assert_allclose(placed.reported_box(SHAPE), [11, 21, 29, 39])
    np.testing.assert_allclose(replace(placed, margin=12.0).reported_box(SHAPE), [0, 9, 41, 51])
    np.testing.assert_allclose(replace(placed, margin=40.0).reported_box(SHAPE), [0, 0, 69, 60])
    np.testing.assert_allclose(replace(placed, box=None).reported_box(SHAPE), placed.bbox)


def test_what_is_paler_than_the_chromosomes_is_dropped() -> None:
    normalised = np.zeros((300, 100), np.float32)
    rods = [Detection(np.array([9, 20 * i + 9, 49, 20 * i + 19]), np.ones((10, 40), bool), 0.9) for i in range(12)]
    for number, one in enumerate(rods):
        normalised[one.bbox[1] : one.bbox[3], 9:49] = 0.8 if number % 2 else 1.0
    pale, faint = (Detection(np.array([60, y, 90, y + 10]), np.ones((10, 30), bool), 0.95) for y in (20, 60))
    normalised[20:30, 60:90], normalised[60:70, 60:90] = 0.5, 0.2
    assert drop_pale([*rods, pale, faint], normalised, limit=0.5) == [*rods, pale]
    assert drop_pale([*rods, pale, faint], normalised, limit=0.7) == rods
    few = [*rods[:7], pale, faint]
    assert drop_pale(few, normalised, limit=0.9) == few  # too few to tell
