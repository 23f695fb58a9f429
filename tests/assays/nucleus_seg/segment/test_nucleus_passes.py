"""Cut, mirror and join: what comes back is what went in, wherever the grid lies."""

from __future__ import annotations

import numpy as np
import pytest

from cellscope.assays.nucleus_seg.segment.passes import (
    LARGEST_WHOLE,
    MULTIPLE,
    Pass,
    average_passes,
    cut_pass,
    join_pass,
    plan_passes,
)


def as_outputs(items: list[np.ndarray]) -> list[np.ndarray]:
    """Stand in for a network that gives back its input."""
    return [(item.transpose(1, 2, 0) * 255).round().astype(np.uint8) for item in items]


@pytest.mark.parametrize("shape", [(50, 75), (640, 640), (700, 1100)])
@pytest.mark.parametrize("shift", [False, True])
def test_there_and_back(shape: tuple[int, int], shift: bool) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    passes = plan_passes(image.shape, 1.0, views=4, shift=shift)
    assert (passes[0].grid is None) == (max(shape) <= LARGEST_WHOLE and not shift)
    outputs: list[np.ndarray] = []
    for way in passes:
        items = cut_pass(image, way)
        assert len(items) == way.items
        assert {item.shape[1] % MULTIPLE for item in items} == {0}
        np.testing.assert_array_equal(join_pass(as_outputs(items), way), image)
        outputs += as_outputs(items)
    np.testing.assert_array_equal(average_passes(outputs, passes), image)


def test_scales_meet_at_the_first() -> None:
    image = np.full((60, 90, 3), 77, np.uint8)
    passes = plan_passes(image.shape, 0.5, scales=3)
    assert [way.shape for way in passes] == [(30, 45), (22, 34), (40, 60)]
    joined = average_passes([output for way in passes for output in as_outputs(cut_pass(image, way))], passes)
    assert joined.shape == (30, 45, 3)
    assert (joined == 77).all()


def test_a_tiny_image_still_has_a_pixel() -> None:
    way: Pass = plan_passes((2, 2, 3), 0.05)[0]
    assert way.shape == (1, 1)
    assert cut_pass(np.zeros((2, 2, 3), np.uint8), way)[0].shape == (3, MULTIPLE, MULTIPLE)
