"""Fixed-grid windows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellscope.imaging.tiling import Grid, cut_window, cut_windows, join_windows


@settings(deadline=None, max_examples=40)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.integers(1, 17),
    st.integers(0, 9),
    st.tuples(st.integers(0, 16), st.integers(0, 16)),
)
def test_cores_put_together_give_the_image(
    shape: tuple[int, int], core: int, margin: int, offset: tuple[int, int]
) -> None:
    image = np.arange(shape[0] * shape[1]).reshape(shape)
    grid = Grid(shape, core, margin, (offset[0] % core, offset[1] % core))
    windows = cut_windows(image, grid)
    assert all(window.shape == (core + 2 * margin,) * 2 for window in windows)
    np.testing.assert_array_equal(join_windows(windows, grid), image)


def test_a_window_by_hand() -> None:
    image = np.arange(12).reshape(3, 4)
    grid = Grid((3, 4), 2, 1)
    assert [core[:2] for core in grid.cores] == [(0, 0), (0, 2), (2, 0), (2, 2)]
    assert cut_window(image, grid, (0, 2, 2, 2)).tolist() == [[1, 2, 3, 3], [1, 2, 3, 3], [5, 6, 7, 7], [9, 10, 11, 11]]


def test_a_margin_of_the_reach_leaves_no_seam() -> None:
    from scipy.ndimage import uniform_filter

    image = np.random.default_rng(0).random((37, 53, 2))
    whole = uniform_filter(image, (7, 7, 0), mode="nearest")
    for offset in ((0, 0), (5, 2)):
        grid = Grid((37, 53), 16, 3, offset)
        parts = [uniform_filter(window, (7, 7, 0), mode="nearest") for window in cut_windows(image, grid)]
        np.testing.assert_allclose(join_windows(parts, grid), whole)


def test_an_image_cut_off_at_the_grid_keeps_its_windows() -> None:
    """The grid is anchored at the origin: more image to the right or below moves no window."""
    assert set(Grid((40, 50), 16, 4).cores) <= set(Grid((400, 500), 16, 4).cores)


@pytest.mark.parametrize("bad", [((0, 5), 4, 0, (0, 0)), ((5, 5), 0, 0, (0, 0)), ((5, 5), 4, 0, (4, 0))])
def test_impossible_grids(bad: tuple) -> None:
    with pytest.raises(ValueError, match=r"grid|offset"):
        Grid(*bad)
