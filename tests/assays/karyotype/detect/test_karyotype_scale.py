"""The scale estimate follows the image's size."""

from __future__ import annotations

import numpy as np
import pytest
from drawn.karyotype import metaphase

from cellscope.assays.karyotype.detect.scale import CANONICAL_SIDE, LIMITS, chromosome_side, detector_scale, resize
from cellscope.imaging.tone import normalise_tone, to_grey


def normalised(seed: int, factor: float = 1.0) -> np.ndarray:
    return normalise_tone(resize(to_grey(metaphase(seed, crossing=0).pixels), factor))[0]


def test_side_is_near_the_true_mean() -> None:
    cell = metaphase(0, crossing=0)
    true = np.sqrt(np.mean([mask.sum() for mask in cell.masks]))
    side = chromosome_side(normalised(0))
    assert side == pytest.approx(true, rel=0.12)
    assert detector_scale(normalised(0)) == pytest.approx(CANONICAL_SIDE / side)


@pytest.mark.parametrize("factor", [0.7, 1.5, 2.0])
def test_estimate_follows_resizing(factor: float) -> None:
    for seed in (0, 1):
        assert detector_scale(normalised(seed, factor)) * factor == pytest.approx(
            detector_scale(normalised(seed)), rel=0.12
        )


def test_a_nucleus_does_not_change_the_estimate_much() -> None:
    cell = to_grey(metaphase(2, crossing=0).pixels)
    plain = detector_scale(normalise_tone(cell)[0])
    wide = np.pad(cell, ((0, 0), (0, 120)), constant_values=25)
    rows, columns = np.mgrid[: wide.shape[0], : wide.shape[1]]
    wide[np.hypot(rows - 120, columns - 380) < 45] = 180
    assert detector_scale(normalise_tone(wide)[0]) == pytest.approx(plain, rel=0.15)


def test_nothing_to_see_leaves_the_scale() -> None:
    assert chromosome_side(np.zeros((64, 64), np.float32)) is None
    assert detector_scale(np.zeros((64, 64), np.float32)) == 1.0
    speck = np.zeros((400, 400), np.float32)
    speck[10:16, 10:16] = 1
    assert LIMITS[0] <= detector_scale(speck) <= LIMITS[1]


def test_resize_gives_rounded_sizes_and_keeps_means() -> None:
    image = np.random.default_rng(0).random((40, 61)).astype(np.float32)
    assert resize(image, 0.5).shape == (20, 30)
    assert resize(image, 2.0).shape == (80, 122)
    assert resize(image, 1.0) is image
    assert resize(image, 0.5).mean() == pytest.approx(image.mean(), abs=0.01)
