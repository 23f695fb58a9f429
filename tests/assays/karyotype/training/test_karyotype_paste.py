"""Pasted chromosomes: cut out alone, laid where masks say, overlaps kept, the same for the same draw."""

import numpy as np
import pytest
import torch

from cellscope.assays.karyotype.datasets.metaphase import Metaphase
from cellscope.assays.karyotype.training.detector_data import DetectCrops
from cellscope.assays.karyotype.training.paste import ChromosomeBank, Cutout, add_debris, paste


def rods(*boxes: tuple[int, int, int, int], masks: bool = True, size: int = 120) -> Metaphase:
    """A metaphase of filled boxes (x0, y0, x1, y1) of value 1 on 0."""
    image = np.zeros((size, size), np.float32)
    for x0, y0, x1, y1 in boxes:
        image[y0:y1, x0:x1] = 1.0
    return Metaphase(
        "s/one",
        "s",
        image,
        1.0,
        np.array(boxes, np.float32),
        [np.ones((y1 - y0, x1 - x0), np.uint8) if masks else None for x0, y0, x1, y1 in boxes],
        np.array([box[:2] for box in boxes]),
        [],
        [None] * len(boxes),
    )


def test_only_chromosomes_that_lie_alone_are_cut_out() -> None:
    bank = ChromosomeBank([rods((10, 10, 20, 40), (60, 60, 70, 90), (62, 70, 100, 80))])
    [alone] = bank.cutouts["s"]
    assert alone.mask.sum() == 10 * 30
    assert alone.image[alone.mask > 0].min() > 0.85
    assert alone.image[0].max() < 0.5  # the edge fades out
    assert bank.draw("s", np.random.default_rng(0)) is alone
    assert bank.draw("another source", np.random.default_rng(0)) is None
    assert ChromosomeBank([rods((10, 10, 20, 40), masks=False)]).cutouts["s"] == []


def test_a_pasted_chromosome_keeps_its_size_and_darkens_what_lies_below() -> None:
    cutout = Cutout(np.ones((30, 10), np.float32), np.ones((30, 10), np.uint8), 1.0)
    crop = np.zeros((100, 100), np.float32)
    crop[:, 50:] = 0.5
    before = crop.copy()
    mask = paste(crop, crop > 2, cutout, np.array([50.0, 50.0]), 1.5, np.random.default_rng(3))
    assert mask is not None
    assert mask.sum() == pytest.approx(300 * 1.5**2, rel=0.1)
    rows, columns = np.nonzero(mask)
    assert abs(rows.mean() - 50) < 4
    assert abs(columns.mean() - 50) < 4
    changed = crop != before
    assert changed[mask > 0].mean() > 0.95
    assert changed[mask == 0].mean() < 0.02
    assert (crop[mask > 0] >= before[mask > 0]).all()
    assert crop.max() <= 1.5
    overlap = (mask > 0) & (before > 0)
    assert crop[overlap].mean() < 1.0 + 0.5 + 1e-6


def test_nothing_is_pasted_where_it_would_be_hidden_or_outside() -> None:
    cutout = Cutout(np.ones((30, 10), np.float32), np.ones((30, 10), np.uint8), 1.0)
    crop = np.zeros((60, 60), np.float32)
    for taken, centre in ((np.ones((60, 60), bool), (30.0, 30.0)), (crop > 0, (200.0, 30.0)), (crop > 0, (0.0, -12.0))):
        assert paste(crop, taken, cutout, np.array(centre), 1.0, np.random.default_rng(0)) is None
    assert not crop.any()


def test_debris_stays_off_chromosomes() -> None:
    crop = np.zeros((100, 100), np.float32)
    taken = np.zeros((100, 100), bool)
    taken[40:60] = True
    for seed in range(20):
        add_debris(crop, taken, np.random.default_rng(seed))
    assert not crop[taken].any()
    assert crop[~taken].max() > 0.3
    assert crop.max() <= 1.5


def test_crops_with_pasted_chromosomes_hold_their_truth() -> None:
    cell = rods((10, 10, 20, 40), (60, 20, 70, 60), (30, 80, 70, 90))
    crops = DetectCrops([cell], 96, (0.9, 1.1), 0, ChromosomeBank([cell]))
    plain = DetectCrops([cell], 96, (0.9, 1.1), 0)
    more = 0
    for draw in range(24):
        image, target = crops[0, draw]
        again, same = crops[0, draw]
        assert torch.equal(image, again)
        assert torch.equal(target["masks"], same["masks"])
        assert len(target["boxes"]) == len(target["masks"]) == len(target["mask_ok"])
        more += len(target["boxes"]) - len(plain[0, draw][1]["boxes"])
        for box, mask in zip(target["boxes"], target["masks"], strict=True):
            rows, columns = torch.nonzero(mask, as_tuple=True)
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert image[0][mask > 0].mean() > 0.3
    assert more > 12


def test_images_with_boxes_only_are_partly_made_up_of_known_masks() -> None:
    cell = rods((10, 10, 20, 40), (60, 20, 70, 60), (30, 80, 70, 90), masks=False)
    bank = ChromosomeBank([rods((10, 10, 20, 40), (60, 20, 70, 60))])
    crops = DetectCrops([cell], 96, (0.9, 1.1), 0, bank)
    targets = [crops[0, draw][1] for draw in range(30)]
    made_up = [target for target in targets if len(target["mask_ok"]) and bool(target["mask_ok"].all())]
    assert 3 <= len(made_up) <= 20
    assert any(bool((~target["mask_ok"]).any()) for target in targets)
