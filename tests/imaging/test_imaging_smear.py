"""Colour smears: range, baseline, first guess of the scale."""

from __future__ import annotations

import numpy as np
import pytest
from drawn.nucleus_seg import smear

from cellscope.errors import InputError
from cellscope.imaging.smear import guess_diameter, has_colour, otsu_classes, to_rgb8


def test_one_picture_in_every_depth() -> None:
    image, _ = smear(0)
    image[0, 0] = 255
    for other in (
        image.astype(np.uint16) * 257,
        np.dstack([image, np.full(image.shape[:2], 255, np.uint8)]),
        (image / 255).astype(np.float32),
        image.astype(np.float32),
        np.rint(image * (4095 / 255)).astype(np.uint16),
    ):
        assert np.abs(to_rgb8(other).astype(int) - image).max() <= 1
    np.testing.assert_array_equal(to_rgb8(image), image)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_other_channels_are_refused_in_one_line(channels: int) -> None:
    with pytest.raises(InputError, match=r"a\.tif: the image (is grey|has)"):
        to_rgb8(np.zeros((4, 4, channels), np.uint8), "a.tif")


def test_colour() -> None:
    image, _ = smear(0)
    assert has_colour(image)
    assert not has_colour(np.repeat(image.mean(2, keepdims=True), 3, 2).astype(np.uint8))
    assert has_colour(np.full((9, 9, 3), 200, np.uint8))  # an empty field is not suspicious


def test_the_baseline_and_the_guess() -> None:
    image, mask = smear(4, (200, 260), cells=3)
    found = otsu_classes(image) == 2
    truth = mask == 255
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.97
    assert guess_diameter(image) == pytest.approx(28, abs=4)
    flat = np.full((50, 50, 3), 230, np.uint8)
    assert not otsu_classes(flat).any()
    assert guess_diameter(flat) is None


def test_a_picture_of_two_colours_has_nuclei() -> None:
    """A drawing has no middle class: its dark colour is the nuclei, as with a third one beside it."""
    flat = np.full((90, 120, 3), 228, np.uint8)
    for top, left in ((10, 10), (10, 70), (55, 40)):
        flat[top : top + 20, left : left + 24] = (150, 50, 110)
    found = otsu_classes(flat)
    assert set(np.unique(found)) == {0, 2}
    assert ((found == 2) != (flat[..., 1] == 50)).sum() == 3 * 4  # opening takes the corners
    assert guess_diameter(flat) == pytest.approx(20, abs=1)
    assert not otsu_classes(np.full_like(flat, 228)).any()
