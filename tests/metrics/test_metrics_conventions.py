"""The three conventions: what each does with empty images, averages and pairs, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cellscope.metrics.conventions import CONVENTIONS, HOVERNET, IMAGE_METRICS, PANNUKE, STRICT
from cellscope.metrics.instance_summary import ImageInstances, Summary, measure_image

NOTHING = np.zeros((20, 60), int)


def boxes(*places: int, shift: int = 0) -> np.ndarray:
    """Draw boxes of 10 x 10 at columns given, numbered from 1."""
    labels = NOTHING.copy()
    for number, column in enumerate(places, 1):
        labels[5:15, column + shift : column + 10 + shift] = number
    return labels


def summary(*images: ImageInstances, tissues: list[str] | None = None) -> tuple[Summary, np.ndarray]:
    return Summary(images, tissues), np.arange(len(images))


def typed(
    truth: np.ndarray, found: np.ndarray, true_types: list[int] | None, found_types: list[int], radius: float = 12
) -> ImageInstances:
    types = None if true_types is None else np.array(true_types, int)
    return measure_image(truth, found, types, np.array(found_types, int), 2, radius=radius)


def test_an_image_that_is_right_is_right_everywhere() -> None:
    labels = boxes(0, 10, 30)
    images, every = summary(typed(labels, labels, [0, 1, 0], [0, 1, 0]))
    for convention in CONVENTIONS.values():
        assert [images.mean(name, convention, every) for name in IMAGE_METRICS] == [1] * 6
        assert images.bpq(convention, every) == images.mpq(convention, every) == 1
        assert images.f1(convention, every).tolist() == [1, 1, 1]


def test_empty_images() -> None:
    full, half = boxes(0, 30), boxes(0)
    both_empty = typed(NOTHING, NOTHING, [], [])
    made_up = typed(NOTHING, half, [], [0])
    missed = typed(full, NOTHING, [0, 1], [])
    right = typed(full, full, [0, 1], [0, 1])
    images, every = summary(both_empty, made_up, missed, right)
    for name in IMAGE_METRICS:
        # The empty image: left out, left out, 1. The made-up nucleus: 0, free, 0. The missed: 0 for all. Then 1.
        np.testing.assert_array_equal(images.image_values(name, HOVERNET), [np.nan, 0, 0, 1])
        np.testing.assert_array_equal(images.image_values(name, PANNUKE), [np.nan, np.nan, 0, 1])
        np.testing.assert_array_equal(images.image_values(name, STRICT), [1, 0, 0, 1])
        assert images.mean(name, HOVERNET, every) == pytest.approx(1 / 3)
        assert images.mean(name, PANNUKE, every) == pytest.approx(1 / 2)
        assert images.mean(name, STRICT, every) == pytest.approx(1 / 2)
    assert images.bpq(HOVERNET, every) == pytest.approx(1 / 3)
    assert images.bpq(STRICT, every) == pytest.approx(2 / (2 + 0.5 + 1))  # 2 right, 1 made up, 2 missed, IoU 1
    for convention in CONVENTIONS.values():
        assert images.f1(convention, every)[0] == pytest.approx(4 / (4 + 1 + 2))
        alone = np.array([0])
        assert np.isnan(images.f1(convention, alone)).all()  # no phantom nucleus: nothing there, nothing right
        assert np.isnan(images.mpq(convention, alone))
    assert np.isnan(images.mean("dice", HOVERNET, np.array([0])))


def test_the_multi_class_qualities_differ_as_they_should() -> None:
    # Image a: type 0 twice, both found. Image b: type 0 missed, type 1 found, one more made up as 1.
    a = typed(boxes(0, 20), boxes(0, 20), [0, 0], [0, 0])
    b = typed(boxes(0, 20), boxes(20, 40), [0, 1], [1, 1])
    images, every = summary(a, b)
    kind_1_in_b = 1 / 1.5  # one right, one made up
    np.testing.assert_allclose(images.type_pq(HOVERNET, every), [(1 + 0) / 2, kind_1_in_b])
    assert images.mpq(HOVERNET, every) == pytest.approx((0.5 + kind_1_in_b) / 2)
    # Per image first: a has type 0 alone (1), b both (0 and 2/3).
    assert images.mpq(PANNUKE, every) == pytest.approx((1 + (0 + kind_1_in_b) / 2) / 2)
    np.testing.assert_allclose(images.type_pq(STRICT, every), [2 / 2.5, kind_1_in_b])
    assert images.mpq(STRICT, every) == pytest.approx((0.8 + kind_1_in_b) / 2)
    # A type that is only made up: 0 for hovernet, free for pannuke.
    c, alone = summary(typed(boxes(0), boxes(0, 30), [0], [0, 1]))
    np.testing.assert_array_equal(c.type_pq(HOVERNET, alone), [1, 0])
    np.testing.assert_array_equal(c.type_pq(PANNUKE, alone), [1, np.nan])
    assert (c.mpq(HOVERNET, alone), c.mpq(PANNUKE, alone), c.mpq(STRICT, alone)) == (0.5, 1, 0.5)


def test_pannuke_averages_tissues_not_images() -> None:
    right, wrong = typed(boxes(0), boxes(0), [0], [0]), typed(boxes(0), NOTHING, [0], [])
    images, every = summary(right, wrong, wrong, right, tissues=["colon", "lung", "lung", "lung"])
    assert images.mean("dice", PANNUKE, every) == pytest.approx((1 + 1 / 3) / 2)
    assert images.bpq(PANNUKE, every) == images.mpq(PANNUKE, every) == pytest.approx((1 + 1 / 3) / 2)
    assert images.mean("dice", HOVERNET, every) == pytest.approx(1 / 2)
    drawn = np.array([0, 0, 1, 1])
    assert images.bpq(PANNUKE, drawn) == pytest.approx((1 + 0) / 2)


def test_f1_by_centroid_and_by_overlap() -> None:
    # Found 6 px beside: IoU 4/16, no pair by overlap; 6 px by centroid, a pair.
    images, every = summary(typed(boxes(0, 30), boxes(0, 30, shift=6), [0, 1], [0, 0]))
    assert images.f1(STRICT, every).tolist() == [0, 0, 0]
    # Pairs 2; type 0: one right, one wrongly found; type 1: one wrongly missed. Weights 2, 2, 1, 1.
    assert images.f1(HOVERNET, every).tolist() == pytest.approx([1, 2 / (2 + 2), 0])
    assert images.f1(PANNUKE, every).tolist() == images.f1(HOVERNET, every).tolist()
    near, _ = summary(typed(boxes(0, 30), boxes(0, 30, shift=6), [0, 1], [0, 0], radius=5))
    assert near.f1(HOVERNET, every)[0] == 0
    same, _ = summary(typed(boxes(0, 30), boxes(0, 30), [0, 1], [0, 0]))
    assert same.f1(STRICT, every).tolist() == pytest.approx([1, 2 / (2 + 1), 0])


def test_untyped_images_count_in_detection_alone() -> None:
    typed_image = typed(boxes(0, 30), boxes(0, 30), [0, 1], [0, 1])
    untyped = typed(boxes(0, 30), boxes(0), None, [1])
    images, every = summary(typed_image, untyped)
    for convention in CONVENTIONS.values():
        assert images.f1(convention, every).tolist() == pytest.approx([6 / 7, 1, 1])
        assert images.mpq(convention, every) == 1
        assert np.isnan(images.mpq(convention, np.array([1])))
        assert np.isnan(images.f1(convention, np.array([1]))[1:]).all()


def test_types_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="1 types for 2 true nuclei"):
        typed(boxes(0, 30), boxes(0), [0], [0])
