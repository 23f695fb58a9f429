"""Rotate and crop."""

from __future__ import annotations

import numpy as np
import pytest
from drawn.karyotype import rod, single
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation

from cellscope.assays.karyotype.classify.upright import MARGIN, VIEW, main_axis, single_chromosome, upright_view


def tilted(angle: float, length: float = 40.0) -> tuple[np.ndarray, np.ndarray]:
    mask, level = rod((96, 96), (47.3, 49.1), angle, length, 9.0, bands=3)
    return mask, level


@settings(max_examples=30, deadline=None)
@given(angle=st.floats(0, np.pi))
def test_main_axis_finds_the_angle(angle: float) -> None:
    mask, _ = tilted(angle)
    centre, found, elongation = main_axis(mask)
    assert abs((found - angle + np.pi / 2) % np.pi - np.pi / 2) < 0.03
    assert -np.pi / 2 <= found <= np.pi / 2
    # whole pixels move the centre of the drawn rod by up to 0.315 (of 6,001 angles)
    np.testing.assert_allclose(centre, [47.3, 49.1], atol=0.35)
    assert elongation > 3


@settings(max_examples=30, deadline=None)
@given(angle=st.floats(0, np.pi))
def test_any_angle_becomes_vertical_and_fills_the_view(angle: float) -> None:
    mask, level = tilted(angle)
    view = upright_view(level, mask)
    assert view.shape == VIEW
    assert view.dtype == np.float32
    shown = view > 0.25
    _, left, _ = main_axis(shown)
    assert abs(left) < 0.05
    rows = np.flatnonzero(shown.any(1))
    assert abs(rows[0] - MARGIN) <= 3
    assert abs(rows[-1] - (VIEW[0] - 1 - MARGIN)) <= 3
    columns = np.flatnonzero(shown.any(0))
    assert abs((columns[0] + columns[-1]) / 2 - (VIEW[1] - 1) / 2) <= 2


@pytest.mark.parametrize("angle", [0.0, 0.6, 2.2])
def test_a_half_turn_is_the_view_upside_down(angle: float) -> None:
    mask, level = tilted(angle)
    view = upright_view(level, mask)
    turned = upright_view(level, mask, half_turn=True)
    np.testing.assert_allclose(turned, view[::-1, ::-1], atol=0.08)
    assert np.abs(turned - view).max() > 0.2  # the bands are not symmetric


def test_mirror_flips_left_and_right() -> None:
    mask, level = tilted(0.4)
    level = level * np.where(np.arange(96)[None, :] > 47, 1.0, 0.6)
    view, mirrored = upright_view(level, mask), upright_view(level, mask, mirror=True)
    np.testing.assert_allclose(mirrored, view[:, ::-1], atol=0.1)


def test_what_lies_outside_the_mask_is_zero() -> None:
    mask, level = tilted(0.5)
    lit = np.where(mask, level, 5.0).astype(np.float32)
    view = upright_view(lit, mask)
    alone = upright_view(level, mask)
    outside = ~binary_dilation(alone > 0, iterations=4)  # one pixel of the image: the mask's edge is soft
    assert outside.mean() > 0.25
    assert view[outside].max() < 0.05  # of 1.5, though five times as bright as the chromosome


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_fixed_scale_and_size(scale: float) -> None:
    mask, level = tilted(1.1)
    side = int(60 * max(scale, 1))
    view = upright_view(level, mask, size=(side, side), scale=scale)
    assert view.shape == (side, side)
    rows = np.flatnonzero((view > 0.25).any(1))
    assert rows[-1] - rows[0] + 1 == pytest.approx(40 * scale, abs=2 + scale)


def test_a_single_pixel_is_no_error() -> None:
    mask = np.zeros((9, 9), bool)
    mask[4, 4] = True
    assert np.isfinite(upright_view(mask.astype(np.float32), mask)).all()


@pytest.mark.parametrize("class_", ["1", "9", "22"])
@pytest.mark.parametrize("inverted", [False, True])
def test_single_chromosome_of_either_polarity(class_: str, inverted: bool) -> None:
    pixels = single(class_, inverted=inverted).astype(np.float32)
    normalised, mask = single_chromosome(pixels)
    truth = single(class_).astype(np.float32) > 70
    assert (mask & truth).sum() / (mask | truth).sum() > 0.7  # half a pixel around 7 is 30 %
    assert (mask & truth).sum() > 0.97 * truth.sum()
    assert normalised[mask].mean() > 0.5
    assert normalised[~mask].mean() < 0.15
    assert normalised.max() <= 1.5


def test_single_chromosome_is_the_same_inverted() -> None:
    pixels = single("5").astype(np.float32)
    plain, mask = single_chromosome(pixels)
    inverted, same = single_chromosome(255 - pixels)
    assert (mask == same).mean() > 0.99
    np.testing.assert_allclose(inverted, plain, atol=0.03)


def test_a_chromosome_that_touches_the_border_is_found() -> None:
    pixels = single("1").astype(np.float32)
    rows = np.flatnonzero((pixels > 70).any(1))
    columns = np.flatnonzero((pixels > 70).any(0))
    tight = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    for image in (tight, 255 - tight):
        _, mask = single_chromosome(image)
        truth = tight > 70
        assert (mask & truth).sum() / (mask | truth).sum() > 0.75


def test_nothing_on_a_flat_image() -> None:
    normalised, mask = single_chromosome(np.full((20, 10), 3, np.float32))
    assert not normalised.any()
    assert mask.all()
