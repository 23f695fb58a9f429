"""Checkpoints of detectron2 without detectron2: names, order, settings, the command; and the backend that is absent."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from cellscope.assays.karyotype.detectron2 import backend
from cellscope.assays.karyotype.detectron2.convert import Settings, convert
from cellscope.assays.karyotype.detectron2.names import from_native, native_name, to_native
from cellscope.assays.karyotype.networks.chrrender import ChrRender
from cellscope.assays.karyotype.networks.conventions import AlignedPooler, ExactAnchors
from cellscope.cli.root import app
from cellscope.errors import ModelError, UsageError
from cellscope.models.file import load_model

SMALL = {
    "backbone": "resnet18",
    "stages": 4,
    "fpn_channels": 16,
    "anchor_sizes": (16, 32, 64, 128, 256),
    "box_hidden": 8,
    "mask_hidden": 8,
    "point_hidden": 8,
    "steps": 3,
    "fpn_norm": False,
    "conventions": "detectron2",
    "frozen_norm": True,
    "in_channels": 3,
    "classes": 2,
    "box_nms": 0.5,
    "max_detections": 100,
    "proposals": 1000,
    "pixel_mean": (103.53, 116.28, 123.675),
    "pixel_std": (1.0, 1.0, 1.0),
}


def foreign_name(name: str) -> str:
    """The inverse of `native_name`, written down apart from it."""
    rules = (
        (r"backbone\.body\.conv1\.", "backbone.bottom_up.stem.conv1."),
        (r"backbone\.body\.bn1\.", "backbone.bottom_up.stem.conv1.norm."),
        (r"backbone\.body\.layer1\.", "backbone.bottom_up.res2."),
        (r"backbone\.body\.layer2\.", "backbone.bottom_up.res3."),
        (r"backbone\.body\.layer3\.", "backbone.bottom_up.res4."),
        (r"backbone\.body\.layer4\.", "backbone.bottom_up.res5."),
        (r"\.bn(\d)\.", r".conv\1.norm."),
        (r"\.downsample\.0\.", ".shortcut."),
        (r"\.downsample\.1\.", ".shortcut.norm."),
        (r"rpn\.head\.conv\.0\.0\.", "proposal_generator.rpn_head.conv."),
        (r"rpn\.head\.cls_logits\.", "proposal_generator.rpn_head.objectness_logits."),
        (r"rpn\.head\.bbox_pred\.", "proposal_generator.rpn_head.anchor_deltas."),
        (r"box_head\.fc6\.", "box_head.fc1."),
        (r"box_head\.fc7\.", "box_head.fc2."),
        (r"^render_head\.", "roi_heads.mask_head."),
        *((rf"mask_head\.convs\.{n}\.", f"mask_head.mask_fcn{n + 1}.") for n in range(4)),
        *((rf"fpn\.inner_blocks\.{n}\.0\.", f"fpn_lateral{n + 2}.") for n in range(4)),
        *((rf"fpn\.layer_blocks\.{n}\.0\.", f"fpn_output{n + 2}.") for n in range(4)),
    )
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def checkpoint(**changes: object) -> tuple[ChrRender, dict[str, Tensor]]:
    """A small network and its weights as detectron2 would hold them."""
    torch.manual_seed(0)
    network = ChrRender(**(SMALL | changes)).eval()
    own = network.state_dict()
    for kind in ("weight", "bias"):
        own[f"roi_heads.box_predictor.bbox_pred.{kind}"][:4] = 0  # the background's rows, which detectron2 lacks
    network.load_state_dict(own)
    return network, from_native(own, [foreign_name(name) for name in own])


@pytest.mark.parametrize("mask", ["points", "conv", "none"])
def test_there_and_back(mask: str) -> None:
    network, foreign = checkpoint(mask=mask)
    assert all(native_name(name) for name in foreign)
    back = to_native(foreign | {"pixel_mean": torch.zeros(3, 1, 1)})
    own = network.state_dict()
    assert set(back) == set(own)
    for name, value in own.items():
        assert torch.equal(value, back[name]), name


def test_the_background_goes_from_last_to_first() -> None:
    _, foreign = checkpoint()
    foreign["roi_heads.box_predictor.cls_score.bias"] = torch.tensor([1.0, 2.0, 9.0])
    foreign["roi_heads.box_predictor.bbox_pred.bias"] = torch.arange(8.0)
    native = to_native(foreign)
    assert native["roi_heads.box_predictor.cls_score.bias"].tolist() == [9, 1, 2]
    assert native["roi_heads.box_predictor.bbox_pred.bias"].tolist() == [0, 0, 0, 0, *range(8)]


def test_names_of_old_files_and_predictors_for_all_classes() -> None:
    _, foreign = checkpoint()
    old = {}
    for name, value in foreign.items():
        name = re.sub(r"mask_head\.(coarse|point)_head\.", r"mask_\1_head.", name)
        old[re.sub(r"(mask_coarse_head)\.fc(\d)\.", r"\1.coarse_mask_fc\2.", name)] = value
    for kind in ("weight", "bias"):
        box = f"roi_heads.box_predictor.bbox_pred.{kind}"
        old[box] = old[box][:4]
    native = to_native(old)
    boxes = native["roi_heads.box_predictor.bbox_pred.weight"]
    assert torch.equal(boxes[4:8], boxes[8:12])
    assert "render_head.coarse_head.fc2.bias" in native


def test_other_networks_are_refused_by_name() -> None:
    _, foreign = checkpoint()
    with pytest.raises(ModelError, match=r"sem_seg_head\.predictor"):
        to_native(foreign | {"sem_seg_head.predictor.weight": torch.zeros(1)})
    with pytest.raises(ModelError, match="ImageNet backbone"):
        to_native({name: value for name, value in foreign.items() if name.startswith("backbone")})


def test_anchors_are_not_rounded_and_lie_at_fixed_strides() -> None:
    anchors = ExactAnchors(((32,), (64,)), ((0.5, 1.0, 2.0),) * 2)
    side = 32 * 2**0.5
    np.testing.assert_allclose(anchors.cell_anchors[0][0], [-side / 2, -side / 4, side / 2, side / 4], rtol=1e-6)
    from torchvision.models.detection.image_list import ImageList

    # Of a height of 96 the third and fourth level have 6 and 3 rows; torchvision would divide 20 by 3.
    maps = [torch.zeros(1, 1, 5, 5), torch.zeros(1, 1, 3, 3)]
    (found,) = anchors(ImageList(torch.zeros(1, 1, 20, 20), [(20, 20)]), maps)
    assert len(found) == 3 * (25 + 9)
    centres = (found[75:, :2] + found[75:, 2:]) / 2
    assert set(centres.unique().round().int().tolist()) == {0, 8, 16}


def test_the_pooler_is_exact_on_a_ramp() -> None:
    x = torch.arange(64.0) + 0.5
    features = {"0": (4 * x).expand(1, 1, 64, 64).contiguous(), "1": torch.zeros(1, 1, 32, 32)}
    pooled = AlignedPooler(["0", "1"], 2)(features, [torch.tensor([[40.0, 40.0, 80.0, 80.0]])], [(256, 256)])
    # The means of x over [40, 60] and [60, 80]; torchvision's default is half a pixel of the map off.
    torch.testing.assert_close(pooled[0, 0], torch.tensor([[50.0, 70.0], [50.0, 70.0]]))


def test_settings_come_from_the_configuration() -> None:
    config = {
        "MODEL": {"PIXEL_STD": [58.0, 57.0, 56.0], "RESNETS": {"STRIDE_IN_1X1": False}},
        "INPUT": {"FORMAT": "RGB", "MIN_SIZE_TEST": 256},
        "TEST": {"DETECTIONS_PER_IMAGE": 60},
    }
    settings = Settings(config, {})
    assert settings.std == (58.0, 57.0, 56.0)
    assert settings.sizes() == {"min_size": 256, "max_size": 1333}
    given = settings.arguments(1)
    assert (given["stride_in_1x1"], given["max_detections"], given["steps"]) == (False, 60, 3)
    assert Settings({}, {}).arguments(1)["stride_in_1x1"] is True
    assert Settings({}, {"pixel_mean": torch.tensor([1.0, 2, 3])}).mean == (1.0, 2.0, 3.0)
    with pytest.raises(UsageError, match="_BASE_"):
        Settings({"_BASE_": "x.yaml"}, {})
    with pytest.raises(ModelError, match="RGBA"):
        Settings({"INPUT": {"FORMAT": "RGBA"}}, {})
    with pytest.raises(ModelError, match="anchors"):
        Settings({"MODEL": {"ANCHOR_GENERATOR": {"SIZES": [[32, 64]]}}}, {}).arguments(1)


def test_class_names() -> None:
    _, foreign = checkpoint()
    assert convert(foreign, None, classes=[], score_threshold=0.5)[0].classes == ("class1", "class2")
    with pytest.raises(UsageError, match="has 2"):
        convert(foreign, None, classes=["one"], score_threshold=0.5)


@pytest.mark.parametrize("suffix", [".pth", ".pkl"])
def test_the_command(tmp_path: Path, suffix: str) -> None:
    network, foreign = checkpoint()
    source, target = tmp_path / f"model{suffix}", tmp_path / "model.safetensors"
    if suffix == ".pth":
        torch.save({"model": foreign}, source)
    else:
        import pickle

        source.write_bytes(pickle.dumps({"model": {name: value.numpy() for name, value in foreign.items()}}))
    (tmp_path / "config.yaml").write_text(
        json.dumps({"MODEL": {"ANCHOR_GENERATOR": {"SIZES": [[16], [32], [64], [128], [256]]}}})
    )
    words = ["karyotype", "import-detectron2", str(source), "-o", str(target), "--classes", "chromosome,nucleus"]
    words += ["--configuration", str(tmp_path / "config.yaml"), "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["out"] == str(target)
    card, tensors = load_model(target, assay="karyotype", part="detect")
    assert (card.arch, card.classes) == ("detectron2", ("chromosome", "nucleus"))
    assert card.normalisation["tone"] == "raw"
    image = [torch.rand(3, 64, 64) * 255]
    restored = ChrRender(**card.arch_args).eval()
    restored.load_state_dict(tensors)
    with torch.inference_mode():
        (expected,), (found,) = network(image), restored(image)
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr


def test_without_detectron2_the_backend_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("detectron2", "detectron2.modeling", "detectron2.projects"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=r"install it as detectron2\.readthedocs\.io"):
        backend.require()
    with pytest.raises(UsageError, match="--backend"):
        backend.Detectron2Network(SMALL)


def test_what_detectron2_cannot_train() -> None:
    from cellscope.assays.karyotype.networks.detectors import ARCHS

    with pytest.raises(UsageError, match="chrrender-50"):
        backend.training_arguments(ARCHS["chrrender-18s"])
    assert backend.training_arguments(ARCHS["mask-rcnn-50"])["conventions"] == "detectron2"
