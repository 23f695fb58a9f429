"""ChrNet and ChrRender: sizes, gradients, losses, determinism."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from drawn.networks import build_chrrender
from torch import nn

from cellscope.assays.karyotype.detectron2.backend import training_arguments
from cellscope.assays.karyotype.networks import chrnet, detectors
from cellscope.assays.karyotype.networks.box_heads import pad_images
from cellscope.assays.karyotype.networks.chrnet import CentreLoss, build_chrnet, classify_views, for_network
from cellscope.assays.karyotype.networks.chrrender import ChrRender
from cellscope.assays.karyotype.networks.conventions import exact_loss
from cellscope.assays.karyotype.networks.render_head import RenderHead
from cellscope.errors import ModelError


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def assert_every_parameter_learns(network: nn.Module) -> None:
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, f"{name} gets no gradient"
        assert torch.isfinite(parameter.grad).all(), f"{name} has a gradient that is not finite"


def target(size: int = 128, *, masks: bool = True) -> dict[str, torch.Tensor]:
    """Three upright bars, one of them crossing another."""
    boxes = torch.tensor([[10.0, 10, 26, 70], [60, 20, 76, 84], [40, 44, 100, 58]])
    painted = torch.zeros(3, size, size, dtype=torch.uint8)
    for mask, (x0, y0, x1, y1) in zip(painted, boxes.int().tolist(), strict=True):
        mask[y0:y1, x0:x1] = 1
    return {"boxes": boxes, "masks": painted, "mask_ok": torch.full((3,), masks)}


def empty(size: int = 128) -> dict[str, torch.Tensor]:
    return {
        "boxes": torch.zeros(0, 4),
        "masks": torch.zeros(0, size, size, dtype=torch.uint8),
        "mask_ok": torch.zeros(0, dtype=torch.bool),
    }


def picture(truth: dict[str, torch.Tensor], seed: int = 0) -> torch.Tensor:
    noise = torch.rand(1, *truth["masks"].shape[-2:], generator=torch.Generator().manual_seed(seed))
    return truth["masks"].sum(0, keepdim=True).clamp(max=1) * 0.9 + 0.1 * noise


# ---- the classifier


def test_chrnet4_has_the_papers_parameters() -> None:
    assert count(build_chrnet("chrnet4", classes=24)) == 16_355_160


def test_attention_has_two_linears_without_bias() -> None:
    network = build_chrnet("chrnet4", classes=24)
    blocks = [module for module in network.modules() if isinstance(module, chrnet.ChrBlock)]
    assert len(blocks) == 10
    for block in blocks:
        linears = [module for module in block.modules() if isinstance(module, nn.Linear)]
        assert [linear.bias for linear in linears] == [None, None]
        assert linears[0].in_features == 16 * linears[0].out_features


@pytest.mark.parametrize("arch", chrnet.ARCHS)
def test_chrnet_forward_and_backward(arch: str) -> None:
    torch.manual_seed(0)
    network = build_chrnet(arch, classes=24).train()
    views = for_network(torch.rand(2, 1, 128, 64), network.stem[0].in_channels)
    logits, polarity, features = network(views)
    assert logits.shape == (2, 24)
    assert features.shape == (2, network.feature_size)
    assert (polarity is None) == (arch == "chrnet4")
    loss = logits.square().mean() + (polarity.square().mean() if polarity is not None else 0)
    assert torch.isfinite(loss)
    loss.backward()
    assert_every_parameter_learns(network)


def test_unknown_architectures_are_named() -> None:
    with pytest.raises(ModelError, match="chrnet9"):
        build_chrnet("chrnet9", classes=24)
    with pytest.raises(ModelError, match="yolo"):
        build_chrrender("yolo")


def test_two_views_make_the_class_blind_to_the_half_turn_and_the_polarity_odd() -> None:
    torch.manual_seed(0)
    network = build_chrnet("chrnet4-test", classes=24).eval()
    views = torch.rand(3, 1, 128, 64)
    scores, up = classify_views(network, views)
    turned, down = classify_views(network, torch.flip(views, (2, 3)))
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(3))
    torch.testing.assert_close(turned, scores, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(down, -up, atol=1e-5, rtol=1e-5)
    assert up.abs().max() > 0


def test_centre_loss_by_hand() -> None:
    loss = CentreLoss(classes=2, features=2, rate=0.5).train()
    value = loss(torch.tensor([[2.0, 0.0], [4.0, 0.0]]), torch.tensor([0, 0]))
    # Half the squared distance per feature: (4 / 2 + 16 / 2) / 2 / 2.
    assert value.item() == pytest.approx(2.5)
    # Centre - rate * sum(centre - x) / (1 + n) = 0 + 0.5 * 6 / 3; the other class was not seen.
    np.testing.assert_allclose(loss.centres.numpy(), [[1, 0], [0, 0]])
    loss.eval()
    loss(torch.ones(1, 2), torch.tensor([1]))
    np.testing.assert_allclose(loss.centres.numpy(), [[1, 0], [0, 0]])


# ---- the detector


@pytest.mark.slow
@pytest.mark.parametrize("arch", detectors.ARCHS)
def test_chrrender_forward_and_backward(arch: str) -> None:
    torch.manual_seed(0)
    network = build_chrrender(arch).train()
    truth = target()
    losses = network([picture(truth, 0), picture(truth, 1)], [truth, target()])
    branch = detectors.ARCHS[arch].get("mask", "points")
    of_masks = {"points": {"loss_mask_coarse", "loss_mask_point"}, "conv": {"loss_mask"}, "none": set()}[branch]
    assert set(losses) == {"loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg"} | of_masks
    assert all(torch.isfinite(value) and value >= 0 for value in losses.values())
    sum(losses.values()).backward()
    assert_every_parameter_learns(network)
    network.eval()
    with torch.inference_mode():
        (output,) = network([picture(truth)])
    if branch == "none":
        assert "masks" not in output
    else:
        side = 28 if branch == "conv" else 28 * 2**network.render_head.steps
        assert output["masks"].shape == (len(output["boxes"]), side, side)
    assert all(torch.isfinite(value).all() for value in output.values())


def test_boxes_without_masks_give_no_mask_loss() -> None:
    torch.manual_seed(0)
    network = build_chrrender("chrrender-test").train()
    truth = target(masks=False)
    losses = network([picture(truth)], [truth])
    assert {"loss_classifier", "loss_box_reg"} <= set(losses)
    assert not [name for name in losses if "mask" in name]
    mixed = network([picture(truth), picture(truth)], [truth, target()])
    assert torch.isfinite(mixed["loss_mask_point"])


def test_an_image_without_chromosomes_trains() -> None:
    torch.manual_seed(0)
    network = build_chrrender("chrrender-test").train()
    for truths in ([empty()], [empty(), target()]):
        losses = network([picture(truth) for truth in truths], truths)
        assert all(torch.isfinite(value) for value in losses.values())
        sum(losses.values()).backward()


def test_a_blank_image_gives_finite_detections_or_none() -> None:
    torch.manual_seed(0)
    network = build_chrrender("chrrender-test", score_threshold=0.99).eval()
    with torch.inference_mode():
        (output,) = network([torch.zeros(1, 64, 96)])
    assert output["boxes"].shape == (0, 4)
    assert output["masks"].shape[0] == 0


def test_detections_are_deterministic_and_independent_of_the_batch() -> None:
    torch.manual_seed(0)
    network = build_chrrender("chrrender-test", score_threshold=0.0).eval()
    truth = target()
    first, second = picture(truth, 0), 1 - picture(truth, 1)
    with torch.inference_mode():
        (alone,) = network([first])
        (again,) = network([first])
        together = network([second, first])[1]
    assert len(alone["boxes"]) > 3
    for name, value in alone.items():
        assert torch.equal(value, again[name])
        torch.testing.assert_close(value, together[name], atol=1e-4, rtol=1e-3)


def test_boxes_stay_inside_an_image_that_is_padded() -> None:
    torch.manual_seed(0)
    network = build_chrrender("chrrender-test", score_threshold=0.0).eval()
    with torch.inference_mode():
        (output,) = network([torch.rand(1, 70, 101)])
    assert output["boxes"][:, [0, 2]].max() <= 101
    assert output["boxes"][:, [1, 3]].max() <= 70


def test_levels_and_anchor_sizes_must_agree() -> None:
    with pytest.raises(ModelError, match="anchor sizes"):
        build_chrrender("chrrender-test", anchor_sizes=(16, 32))


def test_the_mask_branch_learns_one_mask() -> None:
    torch.manual_seed(0)
    head = RenderHead(4, conv_channels=8, hidden=32, point_hidden=16, steps=1)
    features = torch.zeros(1, 4, 16, 16)
    features[0, 0, 4:12, 6:10] = 1  # pixels 24..40 by 16..48 of the 64 x 64 image
    boxes = [torch.tensor([[16.0, 8.0, 48.0, 56.0]])]
    truth = torch.zeros(1, 112, 112)
    truth[0, int(112 * 8 / 48) : int(112 * 40 / 48), int(112 * 8 / 32) : int(112 * 24 / 32)] = 1
    label = torch.zeros(1, dtype=torch.int64)
    optimiser = torch.optim.Adam(head.parameters(), 0.01)
    for _ in range(120):
        optimiser.zero_grad()
        loss = sum(head.losses(features, boxes, label, truth, (64, 64)).values())
        loss.backward()
        optimiser.step()
    mask = head.render(features, boxes, label, (64, 64))
    assert mask.shape == (1, 56, 56)
    want = truth[:, ::2, ::2] > 0.5
    got = mask > 0.5
    assert (got & want).sum() / (got | want).sum() > 0.85


def test_boxes_go_through_the_head_again_as_often_as_asked() -> None:
    torch.manual_seed(0)
    once = build_chrrender("chrrender-test", score_threshold=0.0, max_detections=5).eval()
    twice = build_chrrender("chrrender-test", score_threshold=0.0, max_detections=5, box_refinements=1).eval()
    twice.load_state_dict(once.state_dict())
    image = torch.rand(1, 96, 80)
    with torch.inference_mode():
        [first], [second] = once([image]), twice([image])
        features = twice.backbone(pad_images([image])[0])
        [boxes], [scores] = twice._refine(features, [first["boxes"]], [first["scores"]], [first["labels"]], [(96, 80)])
    torch.testing.assert_close(second["boxes"], boxes)
    torch.testing.assert_close(second["scores"], scores)
    assert not torch.allclose(first["boxes"], second["boxes"])
    assert boxes.min() >= 0
    assert boxes[:, 2].max() <= 80
    assert boxes[:, 3].max() <= 96


def test_centre_loss_of_equation_3_by_hand() -> None:
    loss = CentreLoss(classes=2, features=2, reduction="sum").eval()
    loss.centres.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    features, labels = torch.tensor([[3.0, 1.0], [0.0, 2.0]]), torch.tensor([0, 1])
    assert float(loss(features, labels)) == 2**2 + 1 + 2**2


def test_detectron2s_conventions_train_and_keep_the_first_layers() -> None:
    torch.manual_seed(0)
    arguments = training_arguments(
        {**detectors.PUBLISHED, "backbone": "resnet18", "fpn_channels": 16, "box_hidden": 16, "mask_hidden": 16}
        | {"point_hidden": 16}
    )
    network = ChrRender(**arguments).train()
    network.backbone.freeze_first()
    truth = target()
    losses = network([picture(truth)], [truth])
    assert {"loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg"} < set(losses)
    torch.stack(list(losses.values())).sum().backward()
    assert all(torch.isfinite(value) for value in losses.values())
    learnt = {name for name, value in network.named_parameters() if value.grad is not None}
    assert not any(name.startswith(("backbone.body.conv1", "backbone.body.layer1")) for name in learnt)
    assert any(name.startswith("backbone.body.layer2") for name in learnt)
    assert any(name.startswith("render_head") for name in learnt)


def test_the_box_loss_is_the_absolute_error() -> None:
    scores, labels = torch.zeros(2, 2), [torch.tensor([1, 0])]
    deltas = torch.zeros(2, 8)
    targets = [torch.tensor([[0.05, -0.5, 0.0, 1.0], [9.0, 9.0, 9.0, 9.0]])]
    _, boxes = exact_loss(scores, deltas, labels, targets)
    assert float(boxes) == pytest.approx(1.55 / 2)
