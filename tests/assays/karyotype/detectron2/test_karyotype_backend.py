"""The same weights and image in detectron2 and here: boxes, scores and masks to 1e-3. Skipped where it is absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from test_karyotype_convert import SMALL

from cellscope.assays.karyotype.detect.inputs import network_input
from cellscope.assays.karyotype.detectron2.backend import Detectron2Network, NativeWeights, configuration
from cellscope.assays.karyotype.detectron2.convert import convert
from cellscope.assays.karyotype.networks.chrrender import ChrRender
from cellscope.assays.karyotype.options import TrainOptions

pytest.importorskip("detectron2", reason="detectron2 is not installed")

BOTTLENECKS = {"backbone": "resnet50", "stride_in_1x1": True}


def shaken(network: torch.nn.Module, spread_of_scores: float) -> None:
    """Random weights that find something, and statistics that matter; saturated scores would tie."""
    draw = torch.Generator().manual_seed(0)
    spreads = {"cls_score.weight": spread_of_scores, "objectness_logits.weight": 0.05, "bbox_pred.weight": 0.02,
               "anchor_deltas.weight": 0.02, "predictor.weight": 0.1, "prediction.weight": 0.1}  # fmt: skip
    for name, value in network.named_parameters():
        for ending, spread in spreads.items():
            if name.endswith(ending):
                value.data.normal_(0, spread, generator=draw)
        if name.endswith("bias"):
            value.data.normal_(0, 0.1, generator=draw)
    for name, value in network.named_buffers():
        if name.endswith(("running_mean", "norm.bias")):
            value.normal_(0, 0.1, generator=draw)
        elif name.endswith(("running_var", "norm.weight")):
            value.uniform_(0.4, 0.9, generator=draw)


@pytest.mark.parametrize(
    ("mask", "changes"), [("points", {}), ("points", BOTTLENECKS), ("conv", {}), ("conv", BOTTLENECKS), ("none", {})]
)
def test_boxes_scores_and_masks_are_detectron2s(mask: str, changes: dict) -> None:
    torch.manual_seed(0)
    theirs = Detectron2Network({**SMALL, "mask": mask, **changes}).eval()
    shaken(theirs, 0.02 if changes else 0.05)
    cfg = configuration({**SMALL, "mask": mask, **changes})
    import yaml

    card, tensors = convert(theirs.model.state_dict(), yaml.safe_load(cfg.dump()), classes=[], score_threshold=0.5)
    ours = ChrRender(**card.arch_args).eval()
    ours.load_state_dict(tensors)
    # Sides that are no multiples of 64: the coarsest level is where strides go wrong.
    image = [torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 170, 205)).astype(np.float32))]
    with torch.inference_mode():
        (want,), (have,) = theirs(image), ours(image)
    assert len(want["boxes"]) > 20
    for name in ("boxes", "scores", "labels", *(["masks"] if mask != "none" else [])):
        torch.testing.assert_close(have[name].float(), want[name].float(), atol=1e-3, rtol=0)


def test_images_are_resized_as_detectron2_resizes_them() -> None:
    from detectron2.data.transforms import ResizeShortestEdge

    pixels = np.random.default_rng(0).integers(0, 256, (90, 131, 3)).astype(np.uint8)
    want = ResizeShortestEdge([200, 200], 300).get_transform(pixels).apply_image(pixels[..., ::-1])
    card = {"kind": "resized", "tone": "raw", "order": "BGR", "min_size": 200, "max_size": 300}
    item, _ = network_input(card, pixels, pixels[..., 0].astype(np.float32))
    np.testing.assert_array_equal(item, want.astype(np.float32).transpose(2, 0, 1))


@pytest.mark.parametrize("mask", ["points", "conv", "none"])
def test_it_trains_and_leaves_a_model_that_runs_without_it(
    karyotype_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mask: str
) -> None:
    from cellscope.assays.karyotype.networks import detectors
    from cellscope.assays.karyotype.training.train import train
    from cellscope.models.file import load_model

    names = ("backbone", "stages", "fpn_channels", "anchor_sizes", "box_hidden", "mask_hidden", "point_hidden", "steps")
    arguments = {**{name: SMALL[name] for name in names}, "fpn_norm": False, "mask": mask}
    monkeypatch.setitem(detectors.ARCHS, "small", arguments)
    options = TrainOptions(
        part="detect", arch="small", backend="detectron2", square=96, steps=2, batch_size=2, num_workers=0,
        device="cpu", precision="32", val_every=2, val_limit=1, half=False, learning_rate=1e-4,
    )  # fmt: skip
    train(karyotype_dataset, tmp_path, options, argv=[])
    assert {"model.safetensors", "last.ckpt", "metrics.csv", "config.toml", "run.json", "curves.png"} <= {
        path.name for path in tmp_path.iterdir()
    }
    card, tensors = load_model(tmp_path / "model.safetensors", assay="karyotype", part="detect")
    ours = ChrRender(**card.arch_args).eval()
    ours.load_state_dict(tensors)
    theirs = Detectron2Network(card.arch_args).eval()
    NativeWeights(theirs).load_state_dict(tensors)
    image = [torch.rand(1, 96, 96)]
    with torch.inference_mode():
        (want,), (have,) = theirs(image), ours(image)
    torch.testing.assert_close(have["boxes"], want["boxes"], atol=1e-3, rtol=0)
    torch.testing.assert_close(have["scores"], want["scores"], atol=1e-3, rtol=0)
