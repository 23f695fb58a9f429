"""Test-time augmentation: copies of a tile, turned back, averaged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cellscope.assays.histo.assay import OTSU_CARD
from cellscope.assays.histo.datasets.targets import distance_maps
from cellscope.assays.histo.networks.registry import arguments_of
from cellscope.assays.histo.nuclei.augmentation import augmented, average
from cellscope.assays.histo.options import PredictOptions
from cellscope.assays.histo.slides.stage import PART, cut_windows, join_maps, tiling_of
from cellscope.assays.histo.slides.state import State
from cellscope.assays.histo.slides.whole import whole_maps
from cellscope.engine.assay import Subject
from cellscope.imaging.symmetries import SYMMETRIES
from cellscope.io.image import Image


def _said(tile: np.ndarray) -> np.ndarray:
    """What a perfect network says about a tile whose first channel holds labels: nothing in it depends on the side."""
    labels = tile[0].astype(int)
    return np.stack([labels > 0, *distance_maps(labels), labels % 2, 1 - labels % 2], -1).astype(np.float16)


def _tile() -> np.ndarray:
    """Nuclei whose middle is their centre of mass to the pixel, so that distances turn with them exactly."""
    labels = np.zeros((24, 36), np.float32)
    labels[3:8, 4:13] = 1
    labels[3:8, 13:20] = 2
    labels[12:21, 25:30] = 3
    return np.stack([labels, labels * 2, labels * 3])


@pytest.mark.parametrize("count", range(1, 9))
def test_views_of_a_perfect_network_agree(count: int) -> None:
    tile = _tile()
    views = augmented(tile, count)
    assert len(views) == count
    assert {view.tobytes() for view in views} == {view.tobytes() for view in augmented(tile, count)}
    assert np.array_equal(views[0], tile)
    np.testing.assert_array_equal(average([_said(view) for view in views]), _said(tile))


def test_all_eight_views_differ() -> None:
    assert len(set(SYMMETRIES)) == 8
    square = _tile()[:, :, :24] + np.arange(24 * 24).reshape(24, 24)
    assert len({view.tobytes() for view in augmented(square, 8)}) == 8


def test_the_average_is_the_mean() -> None:
    """A network that calls the upper half of whatever it sees nucleus: over the half turn, every pixel is half sure."""
    upper = np.zeros((8, 8, 5), np.float16)
    upper[:4, :, 0] = 1
    upper[..., 1] = 0.5  # always to the right: over the half turn that cancels
    found = average([upper, upper])
    assert (found[..., 0] == 0.5).all()
    assert (found[..., 1] == 0).all()


class _Sideways(torch.nn.Module):
    """Says of each pixel how red it is, and that it lies to the right."""

    core, margin, fixed = 64, 32, True

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        inner = images[:, :1, 32:-32, 32:-32]
        one = torch.ones_like(inner)
        return torch.cat([-inner, inner, one, 0 * one, 0 * one, one, -one], 1)


def test_whole_maps_average_views() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (70, 90, 3), np.uint8)
    one, four = (whole_maps(_Sideways(), image, views=views) for views in (1, 4))
    np.testing.assert_allclose(one[..., 0].astype(float), four[..., 0].astype(float), atol=2e-3)
    assert (one[..., 1] == 1).all()
    assert (four[..., 1:3] == 0).all()


@pytest.mark.parametrize("views", [1, 3, 8])
def test_prediction_puts_views_together_again(views: int) -> None:
    """Through the stages with a network that gives back what it sees: the joined maps are the image."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (700, 90, 3), np.uint8)
    card = replace(OTSU_CARD, arch="histonext-test", arch_args=arguments_of("histonext-test", 1))
    subject = Subject("a", Image(pixels), "image", PredictOptions(views=views), {PART: card}, State())
    tiles = cut_windows(subject)
    margin = tiling_of(subject).margin
    assert len(tiles) == 2 * views
    outputs = []
    for tile in tiles:
        said = np.zeros((*tile.shape[1:], 4), np.float16)
        said[..., 0] = tile[0]
        said[..., 1] = 0.25
        outputs.append(said[margin:-margin, margin:-margin])
    join_maps(subject, outputs)
    maps = subject.state.maps
    np.testing.assert_allclose(maps[..., 0].astype(float), pixels[..., 0] / 255, atol=1e-3)
    # To the right in the tile, to the left in the half turn, and along the other axis in the quarter turn.
    assert (maps[..., 1] == {1: 0.25, 3: 0, 8: 0}[views]).all()
    assert (maps[..., 2] == {1: 0, 3: np.float16(-0.25 / 3), 8: 0}[views]).all()


@pytest.mark.parametrize("spread", [8, 9])
def test_empty_glass_is_not_looked_at(spread: int) -> None:
    """The second of two tiles: of 8 levels it shows nothing, of 9 it may."""
    pixels = np.full((1280, 90, 3), (240, 225, 232), np.uint8)
    pixels[:560] = np.random.default_rng(0).integers(0, 255, (560, 90, 3))
    pixels[700:710, :, 1] += np.uint8(spread)
    card = replace(OTSU_CARD, arch="histonext-test", arch_args=arguments_of("histonext-test", 1))
    subject = Subject("a", Image(pixels), "image", PredictOptions(views=2), {PART: card}, State())
    tiles = cut_windows(subject)
    assert len(tiles) == (2 if spread == 8 else 4)
    margin = tiling_of(subject).margin
    join_maps(subject, [np.ones((*tile.shape[1:], 4), np.float16)[margin:-margin, margin:-margin] for tile in tiles])
    maps = subject.state.maps
    assert maps.shape[:2] == (1280, 90)
    assert (maps[:640, :, 0] == 1).all()
    assert (maps[640:, :, 0] == (0 if spread == 8 else 1)).all()
