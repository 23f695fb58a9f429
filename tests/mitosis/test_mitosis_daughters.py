"""What a division leaves behind, measured on drawn cells of known places."""

from __future__ import annotations

import numpy as np
import pytest

from cellscope.assays.mitosis.daughters import BINS, PAIR, PER_FRAME, long_axis, measure_daughters, turned

ROWS, COLUMNS = np.mgrid[:80, :80].astype(np.float32)


def spots(*places: tuple[float, float, float], width: float = 3.0) -> np.ndarray:
    """Gaussian spots at (row, column) of a height, over three frames: (3, 80, 80) float32."""
    drawn = [
        height * np.exp(-((ROWS - row) ** 2 + (COLUMNS - column) ** 2) / (2 * width**2))
        for row, column, height in places
    ]
    return np.repeat(np.sum(drawn, axis=0, dtype=np.float32)[None], 3, axis=0)


def pair_at(angle: float, apart: float = 16.0) -> np.ndarray:
    down, across = np.sin(angle) * apart / 2, np.cos(angle) * apart / 2
    return spots((40 + down, 40 + across, 1.0), (40 - down, 40 - across, 0.8))


MIDDLE = np.full((3, 2), 40.0)


@pytest.mark.parametrize("angle", [0.0, 0.7, np.pi / 2, 2.6])
def test_the_axis_points_from_one_daughter_to_the_other(angle):
    found = long_axis(pair_at(angle), MIDDLE)
    assert np.abs(np.sin(found - angle)).max() < 0.03
    square = turned(np.zeros((3, 80, 80), np.float32), pair_at(angle), MIDDLE)[1, 1]
    brightest = np.unravel_index(square.argmax(), square.shape)
    assert brightest[0] == pytest.approx(25.5, abs=1.1)
    assert abs(brightest[1] - 25.5) == pytest.approx(8, abs=1.1)


@pytest.mark.parametrize("angle", [0.0, 1.1])
def test_two_bodies_and_what_lies_between(angle):
    distance = np.abs((COLUMNS - 40) * np.cos(angle) + (ROWS - 40) * np.sin(angle))
    light = np.repeat(-0.3 * np.exp(-(distance**2) / 2)[None], 3, axis=0).astype(np.float32)  # a dark line between
    count, second, third, apart, none, dip, darkest, _, _, top = measure_daughters(light, pair_at(angle), MIDDLE)[1][
        :PAIR
    ]
    assert (count, third, none) == (2, 0, 0)
    assert second == pytest.approx(0.8, abs=0.03)
    assert apart == pytest.approx(16, abs=1.5)
    assert dip < 0.2
    assert darkest < -0.1
    assert top == pytest.approx(1, abs=0.1)


def test_one_body_and_three():
    flat = np.zeros((3, 80, 80), np.float32)
    assert measure_daughters(flat, spots((40, 40, 1.0)), MIDDLE)[0][:PAIR].tolist()[:9] == [1, 0, 0, 0, 0, 1, 0, 0, 0]
    three = measure_daughters(flat, spots((30, 40, 1.0), (46, 32, 0.9), (46, 48, 0.8)), MIDDLE)[0]
    assert three[0] == 3
    assert three[2] == pytest.approx(0.8, abs=0.05)
    shallow = spots((40, 37, 1.0), (40, 43.5, 1.0))  # maxima without a dip worth the name
    assert measure_daughters(flat, shallow, MIDDLE)[0][0] == 1


def test_profiles_do_not_mind_which_side_is_which():
    flat = np.zeros((3, 80, 80), np.float32)
    one, other = (measure_daughters(flat, pair_at(angle), MIDDLE) for angle in (0.4, 0.4 + np.pi))
    assert one.shape == (3, PER_FRAME)
    np.testing.assert_allclose(one[:, PAIR:], other[:, PAIR:], atol=0.02)
    along = one[1, PAIR : PAIR + BINS]
    assert along.argmax() in (1, 2)  # 8 pixels from the middle, in steps of 4
