"""Windows around events: frames at the movie's ends, patches at its edges, and following a drifting cell."""

from __future__ import annotations

import numpy as np
import pytest
from drawn.mitosis import division, field

from cellscope.assays.mitosis.sequences.windows import (
    Window,
    crop,
    cut_patch,
    follow,
    gather,
    patch_side,
    window_frames,
)
from cellscope.errors import InputError


def test_frames_of_a_window():
    assert window_frames(10, 3, 12, 100).tolist() == list(range(7, 19))
    assert window_frames(98, 3, 6, 100).tolist() == [95, 96, 97, 98, 99, 99]
    assert window_frames(0, 3, 4, 2).tolist() == [0, 0, 0, 0]
    assert window_frames(10, 11, 12, 100)[-1] == 10
    with pytest.raises(InputError, match=r"--frames-before 12: .*give 11 at most"):
        window_frames(50, 12, 12, 100)  # it would end before the division
    assert Window(window_frames(98, 3, 6, 100), (0, 0), 8, 3).cut_short
    assert not Window(window_frames(10, 3, 12, 100), (0, 0), 8, 3).cut_short


def test_patch_repeats_the_edge():
    frame = np.arange(12).reshape(3, 4, 1)
    assert cut_patch(frame, (1, 1), 2)[..., 0].tolist() == [[0, 1], [4, 5]]
    assert cut_patch(frame, (0, 0), 4)[..., 0].tolist() == [[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1], [4, 4, 4, 5]]


def test_gather_reads_each_frame_once_and_only_those_wanted():
    movie = field([(8, 60, 60, False), (10, 100, 140, True)])
    windows = [Window(window_frames(f, 3, 12, 30), at, 24, 3) for f, at in ((8, (60, 60)), (10, (100, 140)))]
    seen = []

    def frames():
        for index in range(5, 19):
            seen.append(index)
            yield index, movie[index]

    gather(windows, frames())
    assert seen == list(range(5, 19))
    for window in windows:
        assert window.patches.shape == (12, patch_side(24), patch_side(24), 2)
        assert window.patches.dtype == np.uint8
        for place, frame in enumerate(window.frames):
            np.testing.assert_array_equal(window.patches[place], cut_patch(movie[frame], window.centre, patch_side(24)))


@pytest.mark.parametrize("drift", [-2.0, 0.0, 2.0])
def test_the_window_follows_a_drifting_cell(drift):
    side = 40
    pair = division(3, abnormal=True, side=80, drift=drift, at=(40.0, 40.0)).astype(np.float32)
    centres = follow(pair[..., 1], 3, side)
    true = 40 + drift * (np.arange(12) - 3)
    reach = (80 - side) / 2
    np.testing.assert_allclose(centres[:, 0], np.clip(true, 39.5 - reach, 39.5 + reach), atol=2.5)
    np.testing.assert_allclose(centres[:, 1], 40, atol=2.0)
    windows = crop(pair, centres, side)
    assert windows.shape == (12, side, side, 2)
    rows, _ = np.unravel_index(windows[-1, ..., 1].argmax(), (side, side))
    assert abs(rows - side / 2) < 7


def test_both_daughters_stay_in_the_window():
    pair = division(5, abnormal=False, side=80, at=(40.0, 40.0)).astype(np.float32)
    np.testing.assert_allclose(follow(pair[..., 1], 3, 40), 40, atol=2.5)


def test_nothing_bright_moves_nothing():
    np.testing.assert_allclose(follow(np.zeros((4, 20, 20), np.float32), 1, 10), 9.5)
