"""The networks the paper compares with: sizes, and that each trains and finds."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from cellscope.assays.karyotype.networks import baselines, detectors
from cellscope.assays.karyotype.networks.chrnet import build_classifier, classify_views
from cellscope.assays.karyotype.networks.chrrender import ChrRender
from cellscope.assays.karyotype.options import TrainOptions
from cellscope.errors import ModelError, UsageError

TINY = {**detectors.ARCHS["chrrender-test"], "fpn_norm": True}


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("arch", "mebibytes", "without"),
    [("resnet50", 89.96, "convolution biases"), ("resnext50", 87.85, ""), ("se-resnet50", 99.46, "")],
)
def test_parameters_of_the_papers_table_ii(arch: str, mebibytes: float, without: str) -> None:
    network = build_classifier(arch, classes=24)
    parameters = count(network)
    if without:
        parameters += sum(one.out_channels for one in network.modules() if isinstance(one, nn.Conv2d))
    assert round(parameters * 4 / 2**20, 2) == mebibytes


def test_se_layers_have_no_biases() -> None:
    network = build_classifier("se-resnet50", classes=24)
    assert not [name for name, _ in network.named_parameters() if ".se." in name and name.endswith("bias")]


def test_a_baseline_answers_as_chrnet_does() -> None:
    torch.manual_seed(0)
    network = baselines.Baseline(classes=5, backbone="resnet10t").eval()
    scores, up = classify_views(network, torch.rand(2, 1, 64, 32))
    assert scores.shape == (2, 5)
    assert up is None
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(2))


def test_imagenet_weights_are_for_the_baselines() -> None:
    with pytest.raises(UsageError, match="resnet50"):
        build_classifier("chrnet4", classes=24, pretrained=True)
    with pytest.raises(ModelError, match="se-resnet50"):
        build_classifier("vgg19", classes=24)


def test_imagenet_weights_of_a_file_reach_detector_and_baseline(tmp_path: Path) -> None:
    """Random numbers, saved as timm publishes weights, stand for those of ImageNet."""
    published = timm.create_model("resnet10t").state_dict()
    save_file(published, tmp_path / "resnet10t.safetensors")
    given = {"pretrained": True, "weights": tmp_path / "resnet10t.safetensors"}
    name = "layer2.0.conv1.weight"
    detector = ChrRender(**TINY, **given)
    assert torch.equal(detector.backbone.body.state_dict()[name], published[name])
    baseline = baselines.Baseline(classes=5, backbone="resnet10t", **given)
    assert torch.equal(baseline.body.state_dict()[name], published[name])


def test_the_file_is_for_imagenet_weights() -> None:
    with pytest.raises(UsageError, match="--imagenet is the file of --init imagenet"):
        TrainOptions(imagenet=Path("resnet50.safetensors"))


def test_chrrender_has_detectron2s_parameters() -> None:
    arguments = {**detectors.PUBLISHED, "backbone": "resnet50", "conventions": "detectron2", "frozen_norm": True}
    parameters = count(ChrRender(**arguments, in_channels=3))
    mask_branch = 14_208_305 + 198_402
    assert count(ChrRender(**arguments, in_channels=3, mask="none")) == parameters - mask_branch
    # Our box predictor has four rows more, for the background.
    assert round((parameters - 4 * 1025) / 1e6, 2) == 55.70


def sample() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    masks = torch.zeros(2, 96, 96, dtype=torch.uint8)
    masks[0, 10:60, 10:30] = 1
    masks[1, 30:80, 50:70] = 1
    boxes = torch.tensor([[10.0, 10, 30, 60], [50, 30, 70, 80]])
    return masks.sum(0, keepdim=True).float(), {"boxes": boxes, "masks": masks, "mask_ok": torch.ones(2).bool()}


@pytest.mark.parametrize(
    ("mask", "names"), [("conv", {"loss_mask"}), ("none", set()), ("points", {"loss_mask_coarse", "loss_mask_point"})]
)
@pytest.mark.parametrize("conventions", ["torchvision", "detectron2"])
@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
def test_every_mask_branch_trains_and_finds(mask: str, names: set[str], conventions: str, half: bool) -> None:
    torch.manual_seed(0)
    changes = {"mask": mask, "conventions": conventions, "score_threshold": 0.0, "proposals": 20}
    network = ChrRender(**(TINY | {"stages": 4, "anchor_sizes": (16, 32, 64, 128, 256)} | changes)).train()
    image, target = sample()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        losses = network([image, image], [target, dict(target)])
    assert {name for name in losses if "mask" in name} == names
    sum(losses.values()).backward()
    assert all(torch.isfinite(one.grad).all() for one in network.parameters() if one.grad is not None)
    network.eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        (found,) = network([image])
    assert len(found["boxes"]) > 0
    assert set(found["labels"].tolist()) == {1}
    assert ("masks" in found) == (mask != "none")
    if mask == "conv":
        assert found["masks"].shape[1:] == (28, 28)


def test_a_mask_r_cnn_learns_one_mask() -> None:
    torch.manual_seed(0)
    network = ChrRender(**(TINY | {"mask": "conv"}))
    head = network.render_head
    features = {name: torch.zeros(1, 16, side, side) for name, side in zip("012", (24, 12, 6), strict=True)}
    features["0"][0, 0, 4:12, 4:8] = 1  # pixels 16..32 by 16..48 of the 96 x 96 image
    boxes = [torch.tensor([[16.0, 16.0, 48.0, 48.0]])]
    truth = torch.zeros(1, 112, 112)
    truth[:, :, :56] = 1
    label = torch.zeros(1, dtype=torch.int64)
    optimiser = torch.optim.Adam(head.parameters(), 0.01)
    for _ in range(60):
        optimiser.zero_grad()
        sum(head.losses(features, boxes, label, truth, [(96, 96)]).values()).backward()
        optimiser.step()
    got = head.render(features, boxes, label, [(96, 96)])[0] > 0.5
    want = truth[0, ::4, ::4] > 0.5
    assert (got & want).sum() / (got | want).sum() > 0.85
