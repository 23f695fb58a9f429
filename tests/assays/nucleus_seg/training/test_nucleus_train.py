"""Losses, averaged weights, presets, crops."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from drawn.nucleus_seg import smear
from scipy import ndimage
from touching_pairs import is_single, touching_pair

from cellscope.assays.nucleus_seg.classes import NUCLEUS, OUTSIDE, cells_of, nucleus_diameter
from cellscope.assays.nucleus_seg.options import TrainOptions
from cellscope.assays.nucleus_seg.training.appearance import borrow_stain, change_appearance, stain_red_cells
from cellscope.assays.nucleus_seg.training.crops import Crops, Smear, Whole, cell_distance, contact, load_smears
from cellscope.assays.nucleus_seg.training.paste import paste_neighbour
from cellscope.assays.nucleus_seg.training.train import _check_form, segmentation_loss
from cellscope.errors import ModelError
from cellscope.io.prepared import PreparedDataset
from cellscope.models.file import ModelCard, save_model

SETTINGS = {"dice_weight": 0.0, "distance_weight": 0.0, "distance_head": False}


def one(seed: int = 0, shape: tuple[int, int] = (96, 96), radius: int = 14) -> Smear:
    image, mask = smear(seed, shape, radius=radius)
    return Smear(f"made/{seed}", "made", image, mask, cells_of(mask), nucleus_diameter(mask) or 0, 1.0)


def logits_of(*probabilities: float) -> torch.Tensor:
    return torch.log(torch.tensor(probabilities))[None, :, None, None]


def test_cross_entropy_by_hand() -> None:
    outputs = logits_of(0.2, 0.3, 0.5)
    for truth, p in ((0, 0.2), (1, 0.3), (2, 0.5), (3, 0.5)):  # 3: not a nucleus, so background or cytoplasm
        loss, _ = segmentation_loss(outputs, torch.full((1, 1, 1), truth), torch.zeros(1, 1, 1), **SETTINGS)
        assert loss.item() == pytest.approx(-np.log(p), rel=1e-5)
    two = logits_of(0.4, 0.6)
    for truth, p in ((0, 0.4), (1, 0.4), (2, 0.6), (3, 0.4)):
        loss, _ = segmentation_loss(two, torch.full((1, 1, 1), truth), torch.zeros(1, 1, 1), **SETTINGS)
        assert loss.item() == pytest.approx(-np.log(p), rel=1e-5)


def test_where_two_numbered_nuclei_meet_the_distance_is_known_without_cytoplasm() -> None:
    mask = np.full((96, 96), OUTSIDE, np.uint8)
    mask[30:60, 18:78] = NUCLEUS
    numbers = np.where(mask == NUCLEUS, 1, 0)
    numbers[:, 48:] *= 2
    options = replace(
        TrainOptions(), crop=96, diameter=0.0, augment="none", pair_rate=0.0, placing="centre", scale_jitter=0.0
    )
    image = np.full((96, 96, 3), 200, np.uint8)
    for cells, where in ((cells_of(mask, numbers), (30, 60, 47, 49)), (cells_of(mask), (0, 0, 0, 0))):
        smear = Smear("made/0", "made", image, mask, cells, 30.0, 1.0)
        _, _, distance, _ = Crops([smear], options)[0, 0]
        known = np.zeros((96, 96), bool)
        known[where[0] : where[1], where[2] : where[3]] = True
        # At the ends of the line a window of 3 x 3 pixels also holds both.
        assert ((distance.numpy() == 0) >= known).all()
        assert set(np.unique(distance[~torch.from_numpy(known)][:, None])) <= {-1.0, 0.0}
        assert int((distance == 0).sum()) == (known.sum() + 4 if known.any() else 0)


def test_dice_and_distance() -> None:
    classes = torch.tensor([[[0, 1, 2, 2]]])
    sure = torch.nn.functional.one_hot(classes, 3).movedim(-1, 1).float() * 40
    distance = torch.tensor([[[0.0, 0.2, 1.0, 0.5]]])
    outputs = torch.cat([sure, torch.logit(distance, eps=1e-6)[:, None]], 1)
    settings = {"dice_weight": 1.0, "distance_weight": 1.0, "distance_head": True}
    assert segmentation_loss(outputs, classes, distance, **settings)[0].item() == pytest.approx(0, abs=1e-4)
    wrong, parts = segmentation_loss(outputs.roll(1, -1), classes, distance, **settings)
    assert wrong.item() > 10
    assert set(parts) == {"loss_entropy", "loss_dice", "loss_distance", "loss"}
    unknown, _ = segmentation_loss(outputs, torch.full_like(classes, 3), -torch.ones_like(distance), **settings)
    assert torch.isfinite(unknown)


def test_crops_follow_from_their_number_alone(nucleus_dataset: Path) -> None:
    prepared = PreparedDataset.open(nucleus_dataset, assay="nucleus-seg")
    smears = load_smears(prepared, "train", limit=None, diameter=56.0)
    options = TrainOptions(crop=64, pair_rate=1.0)
    crops = Crops(smears, options)
    for draw in range(6):
        image, classes, distance, touching = crops[draw % len(smears), draw]
        assert image.shape == (3, 64, 64)
        assert 0 <= image.min() <= image.max() <= 1
        assert set(classes.unique().tolist()) <= {0, 1, 2}
        assert distance.max() <= 1
        assert ((distance > 0) == (classes > 0)).float().mean() > 0.98
        assert (touching.dtype, touching.shape) == (torch.bool, classes.shape)
        again = Crops(smears, options)[draw % len(smears), draw]
        assert torch.equal(again[0], image)
    plain = Crops(smears, replace(options, augment="none", pair_rate=0.0, crop=96, diameter=0.0))
    assert plain[0, 1][0].shape == (3, 96, 96)


def test_a_pasted_neighbour_touches_and_is_another_cell() -> None:
    rng = np.random.default_rng(0)
    base, other = one(1, (128, 128)), one(2, (128, 128))
    image, mask, cells = paste_neighbour(base.image, base.mask, base.cells, (other.image, other.mask, other.cells), rng)
    assert cells.max() == 2
    assert cells_of(mask).max() == 1  # one connected piece
    distance = cell_distance(cells)
    for number in (1, 2):
        assert distance[cells == number].max() == 1
    assert (image != base.image).any()
    empty = np.zeros_like(base.cells)
    unchanged = paste_neighbour(base.image, base.mask, empty, (other.image, other.mask, other.cells), rng)
    assert unchanged[2] is empty


def test_pasted_nuclei_touch_when_asked_to() -> None:
    base, other = one(1, (128, 128)), one(2, (128, 128))
    view = (other.image, other.mask, other.cells)
    gaps = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        _, mask, cells = paste_neighbour(base.image, base.mask, base.cells, view, rng, touch_rate=1.0)
        first, second = ((mask == NUCLEUS) & (cells == number) for number in (1, 2))
        assert first.sum() >= 50
        assert second.sum() >= 30
        gaps.append(cv2.distanceTransform((~first).astype(np.uint8), cv2.DIST_L2, 5)[second].min())
    # Where the second cell lies on top, its cytoplasm may cover the rim of the first nucleus.
    assert np.median(gaps) <= 2


def test_contact_is_where_two_cells_meet() -> None:
    cells = np.zeros((20, 20), np.int32)
    cells[5:15, 3:10] = 1
    cells[5:15, 10:17] = 2
    touching = contact(cells, reach=2)
    assert touching[8, 8:12].all()
    assert not touching[8, :8].any()
    assert not touching[8, 12:].any()
    assert not contact(np.where(cells == 2, 0, cells)).any()


def test_emphasis_weighs_the_distance_error() -> None:
    outputs, classes = torch.zeros(1, 4, 2, 2), torch.zeros(1, 2, 2, dtype=torch.int64)
    settings = {"distance_head": True, "dice_weight": 0.0, "distance_weight": 1.0}
    distance = torch.tensor([[[0.0, 0.5], [0.5, 0.5]]])
    _, plain = segmentation_loss(outputs, classes, distance, **settings)
    weight = torch.tensor([[[5.0, 1.0], [1.0, 1.0]]])
    _, weighed = segmentation_loss(outputs, classes, distance, **settings, emphasis=weight)
    assert weighed["loss_distance"].item() == pytest.approx(5 * plain["loss_distance"].item())


def test_pairs_have_touching_nuclei() -> None:
    first, second = one(1), one(2, (128, 128), 22)
    assert is_single(first)
    assert not is_single(one(3, (28, 28)))
    image = touching_pair(first, second, np.random.default_rng(0))
    dark = image[..., 1] < 110
    apart, count = ndimage.label(dark)
    assert np.bincount(apart.ravel())[1:].max() < 1.5 * np.pi * 14**2  # the soft rim between them is lighter
    numbers, _ = ndimage.label(ndimage.binary_dilation(dark, iterations=2))
    assert np.bincount(numbers.ravel())[1:].max() > 1.7 * np.pi * 14**2  # but no wider than four pixels
    assert count >= 2


def test_appearance_changes_colour_not_place() -> None:
    image, mask = smear(0)
    for seed in range(20):
        changed = change_appearance(image, np.random.default_rng(seed))
        assert changed.shape == image.shape
        assert changed.dtype == np.uint8
        # the nucleus stays the darkest of the three classes
        grey = changed.mean(2)
        assert grey[mask == 255].mean() < grey[mask == 0].mean()


def test_borrowed_stain_takes_background_and_nuclei_to_the_other_image() -> None:
    image, mask = smear(0)
    other, other_mask = smear(1)
    other = (other * np.array([0.8, 0.9, 0.6])).astype(np.uint8)  # another lamp

    def means(rgb: np.ndarray, codes: np.ndarray) -> np.ndarray:
        outside = rgb[codes == 0]
        bright = outside[outside[:, 1] >= np.median(outside[:, 1])]
        return np.stack([rgb[codes == 255].mean(0), bright.mean(0)])

    class Whole_(np.random.Generator):
        """Draws the whole way."""

        def uniform(self, low=0.0, high=1.0, size=None):  # type: ignore[override,no-untyped-def]
            return high

    changed = borrow_stain(image, mask, other, other_mask, Whole_(np.random.PCG64(0)))
    before = np.abs(means(image, mask) - means(other, other_mask)).max()
    assert np.abs(means(changed, mask) - means(other, other_mask)).max() < 0.35 * before
    assert borrow_stain(image, np.zeros_like(mask), other, other_mask, np.random.default_rng(0)) is image


def test_red_cells_are_stained_and_nuclei_are_not() -> None:
    image, mask = smear(0)
    image[:12, :12] = (205, 150, 150)  # a red cell in the corner
    assert (mask[:12, :12] == 0).all()
    reds = []
    for seed in range(12):
        changed = stain_red_cells(image, mask, np.random.default_rng(seed))
        inner = cv2.erode((mask == 255).astype(np.uint8), np.ones((9, 9))) > 0
        assert np.abs(changed[inner].astype(int) - image[inner]).max() <= 2
        reds.append(float(changed[2:10, 2:10].mean()))
        assert changed[2:10, 2:10].mean() > changed[inner].mean()  # never as dark as a nucleus
    assert min(reds) < image[2:10, 2:10].mean() - 15 < image[2:10, 2:10].mean() + 3 < max(reds)


def test_whole_images_come_at_the_networks_scale() -> None:
    whole = Whole([one(0)], diameter=56.0)
    image, index = whole[0]
    assert index == 0
    assert image.shape == (3, 192, 192)
    assert Whole([one(0)], 0)[0][0].shape == (3, 96, 96)


def test_the_papers_crops_are_the_image_in_the_middle_on_black() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(50, 255, (40, 60, 3), dtype=np.uint8)
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 20:40] = NUCLEUS
    smear = Smear("a/1", "a", image, mask, (mask > 0).astype(np.int32), 20.0, 1.0)
    options = TrainOptions(preset="msff-segnext", crop=64)
    crops = Crops([smear], options)
    pixels, classes, *_ = crops[0, 3]
    expected = np.zeros((64, 64, 3), np.float32)
    expected[12:52, 2:62] = image / 255
    np.testing.assert_allclose(pixels.numpy().transpose(1, 2, 0), expected, atol=1 / 255)
    assert (classes == 2).sum() == 400
    assert all(torch.equal(one, other) for one, other in zip(crops[0, 3], crops[0, 9], strict=True))


def test_a_hamburger_of_another_form_is_no_start(tmp_path: Path) -> None:
    """Group and batch normalisation have tensors of the same shapes, so that the weights alone would seem to fit."""
    for form in ("published", "equation"):
        card = ModelCard(
            "nucleus-seg", "nuclei", "msff-segnext", {"hamburger": form}, ("nucleus",), ("red",), {}, None, {}, {}, {},
            "0",
        )  # fmt: skip
        save_model(tmp_path / f"{form}.safetensors", {"x": torch.zeros(1)}, card)
    own = {"hamburger": "equation"}
    _check_form(own, str(tmp_path / "equation.safetensors"))
    _check_form(own, "none")
    _check_form({}, str(tmp_path / "published.safetensors"))
    with pytest.raises(ModelError, match="train with --set hamburger=published"):
        _check_form(own, str(tmp_path / "published.safetensors"))
