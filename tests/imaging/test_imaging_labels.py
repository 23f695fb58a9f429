"""Label images."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import regionprops
from skimage.morphology import reconstruction

from cellscope.imaging.labels import (
    _rebuilt,
    find_markers,
    first_pixels,
    label_table,
    look_up,
    marker_watershed,
    relabel,
    remove_small,
)


def discs(shape: tuple[int, int], *places: tuple[int, int, int]) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.any([(rows - y) ** 2 + (columns - x) ** 2 <= r * r for y, x, r in places], axis=0)


def split(mask: np.ndarray, depth: float = 1.0) -> np.ndarray:
    """Separate touching discs by the distance to the background."""
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 1.0)
    return relabel(marker_watershed(distance, find_markers(distance, mask, depth=depth), mask))


def test_two_discs_that_touch_are_two() -> None:
    mask = discs((40, 70), (20, 18, 14), (20, 44, 14))
    assert ndimage.label(mask)[1] == 1
    labels = split(mask)
    assert labels.max() == 2
    np.testing.assert_array_equal(labels > 0, mask)
    assert abs(int((labels == 1).sum()) - int((labels == 2).sum())) < 60
    assert set(np.unique(labels[:, :28])) == {0, 1}


def test_one_disc_and_no_disc() -> None:
    assert split(discs((40, 40), (20, 20, 14))).max() == 1
    assert split(np.zeros((9, 9), bool)).max() == 0


def test_an_hourglass_is_cut_only_where_its_neck_is_deep_enough() -> None:
    mask = discs((40, 70), (20, 18, 14), (20, 36, 14))
    assert split(mask, depth=1.0).max() == 2
    assert split(mask, depth=8.0).max() == 1


def test_markers_by_hand() -> None:
    height = np.array([[0, 3, 1, 3, 0, 1, 0]], float)
    mask = height > 0
    assert find_markers(height, mask, depth=1.5).max() == 2  # the peak of 1 is not 1.5 high
    assert find_markers(height, mask, depth=0.5).max() == 3
    assert find_markers(height, mask, depth=0.5, floor=2).max() == 2
    labels = marker_watershed(height, find_markers(height, mask, depth=1.5), mask)
    assert (labels > 0).tolist() == mask.tolist()
    assert len(np.unique(labels)) == 4  # the part no marker reaches has a number of its own


@pytest.mark.parametrize("sigma", [1.0, 4.0, 30.0])  # with the last, heights spread further than step by step
def test_heights_are_rebuilt_as_scikit_image_does(sigma: float) -> None:
    noise = np.random.default_rng(0).normal(size=(150, 200))
    limit = ndimage.gaussian_filter(noise, sigma).astype(np.float32)
    seed = limit - np.float32(0.5 * limit.std())
    np.testing.assert_array_equal(_rebuilt(seed, limit), reconstruction(seed, limit))
    snake = np.zeros((41, 200), np.float32)  # the way from its head to its tail is longer than 48 steps
    snake[::4] = 1
    for turn, row in enumerate(range(2, 40, 4)):
        snake[row - 1 : row + 2, -1 if turn % 2 == 0 else 0] = 1
    head = np.where(snake > 0, np.float32(0.25), np.float32(0))
    head[0, 0] = 1
    np.testing.assert_array_equal(_rebuilt(head, snake), reconstruction(head, snake))
    assert _rebuilt(head, snake)[40].max() == 1


def test_relabel_and_remove_small() -> None:
    labels = np.array([[0, 7, 7], [3, 3, 3], [0, 0, 9]])
    assert relabel(labels).tolist() == [[0, 2, 2], [1, 1, 1], [0, 0, 3]]
    assert relabel(labels, by_position=True).tolist() == [[0, 1, 1], [2, 2, 2], [0, 0, 3]]
    assert remove_small(labels, 2).tolist() == [[0, 7, 7], [3, 3, 3], [0, 0, 0]]
    assert relabel(np.full((2, 2), 5)).tolist() == [[1, 1], [1, 1]]
    assert relabel(np.zeros((2, 2), int)).max() == 0
    assert relabel(np.zeros((0, 2), int)).shape == (0, 2)
    assert relabel(labels).dtype == np.int32


@pytest.mark.parametrize(("low", "high"), [(0, 60), (0, 10**9), (-4, 5), (3, 9)])
def test_relabel_is_the_same_for_small_and_large_numbers(low: int, high: int) -> None:
    labels = np.random.default_rng(0).integers(low, high, (13, 17))
    values, first = np.unique(labels, return_index=True)
    first, values = first[values != 0], values[values != 0]
    by_number = relabel(labels)
    by_position = relabel(labels, by_position=True)
    for number, value in enumerate(values, 1):
        assert ((by_number == number) == (labels == value)).all()
    for number, value in enumerate(values[np.argsort(first)], 1):
        assert ((by_position == number) == (labels == value)).all()


def test_where_labels_begin() -> None:
    labels = np.array([[0, 7, 7], [3, 3, 7], [3, 0, 1]])
    assert first_pixels(labels).tolist() == [-1, 8, -1, 3, -1, -1, -1, 1]
    assert first_pixels(labels[:, ::-1]).tolist() == [-1, 6, -1, 4, -1, -1, -1, 0]
    assert first_pixels(np.zeros((2, 2), int)).tolist() == first_pixels(np.zeros((0, 2), int)).tolist() == [-1]


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint16])
def test_a_look_up_is_an_index(dtype: type) -> None:
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 50, (300, 801)).astype(dtype)  # more than are looked up at a time, and not a multiple
    for table in (rng.normal(size=50).astype(np.float32), rng.random(50) < 0.5, rng.integers(0, 9, 50)):
        for view in (numbers, numbers.T, numbers[5:250:3, 7:], numbers[:0]):
            found = look_up(table, view)
            assert found.dtype == table.dtype
            assert np.array_equal(found, table[view])


def test_the_table_has_scikit_images_names_and_values() -> None:
    labels = np.zeros((20, 30), int)
    labels[2:6, 3:9], labels[10:18, 20:22] = 2, 5
    intensity = np.random.default_rng(0).random((20, 30, 2))
    table = label_table(labels, intensity, channels={0: "red", 1: "green"})
    assert table["label"].tolist() == [2, 5]
    assert table["area"].tolist() == [24, 16]
    assert table[["bbox-0", "bbox-1", "bbox-2", "bbox-3"]].iloc[0].tolist() == [2, 3, 6, 9]
    region = regionprops(labels, intensity)[1]
    assert table["eccentricity"][1] == pytest.approx(region.eccentricity)
    assert table["intensity_mean_green"][1] == pytest.approx(intensity[10:18, 20:22, 1].mean())


def test_the_table_of_nothing_keeps_its_columns() -> None:
    empty = label_table(np.zeros((5, 5), int))
    assert len(empty) == 0
    full = label_table(np.ones((5, 5), int))
    assert list(empty.columns) == list(full.columns)
