"""Networks built without random numbers have the weights that they are given."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cellscope.engine.find import find_assay
from cellscope.engine.loading import load_models
from cellscope.models.file import load_model
from cellscope.models.registry import choose
from cellscope.nn.unset import weights_to_come


def test_nothing_is_drawn() -> None:
    state = torch.get_rng_state()
    with weights_to_come():
        nn.Sequential(nn.Conv2d(2, 3, 3), nn.Linear(3, 2), nn.GRU(2, 2))
        torch.empty(3).normal_()
        norm = nn.BatchNorm2d(3)
    assert torch.equal(torch.get_rng_state(), state)
    assert norm.weight.tolist() == [1, 1, 1]  # what is not random is set
    assert nn.Linear(3, 2).weight.std() > 0
    assert not torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", ["nucleus-seg", "mitosis", "karyotype", "micronucleus", "histo"])
def test_built_in_models_are_the_same(name: str) -> None:
    assay = find_assay(name)
    loaded = load_models(assay, [], torch.device("cpu"))
    for part, path in choose(name, assay.parts, []).items():
        card, tensors = load_model(path, assay=name, part=part)
        drawn = assay.build(card, tensors).state_dict()
        found = loaded.modules[part].state_dict()
        assert drawn.keys() == found.keys()
        assert all(torch.equal(drawn[key], found[key]) for key in drawn)
        buffers = dict(loaded.modules[part].named_buffers())
        for key, value in assay.build(card, tensors).named_buffers():  # also those that no file holds
            assert torch.equal(value, buffers[key])
