"""Mirrored and turned copies and back; scales of overlays and networks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cellscope.imaging.overlay import overlay_scale, to_overlay
from cellscope.imaging.scaling import far_off, resize_to, scaled_shape
from cellscope.imaging.symmetries import SYMMETRIES


@pytest.mark.parametrize("axes", [(0, 1), (1, 2)])
def test_undo_gives_the_array_back(axes: tuple[int, int]) -> None:
    array = np.arange(2 * 3 * 5 * 4).reshape(6, 5, 4)
    copies = [symmetry.apply(array, axes) for symmetry in SYMMETRIES]
    assert len({copy.tobytes() for copy in copies}) == 8
    for symmetry, copy in zip(SYMMETRIES, copies, strict=True):
        np.testing.assert_array_equal(symmetry.undo(copy, axes), array)


def test_the_first_are_turns() -> None:
    array = np.arange(12).reshape(3, 4)
    turns = [symmetry.apply(array).tobytes() for symmetry in SYMMETRIES[:4]]
    assert turns == [np.rot90(array, quarter).tobytes() for quarter in (0, 2, 3, 1)]


@pytest.mark.parametrize(
    ("width", "scale"), [(1, 480.0), (239, 3.0), (240, 2.0), (479, 2.0), (480, 1.0), (4096, 1.0), (8192, 0.5)]
)
def test_overlays_are_wide_enough_and_not_too_wide(width: int, scale: float) -> None:
    assert overlay_scale(width, 480, 4096) == scale
    assert overlay_scale(width, 480) == max(scale, 1.0)


def test_labels_stay_labels_at_any_scale() -> None:
    labels = np.zeros((40, 60), np.float32)
    labels[5:20, 5:30] = 7
    for scale in (0.5, 1.0, 3.0):
        drawn = to_overlay(labels, scale, cv2.INTER_NEAREST)
        assert drawn.shape == (40 * scale, 60 * scale)
        assert set(np.unique(drawn)) == {0, 7}


def test_a_smaller_image_is_an_average() -> None:
    image = np.zeros((4, 4), np.float32)
    image[::2, ::2] = 1
    np.testing.assert_array_equal(resize_to(image, (2, 2)), np.full((2, 2), 0.25))
    np.testing.assert_array_equal(to_overlay(image, 0.5), np.full((2, 2), 0.25))
    assert resize_to(image, (4, 4)) is image
    assert scaled_shape((3, 100, 3), 0.1) == (1, 10)


@pytest.mark.parametrize(("found", "far"), [(10, False), (15, False), (6.7, False), (15.1, True), (6.6, True)])
def test_an_estimate_is_far_off_either_way(found: float, far: bool) -> None:
    assert far_off(found, 10.0, 1.5) == far
