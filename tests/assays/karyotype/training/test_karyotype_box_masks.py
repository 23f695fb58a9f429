"""Masks drawn into annotated boxes: what is known stays, what disagrees is not believed, crops turn by any angle."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn.networks import Painter, build_chrrender, save_detector

from cellscope.assays.karyotype.datasets.metaphase import Metaphase
from cellscope.assays.karyotype.detect.detections import detections_of
from cellscope.assays.karyotype.networks.render_head import PointHead
from cellscope.assays.karyotype.training.box_masks import draw_masks, load_painter
from cellscope.assays.karyotype.training.detector_data import DetectCrops
from cellscope.assays.karyotype.training.paste import ChromosomeBank
from cellscope.errors import UsageError


def bars(margin: int = 0, known: tuple[bool, ...] = (False, False)) -> Metaphase:
    """Two upright bars of 12 x 60 pixels, boxes wider by `margin` all round; masks where `known`."""
    image = np.zeros((200, 200), np.float32)
    boxes, masks = [], []
    for x, told in zip((40, 120), known, strict=True):
        image[50:110, x : x + 12] = 1.0
        boxes.append([x - margin, 50 - margin, x + 12 + margin, 110 + margin])
        inside = np.pad(np.ones((60, 12), np.uint8), margin)
        masks.append(inside if told else None)
    offsets = np.array(boxes)[:, :2]
    return Metaphase("s/one", "s", image, 1.0, np.array(boxes, np.float32), masks, offsets, [], [None] * 2)


def test_masks_are_drawn_where_none_are_known() -> None:
    [drawn] = draw_masks([bars(known=(True, False))], Painter())  # type: ignore[arg-type]
    assert drawn.believed == [True, True]
    assert drawn.masks[0] is not None
    assert drawn.masks[1] is not None
    assert drawn.masks[0].all()
    assert drawn.masks[1].mean() > 0.95
    assert drawn.margin == 0
    whole = bars(known=(True, True))
    assert draw_masks([whole], Painter())[0] is whole  # type: ignore[arg-type]


def test_a_mask_that_does_not_fill_its_box_is_not_believed() -> None:
    half = replace(bars(known=(True, False)), margin=1.0)
    [drawn] = draw_masks([half], Painter(0.5))  # type: ignore[arg-type]
    assert drawn.believed == [True, False]
    assert all(mask is not None for mask in drawn.masks)
    assert len(ChromosomeBank([drawn]).cutouts["s"]) == 1  # the one not believed is not cut out
    _, target = DetectCrops([drawn], 200, (1.0, 1.0), 0)[0, 3]
    assert not target["mask_ok"].all()


def test_a_margin_that_no_lone_chromosome_told_is_taken_off() -> None:
    [drawn] = draw_masks([bars(margin=5, known=(True, False))], Painter())  # type: ignore[arg-type]
    assert drawn.margin == pytest.approx(5, abs=0.6)
    assert np.abs(drawn.boxes - bars().boxes).max() <= 1.0
    assert drawn.believed == [True, True]
    for mask, box, (x, y) in zip(drawn.masks, drawn.boxes, drawn.offsets, strict=True):
        assert mask is not None
        assert mask.shape == (int(np.ceil(box[3])) - y, int(np.ceil(box[2])) - x)
        assert mask.sum() == pytest.approx(12 * 60, rel=0.06)
    # Told before, it is not looked for again.
    [kept] = draw_masks([replace(bars(margin=5), margin=2.0)], Painter())  # type: ignore[arg-type]
    np.testing.assert_array_equal(kept.boxes, bars(margin=5).boxes)


def test_drawn_masks_turn_by_any_angle_and_boxes_follow() -> None:
    [drawn] = draw_masks([bars()], Painter())  # type: ignore[arg-type]
    crops = DetectCrops([drawn], 220, (1.0, 1.0), 0)
    oblique = 0
    for draw in range(40):
        _, target = crops[0, draw]
        for mask, (x0, y0, x1, y1) in zip(target["masks"].numpy(), target["boxes"].numpy(), strict=True):
            rows, columns = np.nonzero(mask)
            found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            assert np.abs(found - [x0, y0, x1, y1]).max() <= 2
            whole = min(x0, y0) > 0 and max(x1, y1) < 220
            oblique += whole and 16 < x1 - x0 < 56 and 16 < y1 - y0 < 56
    assert oblique > 4
    quarter = DetectCrops([bars()], 220, (1.0, 1.0), 0)
    for draw in range(20):
        for x0, y0, x1, y1 in quarter[0, draw][1]["boxes"].numpy():
            assert min(x1 - x0, y1 - y0) <= 12.5


@pytest.mark.parametrize("classes", [1, 3])
def test_points_are_decided_as_by_convolutions_of_both_inputs_together(classes: int) -> None:
    torch.manual_seed(0)
    head = PointHead(8, 6, classes).eval()
    fine, coarse = torch.randn(2, 8, 5), torch.randn(2, classes, 5)
    x = torch.cat([fine, coarse], 1)
    for layer in (head.fc1, head.fc2, head.fc3):
        x = torch.cat([layer(x).relu(), coarse], 1)  # type: ignore[operator]
    torch.testing.assert_close(head(fine, coarse), head.predictor(x))


def test_masks_in_boxes_are_those_of_a_detection() -> None:
    torch.manual_seed(0)
    network = build_chrrender("chrrender-test", score_threshold=0.0, max_detections=5).eval()
    image = torch.rand(1, 150, 130)
    with torch.inference_mode():
        [found] = network([image])
        again = network.masks_in(image, found["boxes"])
    assert len(found["boxes"]) == 5
    torch.testing.assert_close(again, found["masks"])


@pytest.mark.parametrize("refinements", [0, 1])
def test_an_image_without_any_chromosome_gives_no_boxes(refinements: int) -> None:
    network = build_chrrender("chrrender-test", score_threshold=1.0, box_refinements=refinements).eval()
    with torch.inference_mode():
        [found] = network([torch.rand(1, 64, 64)])
    assert found["boxes"].shape == (0, 4)
    assert detections_of(found, 1.0, (64, 64)) == []


@pytest.mark.parametrize("mask", ["points", "none"])
def test_only_a_network_that_draws_masks_is_taken(tmp_path: Path, mask: str) -> None:
    save_detector(tmp_path / "m.safetensors", mask=mask)
    if mask == "points":
        assert not load_painter(str(tmp_path / "m.safetensors")).training
        return
    with pytest.raises(UsageError, match="predicts no masks"):
        load_painter(str(tmp_path / "m.safetensors"))
