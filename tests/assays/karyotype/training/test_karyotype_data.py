"""What the networks are fed in training: crops, views, draws; and the thresholds tuned after it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from drawn.karyotype import CLASSES, length_of, metaphase, write_coco
from drawn.networks import Painter

from cellscope.assays.karyotype.datasets.metaphase import erase_ignored, load_metaphases
from cellscope.assays.karyotype.datasets.prepare import prepare
from cellscope.assays.karyotype.detect.detections import Detection
from cellscope.assays.karyotype.training.classifier_data import ChromosomeViews, collect_chromosomes, vary_mask
from cellscope.assays.karyotype.training.detector_data import DetectCrops, DetectWhole
from cellscope.assays.karyotype.training.tune import best_score_threshold, best_temperature
from cellscope.io.prepared import PreparedDataset
from cellscope.options.common import PrepareOptions


@pytest.fixture(scope="module")
def dataset(karyotype_dataset: Path) -> PreparedDataset:
    return PreparedDataset.open(karyotype_dataset, assay="karyotype")


@pytest.fixture(scope="module")
def boxes_only(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    root = tmp_path_factory.mktemp("boxes")
    write_coco(root / "boxes", [metaphase(seed) for seed in (0, 1, 2)], style="boxes")
    prepare([root / "boxes"], root / "out", PrepareOptions())
    return PreparedDataset.open(root / "out", assay="karyotype")


def test_a_metaphase_comes_back_as_it_was_written(dataset: PreparedDataset) -> None:
    for loaded in load_metaphases(dataset, "train", limit=2):
        cell = metaphase(int(loaded.name[-2:]), sex="XY" if int(loaded.name[-2:]) % 2 else "XX")
        assert loaded.classes == cell.classes
        np.testing.assert_allclose(loaded.boxes, cell.boxes)
        for mask, (x, y), whole in zip(loaded.masks, loaded.offsets, cell.masks, strict=True):
            assert mask.sum() == whole.sum()
            assert whole[y : y + mask.shape[0], x : x + mask.shape[1]][mask > 0].all()
        assert 1.4 < loaded.scale < 2.6


def test_crops_are_the_same_for_the_same_draw_and_hold_their_truth(dataset: PreparedDataset) -> None:
    metaphases = load_metaphases(dataset, "train", limit=2)
    crops = DetectCrops(metaphases, 160, (0.75, 1.4), seed=3)
    total = 0
    for draw in range(12):
        image, target = crops[0, draw]
        again, same = crops[0, draw]
        assert torch.equal(image, again)
        assert torch.equal(target["masks"], same["masks"])
        assert image.shape == (1, 160, 160)
        assert image.min() >= 0
        total += len(target["boxes"])
        for box, mask in zip(target["boxes"], target["masks"], strict=True):
            rows, columns = torch.nonzero(mask, as_tuple=True)
            tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert box.tolist() == [float(value) for value in tight]
            assert image[0][mask > 0].mean() > 2 * image[0].median()  # the mask lies on the chromosome
    assert total > 40
    assert not torch.equal(crops[0, 0][0], crops[0, 1][0])


def test_boxes_follow_quarter_turns(boxes_only: PreparedDataset) -> None:
    metaphases = load_metaphases(boxes_only, "train")
    crops = DetectCrops(metaphases, 160, (1.0, 1.0), seed=0)
    known = 0
    for draw in range(8):
        image, target = crops[0, draw]
        for box, mask, ok in zip(target["boxes"], target["masks"], target["mask_ok"], strict=True):
            x0, y0, x1, y1 = (int(value) for value in box.round())
            assert image[0, y0:y1, x0:x1].max() > 0.4
            if ok:
                known += 1
                rows, columns = torch.nonzero(mask, as_tuple=True)
                if min(x0, y0) > 0 and max(x1, y1) < 160:  # whole
                    assert abs(columns.float().mean() - (x0 + x1) / 2) < 2.5
                    assert abs(rows.float().mean() - (y0 + y1) / 2) < 2.5
            else:
                assert not mask.any()
    assert known > 20
    first = metaphases[0].masks
    assert any(mask is None for mask in first)  # where boxes meet, the mask is not known
    assert sum(mask is not None for mask in first) > 25


def test_ignored_regions_are_erased() -> None:
    image = np.ones((30, 30), np.float32)
    metaphase_ = SimpleNamespace(image=image, ignored=[(0, 10, np.ones((5, 6), np.uint8))])
    erased = erase_ignored(metaphase_)
    assert not erased[10:15, 0:6].any()
    assert erased[10:15, 12:].all()
    assert erased[20:].all()
    assert image.all()
    assert erase_ignored(SimpleNamespace(image=image, ignored=[])) is image


def test_whole_metaphases_have_the_canonical_scale(dataset: PreparedDataset) -> None:
    metaphases = load_metaphases(dataset, "train", limit=1)
    image, index = DetectWhole(metaphases)[0]
    assert index == 0
    assert image.shape[1:] == tuple(round(side * metaphases[0].scale) for side in metaphases[0].image.shape)


def test_chromosomes_of_known_class_are_collected(dataset: PreparedDataset, boxes_only: PreparedDataset) -> None:
    found = collect_chromosomes(dataset, "train")
    rows = dataset.split("train")
    spreads = int((rows["target"] != "").sum())
    assert len(found) == 46 * spreads + len(rows) - spreads
    assert {one.group for one in found} == set(rows["group"])
    assert len(collect_chromosomes(dataset, "train", metaphases=False)) == len(rows) - spreads
    assert [one.label for one in collect_chromosomes(dataset, "train", limit=3)] == [one.label for one in found[:3]]
    boxed = collect_chromosomes(boxes_only, "train")
    n_boxed = len(boxes_only.split("train"))
    assert 30 * n_boxed < len(boxed) < 46 * n_boxed  # crossing ones share too much of their boxes
    lengths = [one.mask.sum() for one in boxed]
    expected = [length_of(CLASSES[one.label]) for one in boxed]
    assert np.corrcoef(lengths, expected)[0, 1] > 0.8


def test_with_a_painter_crossing_chromosomes_are_collected_too(boxes_only: PreparedDataset) -> None:
    cut = collect_chromosomes(boxes_only, "train")
    drawn = collect_chromosomes(boxes_only, "train", painter=Painter())  # type: ignore[arg-type]
    assert len(cut) < len(drawn) == 46 * len(boxes_only.split("train"))
    half = collect_chromosomes(boxes_only, "train", painter=Painter(0.5))  # type: ignore[arg-type]
    assert len(half) < len(cut)  # what is known stays


def test_views_are_fixed_without_seed_and_varied_with_one(dataset: PreparedDataset) -> None:
    found = collect_chromosomes(dataset, "val")[:4]
    plain, varied = ChromosomeViews(found, seed=None), ChromosomeViews(found, seed=5)
    assert len(plain) == 4
    assert torch.equal(plain[1][0], plain[1][0])
    assert plain[1][1] == found[1].label
    assert torch.equal(varied[1, 7][0], varied[1, 7][0])
    assert not torch.equal(varied[1, 7][0], varied[1, 8][0])
    for draw in range(10):
        view, label, up = varied[2, draw]
        assert view.shape == (1, 128, 64)
        assert torch.isfinite(view).all()
        assert (view > 0.2).sum() > 300
        assert label == found[2].label
        assert up == -1  # not known here


def test_the_polarity_follows_the_half_turn(dataset: PreparedDataset) -> None:
    (one, *_) = collect_chromosomes(dataset, "val")
    one.short_arm_up = 1
    views = ChromosomeViews([one], seed=1)
    assert ChromosomeViews([one], seed=None)[0][2] == 1.0
    plain = ChromosomeViews([one], seed=None)[0][0].numpy()[0]
    seen = set()
    for draw in range(30):
        view, _, up = views[0, draw]
        upright = np.corrcoef(view.numpy().sum((0, 2)), plain.sum(1))[0, 1]
        turned = np.corrcoef(view.numpy().sum((0, 2)), plain[::-1].sum(1))[0, 1]
        seen.add(up)
        if abs(upright - turned) > 0.3:
            assert (upright > turned) == (up == 1.0)
    assert seen == {0.0, 1.0}


def test_masks_never_lose_half() -> None:
    rng = np.random.default_rng(0)
    mask = np.zeros((30, 20), bool)
    mask[5:25, 8:12] = True
    sizes = {int(vary_mask(mask, rng).sum()) for _ in range(60)}
    assert min(sizes) > 40
    assert len(sizes) > 5


def test_the_score_threshold_leans_to_keeping() -> None:
    def box(x: float, score: float) -> Detection:
        return Detection(np.array([x, 0, x + 10, 10]), np.ones((10, 10), bool), score)

    truth = np.array([[0, 0, 10, 10], [20, 0, 30, 10.0]])
    found = [box(0, 0.9), box(20, 0.62), box(60, 0.3), box(80, 0.28)]
    assert best_score_threshold([truth], [found]) == pytest.approx(0.35)
    assert best_score_threshold([truth], [[box(60, 0.9)]]) == 0.5  # nothing right at any threshold


@pytest.mark.parametrize("true", [0.5, 1.0, 2.0])
def test_the_temperature_is_found(true: float) -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 2, (4000, 5))
    honest = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    labels = np.array([rng.choice(5, p=np.exp(row) / np.exp(row).sum()) for row in honest])
    assert best_temperature(honest * true, labels) == pytest.approx(true, rel=0.1)
