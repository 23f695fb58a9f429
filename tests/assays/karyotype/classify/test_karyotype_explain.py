"""Grad-CAM: what it is where it can be worked out another way, and its picture."""

from __future__ import annotations

import numpy as np
import torch

from cellscope.assays.karyotype.classify.explain import draw_explained, explain, grad_cam
from cellscope.assays.karyotype.networks.baselines import Baseline
from cellscope.assays.karyotype.networks.chrnet import build_chrnet, classify_views, for_network


def test_behind_an_average_and_a_linear_layer_it_is_the_class_activation_map() -> None:
    torch.manual_seed(0)
    network = build_chrnet("chrnet4-test", classes=24).eval()
    views = torch.rand(2, 1, 224, 224)  # seven rows after the last stage
    with torch.no_grad():
        best = classify_views(network, views)[0].argmax(1)
        expected = torch.zeros(2, 7, 7)
        for turn in ((), (2, 3)):
            maps = network.blocks(network.stem(for_network(views.flip(turn), network.in_channels))).flip(turn)
            expected += torch.relu(torch.einsum("bk,bkhw->bhw", network.fc.weight[best], maps))
        expected /= expected.flatten(1).max(1).values[:, None, None]
    torch.testing.assert_close(grad_cam(network, views), expected, atol=1e-4, rtol=1e-3)


def test_it_works_where_prediction_works_and_leaves_the_network_alone() -> None:
    torch.manual_seed(0)
    network = build_chrnet("chrnet4-test", classes=24).eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        heat = explain(network, list(torch.rand(3, 1, 128, 64)))
    assert [one.shape for one in heat] == [(8, 4)] * 3
    assert all(one.min() >= 0 and one.max() <= 1 for one in heat)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())


def test_only_what_changes_the_class_is_warm() -> None:
    torch.manual_seed(0)
    network = Baseline(classes=3, backbone="resnet10t").eval()
    views = torch.zeros(1, 1, 224, 224)
    views[..., :80, :80] = torch.rand(80, 80) * 3
    heat = grad_cam(network, views)[0]
    assert heat.shape == (7, 7)
    assert heat.min() >= 0
    assert heat.max() <= 1


def test_the_picture_has_a_pair_for_every_chromosome() -> None:
    views = [np.full((128, 64), 0.5, np.float32)] * 9
    picture = draw_explained(views, [np.eye(4, dtype=np.float32)] * 9, [f"{n}: X 0.90" for n in range(9)])
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    one_row = draw_explained(views[:2], [np.eye(4, dtype=np.float32)] * 2, ["a", "b"])
    assert picture.shape[0] > 1.8 * (one_row.shape[0] - 14)
    assert draw_explained([], [], []).ndim == 3
