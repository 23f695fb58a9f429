"""Channels, normalisation, frames and the square a network sees; what names say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from drawn.mitosis import composite, division

from cellscope.assays.mitosis.sequences.channels import two_channels
from cellscope.assays.mitosis.sequences.names import Facts, parse_name
from cellscope.assays.mitosis.sequences.tracks import long_axis
from cellscope.assays.mitosis.sequences.view import (
    Trace,
    affine_grid,
    choose_frames,
    field_of_view,
    follow_trace,
    network_view,
    normalise,
    sample,
)
from cellscope.errors import InputError


def test_a_composite_gives_back_its_two_channels():
    pair = division(1, abnormal=False)
    both = two_channels(composite(pair))
    np.testing.assert_array_equal(both[:, 0], pair[..., 0])
    unsaturated = composite(pair)[..., 0] < 255
    np.testing.assert_array_equal(both[:, 1][unsaturated], pair[..., 1][unsaturated])
    np.testing.assert_array_equal(two_channels(pair), both * 0 + np.moveaxis(pair, -1, 1))
    np.testing.assert_array_equal(two_channels(pair[..., ::-1], nuclei_channel=0), np.moveaxis(pair, -1, 1))


def test_lossy_colours_are_still_a_composite():
    noisy = composite(division(1, abnormal=False)).astype(int)
    noisy += np.random.default_rng(0).integers(-4, 5, noisy.shape)
    assert two_channels(np.clip(noisy, 0, 255).astype(np.uint8)).shape[1] == 2


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (np.random.default_rng(0).integers(0, 255, (3, 9, 9, 3)).astype(np.uint8), "not a composite"),
        (np.zeros((3, 9, 9, 1), np.uint8), "1 channel; needed are two"),
        (np.zeros((3, 9, 9, 4), np.uint8), "4 channels; needed are two"),
        (np.repeat(division(0, abnormal=False)[..., :1], 3, 3), "nuclei is empty"),
        (np.zeros((3, 9, 9, 2), np.uint8), "transmitted is empty"),
    ],
)
def test_other_channels_are_refused(frames, words):
    with pytest.raises(InputError, match=words):
        two_channels(frames)


def test_brightness_and_staining_are_taken_out():
    pair = np.moveaxis(division(2, abnormal=True).astype(np.float32), -1, 1)
    plain = normalise(pair)
    brighter = (
        pair * np.array([1.4, 0.7], np.float32)[None, :, None, None]
        + np.array([0, 30], np.float32)[None, :, None, None]
    )
    np.testing.assert_allclose(normalise(brighter), plain, atol=2e-3)
    assert abs(np.median(plain[:, 0])) < 1e-6
    assert 0 <= plain[:, 1].min() <= plain[:, 1].max() <= 1.5**0.5 + 1e-6
    assert np.isfinite(normalise(pair - np.median(pair))).all()


@pytest.mark.parametrize(
    ("count", "policy", "expected"),
    [
        (12, "refuse", list(range(12))),
        (5, "any", [0, 1, 2, 3, 4]),
        (3, "pad", [0, 1, 2] + [2] * 9),
        (23, "pad", list(range(0, 23, 2))),
        (2, "sample", [0] * 6 + [1] * 6),
    ],
)
def test_frames(count, policy, expected):
    assert choose_frames(count, 12, policy).tolist() == expected


def test_frames_that_are_refused():
    with pytest.raises(InputError, match="5 frames, and the model was trained with 12"):
        choose_frames(5, 12, "refuse")
    with pytest.raises(InputError, match="one frame is not a sequence"):
        choose_frames(1, 12, "any")


def test_field_of_view():
    whole, same, between = ({"zoom_power": power} for power in (1.0, 0.0, 0.5))
    assert field_of_view(100, None, whole) == 100
    assert field_of_view(100, None, same) == 64
    assert field_of_view(144, None, between) == pytest.approx(64 * 1.5)
    # half the pixel size: the same piece of the sample has twice as many pixels
    assert field_of_view(200, 1.1518 / 2, same) == pytest.approx(128)
    assert field_of_view(200, 1.1518 / 2, whole) == pytest.approx(200)


def test_grid_of_a_whole_image_is_the_image():
    image = torch.rand(1, 1, 8, 8)
    grid = affine_grid(torch.tensor([8.0]), (8, 8), 8)
    torch.testing.assert_close(torch.nn.functional.grid_sample(image, grid, align_corners=False), image)
    turned = affine_grid(torch.tensor([8.0]), (8, 8), 8, angle=torch.pi / 2)
    torch.testing.assert_close(
        torch.nn.functional.grid_sample(image, turned, align_corners=False), image.rot90(1, (2, 3)), atol=1e-5, rtol=0
    )
    shifted = affine_grid(torch.tensor([4.0]), (8, 8), 4, shift=torch.tensor([[2.0, 0.0]]))
    torch.testing.assert_close(
        torch.nn.functional.grid_sample(image, shifted, align_corners=False), image[:, :, 2:6, 4:8]
    )


def test_view_cuts_the_middle_and_pads_with_background():
    shown = np.random.default_rng(0).normal(size=(3, 2, 64, 64)).astype(np.float32)
    np.testing.assert_allclose(network_view(shown, None, {"size": 64, "zoom_power": 1.0}), shown, atol=1e-4)
    small = network_view(np.ones((3, 2, 32, 32), np.float32), None, {"size": 64, "zoom_power": 0.0})
    assert small[:, :, 20:44, 20:44].min() == 1
    assert small[:, :, :12].max() == 0


@pytest.mark.parametrize(
    ("stem", "facts"),
    [
        ("A_160930.nd2_PC3_4Gy_p2_532_543", Facts("PC3", "4", "p2", "160930", "532-543")),
        ("N_161011.nd2_U251c_0Gy_p2_56_67", Facts("U251c", "0", "p2", "161011", "56-67")),
        ("8Gy_p3-2_260-271", Facts("", "8", "p3-2", "", "260-271")),
        ("10Gy_p1_274_", Facts("", "10", "p1", "", "274")),
        ("HeLa_2.5 Gy_P3_1_12", Facts("HeLa", "2.5", "p3", "", "1-12")),
        ("HeLa_0,5Gy_p1_1_12", Facts("HeLa", "0.5", "p1", "", "1-12")),
        ("cell7", Facts()),
    ],
)
def test_names(stem, facts):
    assert parse_name(stem) == facts


def test_groups_are_positions_of_movies():
    assert parse_name("A_160930.nd2_PC3_4Gy_p2_532_543").group == "160930_PC3_4_p2"
    assert parse_name("8Gy_p3-2_260-271").group == "unknown_unknown_8_p3-2"


@pytest.mark.parametrize("angle", [0.0, 0.7, 1.5, 2.6])
def test_the_square_lies_as_the_cell_does(angle):
    rows, columns = np.mgrid[:80, :80].astype(np.float32) - 39.5
    nuclei = np.zeros((3, 80, 80), np.float32)
    for sign, height in ((1, 1.0), (-1, 0.8)):
        row, column = sign * 8 * np.sin(angle), sign * 8 * np.cos(angle)
        nuclei += height * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 18)
    turn = long_axis(nuclei, np.full((3, 2), 39.5))
    assert np.abs(np.sin(turn - angle)).max() < 0.03
    trace = Trace(torch.zeros(3, 2), torch.from_numpy(turn.astype(np.float32)))
    grid = affine_grid(torch.tensor([48.0]), (80, 80), 48)
    seen = sample(torch.from_numpy(nuclei)[:, None], grid, trace, turned=True)[1, 0].numpy()
    row, column = np.unravel_index(seen.argmax(), seen.shape)
    assert row == pytest.approx(23.5, abs=1)  # both daughters side by side in the middle row
    assert abs(column - 23.5) == pytest.approx(8, abs=1)
    assert seen[row, 47 - column] / seen.max() == pytest.approx(0.8, abs=0.03)
    as_it_is = sample(torch.from_numpy(nuclei)[:, None], grid, trace)[1, 0].numpy()
    row = np.unravel_index(as_it_is.argmax(), as_it_is.shape)[0]
    assert row - 23.5 == pytest.approx(8 * np.sin(angle), abs=1)


def test_a_view_that_follows_and_turns():
    shown = normalise(np.moveaxis(division(3, abnormal=False).astype(np.float32), -1, 1))
    settings = {"size": 24, "zoom_power": 0.0, "follow": True, "turn": True}
    assert network_view(shown, None, settings).shape == (12, 2, 24, 24)
    trace = follow_trace(shown[:, 1])
    assert (trace.shift.shape, trace.turn.shape) == ((12, 2), (12,))
