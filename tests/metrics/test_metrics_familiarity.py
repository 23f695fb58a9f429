"""Distance to the training images, and how usual it is."""

import numpy as np
import pytest

from cellscope.metrics.familiarity import AXES, describe, share_beyond


def draw(count, seed, shift=0.0, size=60):
    """Correlated features of one source."""
    drawn = np.random.default_rng(seed)
    mixing = np.random.default_rng(1).normal(size=(5, size))
    return drawn.normal(size=(count, 5)) @ mixing + 0.3 * drawn.normal(size=(count, size)) + shift


def groups(count, of=2):
    return [f"g{number // of}" for number in range(count)]


def test_shares_by_hand():
    known = np.array([1.0, 2.0, 4.0])
    # at a known distance, (1 + number of larger ones) / 4
    np.testing.assert_allclose(share_beyond(known, np.array([1.0, 2.0, 4.0])), [0.75, 0.5, 0.25])
    np.testing.assert_allclose(share_beyond(known, np.array([0.2, 3.0])), [1.0, 0.375])
    # beyond the largest with the square of the distance
    np.testing.assert_allclose(share_beyond(known, np.array([8.0, 40.0])), [0.25 / 4, 0.25 / 100])


def test_new_images_of_known_sources_fall_below_a_level_as_often_as_it_says():
    known = np.concatenate([draw(150, 2), draw(150, 3, shift=8.0)])
    described = describe(known, ["a"] * 150 + ["b"] * 150, groups(300))
    new = np.concatenate([draw(500, 4), draw(500, 5, shift=8.0)])
    shares = described.familiarity(new)
    for level in (0.05, 0.2, 0.5):
        assert abs((shares < level).mean() - level) < 0.25 * level + 0.02


def test_another_source_is_far_and_between_two_known_ones_too():
    known = np.concatenate([draw(100, 2), draw(100, 3, shift=8.0)])
    described = describe(known, ["a"] * 100 + ["b"] * 100, groups(200))
    assert (described.familiarity(draw(50, 4, shift=-8.0)) < 0.01).all()
    assert (described.familiarity(draw(50, 4, shift=4.0)) < 0.01).all()


def test_images_of_a_group_left_out_set_what_is_usual():
    """Ten images of a slide that are nearly the same: without its group their distances are those of new slides."""
    drawn = np.random.default_rng(0)
    slides = draw(30, 7)
    known = np.repeat(slides, 10, 0) + 0.01 * drawn.normal(size=(300, slides.shape[1]))
    by_slide = describe(known, ["a"] * 300, groups(300, of=10))
    by_image = describe(known, ["a"] * 300, groups(300, of=1))
    assert np.median(by_slide.distances) > 1.2 * np.median(by_image.distances)
    assert (by_slide.familiarity(draw(200, 8)) < 0.05).mean() < 0.15


def test_what_is_stored_is_small_and_of_plain_types():
    described = describe(draw(60, 2, size=500), ["a"] * 30 + ["b"] * 30, groups(60))
    assert described.axes.shape == (500, AXES)
    assert described.axes.dtype == np.float16
    assert described.variances.shape == (AXES + 1,)
    assert described.centres.shape == (2, 500)
    assert (np.diff(described.distances) >= 0).all()
    np.testing.assert_allclose(described.axes.T.astype(float) @ described.axes, np.eye(AXES), atol=0.01)


def test_a_feature_that_never_varied_does_not_decide():
    known = draw(80, 2)
    known[:, 0] = 3.0
    described = describe(known, ["a"] * 80, groups(80))
    new = draw(80, 3)
    new[:, 0] = 3.001
    assert (described.familiarity(new) < 0.05).mean() < 0.2


def test_small_sources_share_a_centre():
    described = describe(draw(20, 2), ["a"] * 14 + ["b"] * 3 + ["c"] * 3, groups(20))
    assert len(described.centres) == 2


@pytest.mark.parametrize(("count", "of"), [(7, 1), (20, 20)])
def test_too_few_are_refused(count, of):
    with pytest.raises(ValueError, match="too few"):
        describe(draw(count, 2), ["a"] * count, groups(count, of))
