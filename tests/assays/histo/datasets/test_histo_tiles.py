"""What the branches learn from: distances, types, windows, sampling."""

from __future__ import annotations

import numpy as np
import pytest
from drawn.nuclei import packed

from cellscope.assays.histo.datasets.augment import LEVELS, change_appearance
from cellscope.assays.histo.datasets.targets import distance_maps, type_map
from cellscope.assays.histo.datasets.tiles import Tile, Windows, stratum_weights
from cellscope.assays.histo.options import TrainOptions


def tile(name: str = "a/x", typed: bool = True, side: int = 160) -> Tile:
    labels = packed(side, 20)
    image = np.full((side, side, 3), (230, 200, 220), np.uint8)
    image[labels > 0] = (90, 60, 140)
    types = np.where(np.arange(labels.max() + 1) > 0, 1 + np.arange(labels.max() + 1) % 2 if typed else -1, 0)
    return Tile(name, name.split("/")[0], image, labels, types.astype(np.int64))


def test_distances_by_hand() -> None:
    """One row of five pixels: the centre is the third; each side ends at one."""
    labels = np.zeros((3, 7), int)
    labels[1, 1:6] = 4
    across, down = distance_maps(labels)
    assert across[1].tolist() == [0, -1, -0.5, 0, 0.5, 1, 0]
    assert (down == 0).all()


def test_distances_scale_each_side_on_its_own() -> None:
    """An L: its centre of mass is off the middle, yet both ends reach 1."""
    labels = np.zeros((6, 6), int)
    labels[0:6, 0] = labels[5, 0:6] = 1
    across, down = distance_maps(labels)
    assert across.min() == down.min() == -1
    assert across.max() == down.max() == 1


def test_distances_jump_where_nuclei_touch() -> None:
    labels = np.zeros((5, 12), int)
    labels[:, :6], labels[:, 6:] = 1, 2
    across, _ = distance_maps(labels)
    assert (across[:, 5] == 1).all()
    assert (across[:, 6] == -1).all()


def test_distances_of_many_agree_with_one_at_a_time() -> None:
    labels = packed(96, 17, seed=3)
    together = distance_maps(labels)
    for label in np.unique(labels)[1:]:
        alone = distance_maps(np.where(labels == label, label, 0))
        assert np.array_equal(together[:, labels == label], alone[:, labels == label])


def test_no_nucleus_gives_zeros() -> None:
    assert not distance_maps(np.zeros((4, 5), int)).any()


def test_types_follow_labels() -> None:
    labels = np.array([[0, 1], [2, 2]])
    assert type_map(labels, np.array([0, 3, -1])).tolist() == [[0, 3], [-1, -1]]


@pytest.mark.parametrize("level", LEVELS)
def test_windows_are_the_same_for_the_same_draw(level: str) -> None:
    windows = Windows([tile()], 64, 32, TrainOptions(augment=level))  # type: ignore[arg-type]
    one, two, other = windows[1, 5], windows[1, 5], windows[1, 6]
    assert all((one[name] == two[name]).all() for name in one)
    varied = any((one[name] != other[name]).any() for name in one)
    assert varied == (level != "baseline")  # the paper's baseline is the centre crop alone
    assert one["image"].shape == (3, 128, 128)
    assert one["image"].min() >= 0
    assert one["image"].max() <= 1
    assert one["nucleus"].shape == one["type"].shape == (64, 64)
    assert one["distance"].shape == (2, 64, 64)


def test_window_without_changes_is_the_image() -> None:
    """Without augmentation the labels of the core belong to the very pixels of the window's middle."""
    windows = Windows([tile()], 64, 32, TrainOptions(augment="baseline"))
    drawn = windows[0, 3]
    dark = drawn["image"][:, 32:-32, 32:-32].mean(0) < 0.6
    known = drawn["nucleus"] >= 0
    same = (dark == (drawn["nucleus"] == 1))[known].float().mean()
    assert same > 0.96  # the window's middle lies between pixels, so that colours at rims are mixed


def test_outside_the_tile_nothing_is_learnt() -> None:
    windows = Windows([tile(side=90)], 128, 32, TrainOptions(augment="baseline"))
    drawn = windows[0, 0]
    outside = drawn["nucleus"] == -1
    assert outside.any()
    assert (drawn["type"][outside] == -1).all()
    assert (drawn["distance"][:, outside] == 0).all()


def test_untyped_tiles_teach_no_types() -> None:
    windows = Windows([tile(typed=False)], 64, 32, TrainOptions())
    drawn = windows[0, 0]
    assert (drawn["type"] == -1).all()
    assert (drawn["nucleus"] == 1).any()


def test_a_nucleus_cut_by_the_core_keeps_its_true_centre() -> None:
    labels = np.zeros((300, 300), np.int32)
    labels[100:130, 145:185] = 1
    one = Tile("a/x", "a", np.zeros((300, 300, 3), np.uint8), labels, np.array([0, 1]))
    windows = Windows([one], 64, 32, TrainOptions(augment="baseline"))
    seen = False
    for item in range(len(windows)):
        for draw in range(4):
            drawn = windows[item, draw]
            mask = (drawn["nucleus"] == 1).numpy()
            if 0 < mask.sum() < 600 and mask.any(0).sum() > 5:  # cut by the core
                across = drawn["distance"][0].numpy()[mask]
                seen |= across.min() > -0.9 or across.max() < 0.9
    assert seen  # not scaled anew to -1 and 1


@pytest.mark.parametrize("level", ["moderate", "strong", "full", "wide"])
def test_appearance_keeps_shape_and_type(level: str) -> None:
    rng = np.random.default_rng(0)
    image = tile().image
    for _ in range(10):
        changed = change_appearance(image, LEVELS[level], rng)
        assert changed.shape == image.shape
        assert changed.dtype == np.uint8


def test_rare_types_are_drawn_more_often() -> None:
    strata = ["a/1"] * 4 + ["a/2"] * 100 + ["b/0"] * 52
    plain = stratum_weights(strata, "none", {})
    assert plain == {"a/1": 4, "a/2": 100, "b/0": 52}
    aware = stratum_weights(strata, "type-aware", {})
    assert aware["a/1"] / aware["a/2"] == pytest.approx(4 * 5 / 100)  # 25 times rarer: 5 times as often
    even = stratum_weights(strata, "uniform", {})
    assert even["a/1"] == pytest.approx(even["a/2"])
    for weights in (aware, even):  # the sources keep their shares
        assert weights["a/1"] + weights["a/2"] == pytest.approx(104)
        assert weights["b/0"] == pytest.approx(52)
    assert stratum_weights(strata, "none", {"b": 2.0})["b/0"] == 104
    published = stratum_weights(strata, "published", {}, rates={1: 4.0})
    assert published["a/1"] / published["a/2"] == pytest.approx(4 * 4 / 100)
