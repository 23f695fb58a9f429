"""Descriptions in model files: beside the weights, not among them."""

import dataclasses

import numpy as np
import pytest
import torch
from test_model_file import CARD, tensors

from cellscope.errors import ModelError
from cellscope.metrics.familiarity import Description, describe
from cellscope.models.average import average_models
from cellscope.models.described import load_descriptions, save_described
from cellscope.models.file import load_model, raw_tensors, read_card, save_model

ABOUT = {"layer": "blocks", "kinds": {"metaphase": {"images": 20}}}


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, tensors(), CARD, half=True)
    return path


def description(seed: int) -> Description:
    features = np.random.default_rng(seed).normal(size=(20, 6))
    return describe(features, ["a"] * 20, [f"g{number}" for number in range(20)])


def test_what_goes_in_comes_out(tmp_path, model):
    out = tmp_path / "out.safetensors"
    given = {"metaphase": description(0), "chromosome": description(1)}
    save_described(out, model, given, ABOUT)
    found = load_descriptions(out)
    assert found.keys() == given.keys()
    for kind, one in given.items():
        for field in dataclasses.fields(Description):
            np.testing.assert_array_equal(getattr(found[kind], field.name), getattr(one, field.name))
            assert getattr(found[kind], field.name).dtype == getattr(one, field.name).dtype
    assert read_card(out) == dataclasses.replace(CARD, familiarity=ABOUT)
    before, after = raw_tensors(model), raw_tensors(out)
    assert all(torch.equal(value, after[name]) and value.dtype == after[name].dtype for name, value in before.items())
    assert load_model(out, assay="karyotype")[1].keys() == tensors().keys()


def test_a_second_description_replaces_the_first_in_place(model):
    save_described(model, model, {"metaphase": description(0), "chromosome": description(1)}, ABOUT)
    save_described(model, model, {"metaphase": description(2)}, ABOUT)
    assert list(load_descriptions(model)) == ["metaphase"]


def test_weights_that_are_taken_over_leave_the_description_behind(tmp_path, model):
    other = tmp_path / "other.safetensors"
    plain = model.read_bytes()
    save_model(other, {name: 2 * value for name, value in tensors().items()}, CARD)
    save_described(model, model, {"metaphase": description(0)}, ABOUT)
    card, loaded = load_model(model, assay="karyotype")
    save_model(tmp_path / "again.safetensors", loaded, card, half=True)
    assert (tmp_path / "again.safetensors").read_bytes() == plain
    assert read_card(tmp_path / "again.safetensors").familiarity == {}
    assert average_models({model: 1.0, other: 1.0})[0].familiarity == {}
    assert load_descriptions(other) == {}


def test_a_description_that_is_not_whole_is_refused(tmp_path, model):
    lacking = {"familiarity.metaphase.centres": torch.zeros(1, 6)}
    save_model(model, tensors() | lacking, dataclasses.replace(CARD, familiarity=ABOUT))
    with pytest.raises(ModelError, match="the description of metaphase lacks scale"):
        load_descriptions(model)


def test_a_card_whose_description_is_no_object_is_refused():
    with pytest.raises(ModelError, match="'familiarity' must be an object"):
        dataclasses.replace(CARD, familiarity=[1])
