"""The ResNets of the detectors give what timm's give, bit for bit."""

from __future__ import annotations

import pytest
import torch

from cellscope.assays.karyotype.networks.resnets import RESNETS, ResNetStages
from cellscope.assays.karyotype.networks.trunk import Trunk
from cellscope.nn.folding import fold_norms
from cellscope.nn.pretrained import timm_network


@pytest.mark.parametrize(("name", "stages", "channels"), [("resnet18", 3, 1), ("resnet50", 4, 3)])
def test_the_same_maps_as_timm(name: str, stages: int, channels: int) -> None:
    torch.manual_seed(0)
    ours = ResNetStages(name, stages, channels).eval()
    places = tuple(range(1, stages + 1))
    theirs = timm_network(name, features_only=True, out_indices=places, in_chans=channels).eval()
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.data.normal_()
    ours.load_state_dict(theirs.state_dict())
    assert ours.channels == theirs.feature_info.channels()
    images = torch.randn(2, channels, 64, 96)
    with torch.no_grad():
        maps = ours(images)
        assert [tuple(one.shape[-2:]) for one in maps] == [(64 >> n, 96 >> n) for n in range(2, 2 + stages)]
        assert all(torch.equal(one, other) for one, other in zip(maps, theirs(images), strict=True))
        assert fold_norms(ours) == fold_norms(theirs) > 0
        assert all(torch.equal(one, other) for one, other in zip(ours(images), theirs(images), strict=True))


def test_every_resnet_is_known_to_timm_by_the_same_weights() -> None:
    for name in RESNETS[:3]:
        theirs = timm_network(name, features_only=True, out_indices=(1, 2, 3, 4)).state_dict()
        assert set(ResNetStages(name, 4, 3).state_dict()) == set(theirs)


def test_other_backbones_still_come_from_timm() -> None:
    trunk = Trunk("resnet10t", 3, 16, False, False)
    with torch.no_grad():
        maps = trunk(torch.zeros(1, 1, 64, 64))
    assert {name: tuple(one.shape[1:]) for name, one in maps.items()} == {
        "0": (16, 16, 16), "1": (16, 8, 8), "2": (16, 4, 4), "pool": (16, 2, 2),
    }  # fmt: skip
