"""Where pixels lie: scales, tiles, windows, and the way there and back."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from drawn.nuclei import packed, perfect_maps
from hypothesis import given, settings
from hypothesis import strategies as st

from cellscope.assays.histo.nuclei.postprocess import find_nuclei
from cellscope.assays.histo.slides.regions import windows
from cellscope.assays.histo.slides.seams import bands, resolve
from cellscope.assays.histo.slides.windows import (
    Box,
    Frame,
    Tiling,
    cut_tiles,
    labels_at_input,
    model_shape,
    resample,
    scale_between,
)
from cellscope.engine.assay import Result
from cellscope.imaging.tiling import join_windows


def test_scales() -> None:
    assert scale_between(0.5, 0.25) == 2
    assert scale_between(0.2525, 0.25) == 1
    assert scale_between(None, 0.25) == scale_between(0.3, None) == 1
    assert model_shape((3, 4), 0.5) == (2, 2)
    assert model_shape((3, 4), 2.0) == (6, 8)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 400), st.sampled_from([Tiling(80, 95), Tiling(96, 32, 32), Tiling(448, 32, 32)]), st.integers(0, 79)
)
def test_tiles_cover_and_their_sides_fit(length: int, tiling: Tiling, shift: int) -> None:
    spans = tiling.grid((length, length), (shift, shift)).spans(0)
    assert spans[0][0] == -shift
    assert all(a[0] + tiling.core == b[0] for a, b in itertools.pairwise(spans))
    assert sum(spans[-1]) >= length
    for _, size in spans:
        assert size <= tiling.core
        assert not tiling.step or (size + 2 * tiling.margin) % tiling.step == 0
        assert tiling.step or size == tiling.core


@pytest.mark.parametrize("tiling", [Tiling(16, 5), Tiling(32, 8, 16)])
@pytest.mark.parametrize("shift", [(0, 0), (7, 3)])
def test_tiles_put_together_are_the_image(tiling: Tiling, shift: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    box = Box(10, 20, 55, 83)
    grid = tiling.grid(box.shape, shift)
    tiles = cut_tiles(image, 1.0, box, grid)
    m = tiling.margin
    cores = [np.rint(tile.transpose(1, 2, 0)[m:-m, m:-m] * 255).astype(np.uint8) for tile in tiles]
    np.testing.assert_array_equal(join_windows(cores, grid), image[10:55, 20:83])
    # context is the image where there is any, and its border repeated beyond
    first = np.rint(tiles[0].transpose(1, 2, 0) * 255).astype(np.uint8)
    rows = np.clip(np.arange(first.shape[0]) + 10 - shift[0] - m, 0, 60)
    columns = np.clip(np.arange(first.shape[1]) + 20 - shift[1] - m, 0, 82)
    np.testing.assert_array_equal(first, image[rows[:, None], columns])


@pytest.mark.parametrize("scale", [2.0, 0.5, 1.37, 0.71])
def test_windows_see_what_the_whole_shows(scale: float) -> None:
    """Resampling a window gives the pixels that resampling the whole image gives there."""
    image = np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    whole = resample(image, scale, Box(0, 0, *model_shape(image.shape[:2], scale)))
    box = Box(*(int(edge * scale) for edge in (30, 40, 60, 90)))
    part = resample(image[15:80, 20:110], scale, box, (15, 20))
    expected = whole[box.top : box.bottom, box.left : box.right]
    assert np.abs(part.astype(int) - expected).max() <= (8 if scale not in (2.0, 0.5) else 1)


@pytest.mark.parametrize("scale", [0.5, 1.3, 2.0, 3.0])
def test_labels_come_back_to_where_they_were(scale: float) -> None:
    shape = (120, 150)
    frame = Frame.whole(shape, scale)
    height, width = frame.window.shape
    rows, columns = (np.mgrid[:height, :width] + 0.5) / scale - 0.5
    labels = ((rows - 61.3) ** 2 + (columns - 70.8) ** 2 <= 30**2).astype(np.int32)
    found = labels_at_input(labels, frame)
    assert found.shape == shape
    centre = [axis.mean() for axis in np.nonzero(found)]
    assert centre == pytest.approx([61.3, 70.8], abs=0.3)
    assert found.sum() == pytest.approx(np.pi * 30**2, rel=0.04)


def window_result(maps: np.ndarray, frame: Frame, slack: int = 8) -> Result:
    """Do what a window of a slide does, without measurements."""
    box = frame.window
    nuclei = find_nuclei(maps[box.top : box.bottom, box.left : box.right])
    core = frame.core.grown(slack)
    labels, rows = np.zeros_like(nuclei.labels), []
    for label in range(1, len(nuclei.score) + 1):
        y, x = (axis.mean() + start for axis, start in zip(np.nonzero(nuclei.labels == label), box, strict=False))
        if core.top <= y + 0.5 < core.bottom and core.left <= x + 0.5 < core.right:
            rows.append({"label": len(rows) + 1})
            labels[nuclei.labels == label] = len(rows)
    artefacts = {"labels": labels, "place": np.array([box.top, box.left])}
    return Result(pd.DataFrame(rows, columns=["label"]), {}, artefacts)


@pytest.mark.parametrize("block", [64, 100, 150])
def test_windows_of_any_size_give_the_nuclei_of_the_whole(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellscope.assays.histo.slides.regions.SEAM", 48)
    maps = perfect_maps(packed(240, 24, share=0.6))
    whole = find_nuclei(maps).labels
    frames = windows((240, 240), 1.0, block)
    results = [window_result(maps, frame) for frame in frames]
    tops = [frame.inputs.top for frame in frames]
    resolved = resolve(results, tops, (240, 240))
    joined = np.concatenate(list(bands(results, tops, (240, 240), resolved)()))
    assert joined.shape == whole.shape
    assert resolved.count == joined.max() == whole.max()
    pairs = np.unique(np.stack([joined.ravel(), whole.ravel()]), axis=1)
    assert pairs.shape[1] == whole.max() + 1


def test_what_two_windows_claim_is_settled_by_order() -> None:
    def result(labels: np.ndarray, left: int) -> Result:
        table = pd.DataFrame({"label": np.arange(1, labels.max() + 1)})
        return Result(table, {}, {"labels": labels, "place": np.array([0, left])})

    first, second = np.zeros((6, 10), np.int32), np.zeros((6, 10), np.int32)
    first[1:5, 5:9] = 1  # columns 5..8 of the whole
    second[1:5, 1:5] = 1  # columns 6..9: mostly the same nucleus
    second[0, 8:10] = 2  # its own
    both = resolve([result(first, 0), result(second, 5)], [0, 0], (6, 15))
    assert (both.count, both.numbers[1].tolist()) == (2, [0, 0, 2])
    second[:] = 0
    second[1:5, 3:9] = 1  # columns 8..13: touches the first one's last column
    shared = resolve([result(first, 0), result(second, 5)], [0, 0], (6, 15))
    assert (shared.count, list(shared.cut[1])) == (2, [1])
    whole = np.concatenate(list(bands([result(first, 0), result(second, 5)], [0, 0], (6, 15), shared)()))
    assert np.bincount(whole.ravel()).tolist() == [90 - 16 - 20, 16, 20]
    assert (whole[1:5, 8] == 1).all()


def test_no_window_at_all_is_an_empty_image() -> None:
    resolved = resolve([], [], (2500, 30))
    assert np.concatenate(list(bands([], [], (2500, 30), resolved)())).shape == (2500, 30)
