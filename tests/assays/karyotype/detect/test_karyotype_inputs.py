"""What a detector is shown: canonical scale, the paper's square, detectron2's shortest edge; and the way back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from drawn.karyotype import metaphase

from cellscope.assays.karyotype.detect.detections import Detection, detections_of, with_foreground
from cellscope.assays.karyotype.detect.inputs import as_colour8, network_input, resized_shape
from cellscope.assays.karyotype.training.detector_data import Metaphase
from cellscope.assays.karyotype.training.resized_data import DetectResized
from cellscope.errors import ModelError

SQUARE = {"kind": "resized", "tone": "normalised", "square": 128}


def loaded(seed: int = 0) -> Metaphase:
    cell = metaphase(seed, crossing=0, touching=0)
    boxes = cell.boxes.astype(np.float32)
    masks = [
        mask[int(y0) : int(y1), int(x0) : int(x1)] for mask, (x0, y0, x1, y1) in zip(cell.masks, boxes, strict=True)
    ]
    image = cell.pixels.astype(np.float32) / 255
    return Metaphase("s/a", "s", image, 1.0, boxes, masks, boxes[:, :2].astype(int), [], cell.classes)


def test_the_square_is_not_square_with_the_image() -> None:
    normalised = np.random.default_rng(0).random((200, 400)).astype(np.float32)
    item, scale = network_input(SQUARE, normalised, normalised)
    assert item.shape == (1, 128, 128)
    np.testing.assert_allclose(scale, [128 / 400, 128 / 200])
    assert item.mean() == pytest.approx(normalised.mean(), abs=0.01)


def test_raw_colours_come_in_the_order_asked_for() -> None:
    pixels = np.zeros((30, 60, 3), np.uint8)
    pixels[..., 0] = 200  # red
    card = {"kind": "resized", "tone": "raw", "order": "BGR", "min_size": 60, "max_size": 1333}
    item, scale = network_input(card, pixels, pixels[..., 0].astype(np.float32))
    assert item.shape == (3, 60, 120)
    assert item[:, 0, 0].tolist() == [0, 0, 200]
    np.testing.assert_allclose(scale, [2, 2])


def test_the_longest_side_limits_the_shortest() -> None:
    assert resized_shape({"min_size": 800, "max_size": 1333}, (500, 2000)) == (333, 1333)


def test_deep_images_fill_eight_bits() -> None:
    deep = np.linspace(1000, 3000, 12_000, dtype=np.float32).reshape(100, 120).astype(np.uint16)
    shown = as_colour8(deep)
    assert shown.shape == (100, 120, 3)
    assert (shown.min(), shown.max()) == (0, 255)


def test_a_card_from_the_future_is_refused() -> None:
    with pytest.raises(ModelError, match="hologram"):
        network_input({"kind": "hologram"}, np.zeros((9, 9)), np.zeros((9, 9), np.float32))


def test_targets_go_with_their_image_and_back() -> None:
    truth = loaded()
    views = DetectResized([truth], SQUARE, 0.0, seed=0)
    image, target = views[0, 0]
    assert image.shape == (1, 128, 128)
    for box, mask in zip(target["boxes"].numpy(), target["masks"].numpy(), strict=True):
        rows, columns = np.nonzero(mask)
        np.testing.assert_allclose([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], box, atol=1.5)
    back = detections_of(
        {"boxes": target["boxes"], "scores": torch.ones(len(target["boxes"]))}, truth.scale, truth.image.shape
    )
    np.testing.assert_allclose([one.bbox for one in back], truth.boxes, atol=1.01)


def test_a_flip_moves_boxes_with_masks() -> None:
    flipped, plain = DetectResized([loaded()], SQUARE, 1.0, seed=0), DetectResized([loaded()], SQUARE, 0.0, seed=0)
    (image_a, a), (image_b, b) = flipped[0, 3], plain[0, 3]
    torch.testing.assert_close(image_a, image_b.flip(2))
    torch.testing.assert_close(a["masks"], b["masks"].flip(2))
    torch.testing.assert_close(a["boxes"][:, [0, 2]], 128 - b["boxes"][:, [2, 0]])
    assert (a["boxes"][:, 2] > a["boxes"][:, 0]).all()


def test_boxes_alone_take_the_foreground_inside() -> None:
    normalised = np.zeros((60, 60), np.float32)
    normalised[10:40, 20:30] = 1
    found = with_foreground(
        [
            Detection(np.array([15, 5, 35, 45]), np.ones((40, 20), bool), 0.9),
            Detection(np.array([45, 45, 55, 55]), np.ones((10, 10), bool), 0.8),
        ],
        normalised,
    )
    assert found[0].bbox.tolist() == [15, 5, 35, 45]
    assert found[0].area == pytest.approx(300, rel=0.25)
    assert found[1].area == 100  # nothing there: the box stays whole


def test_a_training_on_squares_leaves_a_model_that_predicts_on_squares(karyotype_dataset: Path, tmp_path: Path) -> None:
    from cellscope.assays.karyotype.options import TrainOptions
    from cellscope.assays.karyotype.training.train import train
    from cellscope.models.file import read_card

    options = TrainOptions(
        part="detect", arch="chrrender-test", square=64, steps=1, batch_size=1, num_workers=0, device="cpu",
        precision="32", val_every=1, val_limit=1, frozen_norm=True,
    )  # fmt: skip
    train(karyotype_dataset, tmp_path, options, argv=[])
    card = read_card(tmp_path / "model.safetensors")
    assert card.normalisation == {"kind": "resized", "tone": "normalised", "square": 64}
    assert card.arch_args["frozen_norm"] is True
