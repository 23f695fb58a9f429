"""Bent chromosomes are straightened, straight ones left alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cellscope.assays.karyotype.classify.straighten import middle_line, straightened
from cellscope.assays.karyotype.classify.upright import VIEW
from cellscope.assays.karyotype.classify.views import view_of


def arc(radius: float, sweep: float, *, width: int = 10, bands: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """A banded chromosome along an arc, brighter towards its end."""
    angles = np.linspace(0, sweep, 400)
    points = np.stack([radius * np.cos(angles), radius * np.sin(angles)], 1)
    points += 12 - points.min(0)
    size = np.ceil(points.max(0)).astype(int) + 12
    image, mask = np.zeros(size[::-1], np.float32), np.zeros(size[::-1], np.uint8)
    for index, (x, y) in enumerate(points):
        band = 0.4 + 0.5 * (int(index / 400 * bands) % 2) + 0.1 * index / 400
        cv2.circle(image, (round(x), round(y)), width // 2, band, -1)
        cv2.circle(mask, (round(x), round(y)), width // 2, 1, -1)
    return image, mask.astype(bool)


@pytest.mark.parametrize("sweep", [1.5, 3.0, 4.5])
def test_an_arc_becomes_a_rod_of_its_own_length(sweep: float) -> None:
    image, mask = arc(30, sweep)
    found = straightened(image, mask)
    assert found is not None
    straight, inside = found
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    assert rows[-1] - rows[0] + 1 == pytest.approx(30 * sweep + 11, rel=0.12)
    assert columns[-1] - columns[0] + 1 <= 15
    assert inside.sum() == pytest.approx(mask.sum(), rel=0.12)
    # Bands lie across: along a row the rod has one grey, along its middle column it has five.
    middle = straight[rows[6] : rows[-6], int(columns.mean())]
    assert np.count_nonzero(np.abs(np.diff(np.sign(middle - 0.7))) > 0) == 4


def test_the_magnification_does_not_matter() -> None:
    image, mask = arc(30, 3.0)
    large = cv2.resize(image, None, fx=3, fy=3), cv2.resize(mask.astype(np.uint8), None, fx=3, fy=3) > 0
    assert np.abs(view_of(image, mask, {}) - view_of(*large, {})).mean() < 0.05


def test_straight_and_tiny_ones_are_left_alone() -> None:
    mask = np.zeros((60, 20), bool)
    mask[5:55, 6:15] = True
    assert straightened(mask.astype(np.float32), mask) is None
    dot = np.zeros((9, 9), bool)
    dot[3:6, 3:6] = True
    assert straightened(dot.astype(np.float32), dot) is None
    assert view_of(dot.astype(np.float32), dot, {}).shape == VIEW
    disc = cv2.circle(np.zeros((40, 40), np.uint8), (20, 20), 14, 1, -1) > 0
    assert middle_line(disc, 14.0) is None


@pytest.mark.parametrize("turn", range(4))
def test_the_direction_is_that_of_the_upright_view(turn: int) -> None:
    """The arm that lies lower in the rigid view stays lower, so that one polarity serves both."""
    image, mask = arc(60, 1.4)
    image, mask = np.rot90(image, turn).copy(), np.rot90(mask, turn).copy()
    found = straightened(image, mask)
    assert found is not None
    from cellscope.assays.karyotype.classify.upright import upright_view

    ends = []
    for view in (upright_view(image, mask), upright_view(*found)):
        rows = np.flatnonzero((view > 0.05).any(1))
        half = len(rows) // 2
        ends.append(view[rows[:half]].sum() > view[rows[half:]].sum())
    assert ends[0] == ends[1]
