"""Rotate and crop by Algorithm 1, its fallback, and strategies A to C."""

from __future__ import annotations

import numpy as np
import pytest
from drawn.karyotype import rod

from cellscope.assays.karyotype.classify.upright import VIEW, main_axis, upright_view
from cellscope.assays.karyotype.classify.views import hough_angle, rotation_of, view_of, view_settings


def difference(a: float, b: float) -> float:
    """Of two directions, in degrees; half turns do not count."""
    return float(abs((np.degrees(a - b) + 90) % 180 - 90))


@pytest.mark.parametrize("degrees", [-80, -45, -10, 0, 30, 60, 89])
def test_algorithm_1_finds_the_direction(degrees: float) -> None:
    mask, grey = rod((90, 90), (45, 45), np.radians(degrees), 60, width=12, bands=None)
    found = hough_angle(grey, mask)
    assert found is not None
    assert -np.pi / 2 < found <= np.pi / 2
    assert difference(found, np.radians(degrees)) < 4
    assert difference(found, main_axis(mask)[1]) < 5


def test_without_a_straight_edge_the_moments_decide() -> None:
    rows, columns = np.mgrid[:60, :60]
    mask = np.hypot((rows - 30) / 1.2, columns - 30) < 7
    image = mask.astype(np.float32)
    assert hough_angle(np.zeros_like(image), mask) is None
    settings = view_settings(rotate="hough")
    np.testing.assert_array_equal(
        view_of(np.zeros_like(image), mask, settings), upright_view(np.zeros_like(image), mask, size=VIEW)
    )


@pytest.mark.parametrize("rotate", ["straighten", "moments", "hough"])
def test_a_slanted_chromosome_stands_upright(rotate: str) -> None:
    mask, grey = rod((90, 90), (45, 45), np.radians(50), 60, width=12, bands=3)
    view = view_of(grey, mask, view_settings(rotate=rotate))
    rows, columns = np.nonzero(view > 0.2)
    assert np.ptp(rows) > 2.5 * np.ptp(columns)
    assert np.ptp(rows) > 0.85 * VIEW[0]


def test_as_it_lies_keeps_the_surroundings_and_the_pose() -> None:
    mask, grey = rod((40, 60), (30, 20), np.radians(90), 40, width=8, bands=None)
    grey = grey + np.where(mask, 0, 0.2).astype(np.float32)
    view = view_of(grey, mask, view_settings(120, 120, "none"))
    assert view.shape == (120, 120)
    assert (view[:20] == 0).all()  # 60 x 40 fits into 120 x 80, in the middle
    assert view[25, 5] == pytest.approx(0.2)  # what lies around is seen
    rows, columns = np.nonzero(view > 0.7)
    assert np.ptp(columns) > 3 * np.ptp(rows)
    np.testing.assert_array_equal(view_of(grey, mask, view_settings(120, 120, "none"), mirror=True), view[:, ::-1])
    turned = view_of(grey, mask, view_settings(120, 120, "none"), half_turn=True)
    np.testing.assert_array_equal(turned, view[::-1, ::-1])


def test_strategy_b_overrules_the_card() -> None:
    mask, grey = rod((90, 90), (45, 45), np.radians(50), 60, width=12, bands=3)
    trained_without = view_settings(rotate="none")
    assert rotation_of(trained_without) == "none"
    np.testing.assert_array_equal(
        view_of(grey, mask, trained_without, rotate="hough"), view_of(grey, mask, view_settings(rotate="hough"))
    )


def test_cards_of_older_models_turn_by_moments() -> None:
    assert rotation_of({"kind": "chromosome", "height": 128, "width": 64, "rotate_and_crop": True}) == "straighten"
