"""From maps to nuclei: instances come back from perfect maps, whatever window they are seen in."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn.nuclei import packed, perfect_maps

from cellscope.assays.histo.nuclei import postprocess
from cellscope.assays.histo.nuclei.clumps import clump_windows
from cellscope.assays.histo.nuclei.holes import fill_holes
from cellscope.assays.histo.nuclei.postprocess import edge_strength, find_nuclei
from cellscope.imaging.labels import relabel


def recovered(truth: np.ndarray, found: np.ndarray, iou: float = 0.5) -> tuple[int, int, int]:
    """Give matched, true and found nuclei."""
    width = int(found.max()) + 1
    table = np.bincount((truth.astype(np.int64) * width + found).ravel(), minlength=(int(truth.max()) + 1) * width)
    table = table.reshape(-1, width)
    areas, others = table.sum(1)[1:, None], table.sum(0)[None, 1:]
    shared = table[1:, 1:]
    present = areas[:, 0] > 0
    return (
        int((shared > iou * (areas + others - shared)).sum()),
        int(present.sum()),
        int((others > 0).sum()),
    )


def test_touching_nuclei_come_back_from_perfect_maps() -> None:
    truth = packed(320, 20)
    assert cv2.connectedComponents((truth > 0).astype(np.uint8))[0] - 1 < 0.2 * len(np.unique(truth))  # they do touch
    nuclei = find_nuclei(perfect_maps(truth))
    matched, true, found = recovered(truth, nuclei.labels, 0.9)
    assert matched == true == found
    assert np.array_equal(nuclei.labels > 0, truth > 0)


def test_two_touching_nuclei_by_hand_and_their_types() -> None:
    truth = np.zeros((30, 44), np.int32)
    rows, columns = np.mgrid[:30, :44]
    truth[(rows - 14) ** 2 + (columns - 12) ** 2 <= 81] = 1
    truth[((rows - 14) ** 2 + (columns - 30) ** 2 <= 100) & (truth == 0)] = 2
    maps = perfect_maps(truth, {1: 2, 2: 0})
    maps[truth == 2, 3:] = (0.75, 0.25, 0, 0)
    maps[truth == 2, 0] = 0.875
    nuclei = find_nuclei(maps)
    assert nuclei.labels.dtype == np.int32
    assert nuclei.labels.max() == 2
    first = int(nuclei.labels[14, 12])
    second = 3 - first
    assert (nuclei.labels == first).sum() == pytest.approx((truth == 1).sum(), abs=6)
    np.testing.assert_allclose(nuclei.probabilities[first - 1, 2], 1, atol=0.03)
    np.testing.assert_allclose(nuclei.probabilities[second - 1, :2], (0.75, 0.25), atol=0.03)
    np.testing.assert_allclose(nuclei.probabilities.sum(1), 1, atol=1e-6)
    assert nuclei.score[second - 1] == pytest.approx(0.875, abs=0.01)
    assert nuclei.score.dtype == nuclei.probabilities.dtype == np.float32


def test_labels_follow_the_first_pixel() -> None:
    labels = find_nuclei(perfect_maps(packed(160, 18, seed=3, share=0.5))).labels
    assert np.array_equal(labels, relabel(labels, by_position=True))


def test_a_window_gives_what_the_whole_image_gives() -> None:
    truth = packed(360, 22, seed=1, share=0.35)
    rng = np.random.default_rng(0)
    maps = perfect_maps(truth).astype(np.float32)
    noise = cv2.GaussianBlur(rng.normal(size=(*truth.shape, 3)).astype(np.float32), (0, 0), 2)
    maps[..., :3] = cv2.GaussianBlur(maps[..., :3], (0, 0), 1.2) + 0.6 * noise
    maps = maps.astype(np.float16)
    maps[:40, :40, 1] *= 40  # one odd corner must move no nucleus elsewhere
    whole = find_nuclei(maps)
    _, clumps = cv2.connectedComponents((maps[..., 0] > 0.5).astype(np.uint8), connectivity=4)
    compared = 0
    for top, left, height, width in ((0, 0, 200, 180), (45, 61, 250, 241), (150, 133, 210, 227), (97, 5, 160, 350)):
        window = (slice(top, top + height), slice(left, left + width))
        seen = find_nuclei(maps[window])
        part = clumps[window]
        rim = np.zeros(int(clumps.max()) + 1, bool)
        rim[part[:5]] = rim[part[-5:]] = rim[part[:, :5]] = rim[part[:, -5:]] = True
        inside = ~rim[part] & (part > 0)
        ours, theirs = seen.labels[inside], whole.labels[window][inside]
        assert ((ours > 0) == (theirs > 0)).all()
        pairs = np.unique(np.stack([ours, theirs], 1)[ours > 0], axis=0)
        assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)  # the same regions under other numbers
        np.testing.assert_array_equal(seen.score[pairs[:, 0] - 1], whole.score[pairs[:, 1] - 1])
        np.testing.assert_array_equal(seen.probabilities[pairs[:, 0] - 1], whole.probabilities[pairs[:, 1] - 1])
        compared += len(pairs)
    assert compared > 50


def test_the_parts_a_large_image_is_worked_on_in_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = packed(330, 22, seed=5, share=0.6)
    maps = perfect_maps(truth).astype(np.float32)
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(size=(*truth.shape, 3)).astype(np.float32), (0, 0), 2)
    maps[..., :3] = cv2.GaussianBlur(maps[..., :3], (0, 0), 1.2) + 0.7 * noise
    maps = maps.astype(np.float16)
    whole = find_nuclei(maps)
    windows = []
    for block, band in ((40, 7), (100, 64)):
        monkeypatch.setattr(postprocess, "_BLOCK", block)
        monkeypatch.setattr(postprocess, "_BAND", band)
        parts = find_nuclei(maps)
        np.testing.assert_array_equal(parts.labels, whole.labels)
        np.testing.assert_array_equal(parts.score, whole.score)
        np.testing.assert_array_equal(parts.probabilities, whole.probabilities)
        windows.append(list(clump_windows(maps[..., 0] > 0.5, block, 7)))
    assert len(windows[0]) > 8
    assert len(windows[1]) > 3
    for cut in windows:
        together = np.zeros(truth.shape, int)
        for window, own in cut:
            together[window] += own
        np.testing.assert_array_equal(together, maps[..., 0] > 0.5)  # every pixel of the mask once


def test_holes_are_filled_whatever_part_of_a_large_image_they_are_in(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, columns = np.mgrid[-20:21, -20:21]
    radius = np.hypot(rows, columns)
    ring = (radius <= 19) & (radius > 11)
    places = [(top, left) for top in range(1, 320, 46) for left in range(1, 320, 46)]
    mask, expected = np.zeros((323, 330), bool), np.zeros((323, 330), np.int32)
    # Nothing in the hole, a speck, a nucleus, a speck with a hole of its own.
    inside = [radius < 0, radius <= 1, radius <= 6, (radius <= 2) & (radius > 1)]
    for number, (top, left) in enumerate(places):
        box = (slice(top, top + 41), slice(left, left + 41))
        mask[box] = ring | inside[number % 4]
        expected[box][ring if number % 4 == 2 else radius <= 19] = 1
        expected[box][inside[2] & (number % 4 == 2)] = 2
    maps = np.zeros((*mask.shape, 4), np.float16)
    maps[..., 0] = mask
    results = []
    for block in (768, 100, 50):
        monkeypatch.setattr(postprocess, "_BLOCK", block)
        found = find_nuclei(maps, edge=9.0, min_area=24, opening=1)  # one marker per clump
        assert len(list(clump_windows(mask, block, 7))) == {768: 1, 100: 9, 50: 36}[block]
        np.testing.assert_array_equal(found.labels > 0, expected > 0)
        assert len(found.score) == len(places) + len(places) // 4
        results.append(found)
    for found in results[1:]:
        np.testing.assert_array_equal(found.labels, results[0].labels)
        np.testing.assert_array_equal(found.score, results[0].score)
    areas = np.bincount(results[0].labels.ravel())[1:]
    full, bare = int((radius <= 19).sum()), int(ring.sum())
    assert sorted(set(areas.tolist())) == sorted({int(inside[2].sum()), bare, full})
    # The pixels of a hole count for the score of the nucleus they went to.
    assert sorted({round(float(score), 4) for score in results[0].score}) == sorted(
        {
            1.0,
            round(bare / full, 4),
            round((bare + int(inside[1].sum())) / full, 4),
            round((bare + int(inside[3].sum())) / full, 4),
        }
    )


def test_edges_have_the_strength_that_is_promised() -> None:
    truth = np.zeros((140, 300), np.int32)
    truth[20:120, 20:150], truth[20:120, 150:280] = 1, 2
    hv = perfect_maps(truth)[..., 1:3]
    strength = edge_strength(hv, truth > 0, 1.25)
    assert strength[70, 149:151].mean() == pytest.approx(2, abs=0.35)  # half a pixel beside the very edge
    assert strength[70, 279:281].mean() == pytest.approx(1, abs=0.2)
    assert strength[119:121, 60].mean() == pytest.approx(1, abs=0.2)
    assert strength[70, 60] == strength[5, 5] == 0
    wild = edge_strength(hv.astype(np.float32) * 100, truth > 0, 1.25)
    assert wild.max() <= 4  # clipped: what a network exaggerates stays bounded


def test_half_precision_is_read_by_its_bits_and_means_the_same() -> None:
    every = np.arange(2**16, dtype=np.uint16).view(np.float16).reshape(256, 256)
    every = np.where(np.isfinite(every), every, 0)
    for threshold in (0.0, 0.3, 0.5, 0.95):
        expected = every > np.float16(threshold)
        np.testing.assert_array_equal(postprocess._above(every, threshold), expected)
        np.testing.assert_array_equal(
            postprocess._above(every.astype(np.float32), float(np.float16(threshold))), expected
        )
    hv = np.stack([every, every[::-1]], -1)
    mask = np.random.default_rng(0).random(every.shape) > 0.2
    np.testing.assert_array_equal(edge_strength(hv, mask, 1.25), edge_strength(hv.astype(np.float32), mask, 1.25))


def test_distances_outside_the_nuclei_count_as_nothing() -> None:
    hv = np.random.default_rng(0).uniform(-1, 1, (40, 50, 2)).astype(np.float16)
    mask = np.zeros((40, 50), bool)
    mask[8:30, 10:35] = True
    nothing = np.where(mask[..., None], hv, np.float16(0))
    np.testing.assert_array_equal(edge_strength(hv, mask, 1.25), edge_strength(nothing, mask, 1.25))


def test_holes_belong_to_the_one_that_is_around_them() -> None:
    labels = np.zeros((12, 24), np.int32)
    labels[2:10, 2:10] = 1
    labels[4:6, 4:6] = 0  # a hole of 1
    labels[7, 7] = 2  # an island of another in 1: no hole
    labels[2:10, 12:17], labels[2:10, 17:22] = 3, 4
    labels[5:7, 15:19] = 0  # a gap between 3 and 4
    labels[0, 1] = 5
    filled = fill_holes(labels)
    expected = labels.copy()
    expected[4:6, 4:6] = 1
    np.testing.assert_array_equal(filled, expected)
    ring = np.ones((5, 5), np.int32)
    ring[2, 4] = 0  # open to the border of the image
    np.testing.assert_array_equal(fill_holes(ring), ring)


def test_small_and_doubtful_nuclei_are_dropped() -> None:
    truth = np.zeros((40, 60), np.int32)
    truth[4:8, 4:8], truth[10:30, 10:30], truth[10:30, 36:56] = 1, 2, 3
    maps = perfect_maps(truth)
    assert find_nuclei(maps, min_area=5).labels.max() == 3  # too small for a marker, yet a nucleus
    assert find_nuclei(maps, min_area=17).labels.max() == 2
    maps[truth == 2, 0] = 0.6
    kept = find_nuclei(maps, min_area=17, min_score=0.7)
    assert kept.labels.max() == len(kept.score) == len(kept.probabilities) == 1
    assert kept.labels[20, 45] == 1
    assert kept.probabilities[0].argmax() == 3
    assert find_nuclei(maps, threshold=0.7, min_area=17).labels.max() == 1


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (64, 64)])
def test_nothing_is_a_result(shape: tuple[int, int]) -> None:
    nuclei = find_nuclei(np.zeros((*shape, 7), np.float16))
    assert nuclei.labels.shape == shape
    assert nuclei.labels.max() == 0
    assert nuclei.probabilities.shape == (0, 4)
    assert nuclei.score.shape == (0,)


def test_maps_without_types_and_maps_that_say_nothing_of_types() -> None:
    maps = perfect_maps(packed(60, 20))
    assert find_nuclei(maps[..., :3]).probabilities.shape[1] == 0
    maps[..., 3:] = 0
    assert (find_nuclei(maps).probabilities == 0.25).all()


@pytest.mark.realdata
def test_real_nuclei_come_back_from_perfect_maps(real_data: Path) -> None:
    folder = real_data / "histo"
    for name in ("consep/instances/train_1.png", "monuseg/instances/TCGA-21-5784-01Z-00-DX1.png"):
        truth = relabel(cv2.imread(str(folder / name), cv2.IMREAD_UNCHANGED))
        matched, true, found = recovered(truth, find_nuclei(perfect_maps(truth), min_area=10).labels)
        assert matched > 0.985 * max(true, found)
