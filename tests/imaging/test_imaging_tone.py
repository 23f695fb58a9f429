"""Polarity and range of metaphases."""

from __future__ import annotations

import numpy as np
import pytest
from drawn.karyotype import metaphase
from hypothesis import given, settings
from hypothesis import strategies as st

from cellscope.imaging.tone import foreground, is_bright_on_dark, normalise_tone, to_grey


def test_grey_of_colours_by_rec_601() -> None:
    pixels = np.array([[[10, 20, 30], [255, 0, 0]]], np.uint8)
    np.testing.assert_allclose(to_grey(pixels), [[0.299 * 10 + 0.587 * 20 + 0.114 * 30, 0.299 * 255]], rtol=1e-5)


def test_grey_of_one_and_two_channels() -> None:
    one = np.array([[[700], [65535]]], np.uint16)
    np.testing.assert_array_equal(to_grey(one), [[700, 65535]])
    np.testing.assert_array_equal(to_grey(one[..., 0]), [[700, 65535]])
    with pytest.raises(ValueError, match="two stains"):
        to_grey(np.array([[[2, 4]]], np.uint8))
    assert to_grey(one).dtype == np.float32


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("inverted", [False, True])
def test_polarity_is_recognised(seed: int, inverted: bool) -> None:
    assert is_bright_on_dark(to_grey(metaphase(seed, inverted=inverted).pixels)) is not inverted


def test_a_flat_image_counts_as_bright_and_stays_finite() -> None:
    normalised, bright = normalise_tone(np.full((20, 20), 7, np.float32))
    assert bright
    assert np.array_equal(normalised, np.zeros((20, 20), np.float32))


@settings(max_examples=15, deadline=None)
@given(gain=st.floats(0.05, 300), offset=st.floats(-1000, 1000), flip=st.booleans())
def test_normalised_tone_ignores_gain_offset_and_inversion(gain: float, offset: float, flip: bool) -> None:
    grey = to_grey(metaphase(3).pixels)
    plain, _ = normalise_tone(grey)
    changed, bright = normalise_tone(((-1 if flip else 1) * gain * grey + offset).astype(np.float32))
    assert bright is not flip
    np.testing.assert_allclose(changed, plain, atol=0.02)


def test_normalised_range_background_zero_chromosomes_near_one() -> None:
    cell = metaphase(4)
    normalised, _ = normalise_tone(to_grey(cell.pixels))
    covered = np.any(cell.masks, axis=0)
    assert normalised.dtype == np.float32
    assert normalised.min() >= 0
    assert normalised.max() <= 1.5
    assert normalised[~covered].mean() < 0.03
    assert 0.6 < np.median(normalised[covered]) < 1.1


def test_a_given_polarity_is_obeyed() -> None:
    grey = to_grey(metaphase(0).pixels)
    normalised, bright = normalise_tone(grey, bright_on_dark=False)
    assert not bright
    assert normalised[np.any(metaphase(0).masks, axis=0)].mean() < 0.05


def test_foreground_covers_the_chromosomes_and_fills_holes() -> None:
    cell = metaphase(5)
    normalised, _ = normalise_tone(to_grey(cell.pixels))
    covered = np.any(cell.masks, axis=0)
    found = foreground(normalised)
    assert (found & covered).sum() / (found | covered).sum() > 0.8
    ring = np.zeros((40, 40), np.float32)
    ring[10:30, 10:30] = 1
    ring[18:22, 18:22] = 0
    assert foreground(ring)[20, 20]
