"""Trainings end with a description of their images, also those that were resumed."""

from __future__ import annotations

from types import SimpleNamespace

import described_assay as toy
import numpy as np
import pandas as pd
import pytest
import torch
from fake_assay import FakeOptions
from test_example_assay import app, draw  # noqa: F401  a fixture
from typer.testing import CliRunner

from cellscope.engine.familiarity import describe as describing
from cellscope.engine.train.describe import describe_trained
from cellscope.models.described import load_descriptions
from cellscope.models.file import load_model, raw_tensors, read_card


def test_a_training_and_a_resumed_one_describe_their_images(app, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "drawn", 16)
    call(app, "prepare drawn -o dataset")
    call(app, "train dataset -o plain --steps 2 --device cpu --set describe=0")
    assert read_card("plain/model.safetensors").familiarity == {}
    assert "described" in call(app, "train dataset -o run --steps 2 --device cpu")
    first = load_descriptions("run/model.safetensors")["field"]
    assert all(torch.equal(one, other) for one, other in weights("plain", "run"))
    call(app, "train dataset -o run --steps 4 --device cpu --resume auto")
    again = load_descriptions("run/model.safetensors")["field"]
    assert not np.array_equal(first.centres, again.centres), "the description is of the new weights"
    assert again.distances.shape == (len(pd.read_csv("dataset/items.csv").query("split != 'test'")),)
    call(app, "predict drawn/images -m run -o out --device cpu --num-workers 0")
    images = pd.read_csv("out/images.csv")
    assert images["familiarity"].median() > 0.2
    call(app, "eval dataset -m run -o measured --device cpu")
    measured = pd.read_csv("measured/per_image.csv")
    assert list(measured.columns[-2:]) == ["familiarity", "unfamiliar"]
    assert measured["familiarity"].between(0, 1).all()


def weights(*runs):
    tensors = [load_model(f"{run}/model.safetensors", assay="foci")[1] for run in runs]
    return [[each[name] for each in tensors] for name in tensors[0]]


def call(group, words: str) -> str:
    result = CliRunner().invoke(group, words.split())
    assert result.exit_code == 0, result.output
    return result.stderr


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run folder of the fake assay whose model has no description yet."""
    monkeypatch.setattr(describing, "find_assay", lambda name: toy.ASSAY)
    monkeypatch.setattr(describing, "find_predict_options", lambda name: FakeOptions())
    toy.write_models(tmp_path)
    (tmp_path / "find.safetensors").rename(tmp_path / "model.safetensors")
    return tmp_path


def test_a_training_whose_images_cannot_be_described_is_as_good_as_before(run):
    dataset = toy.write_data(run / "few", 4)
    before = (run / "model.safetensors").read_bytes()
    said = []
    describe_trained(dataset, run, SimpleNamespace(describe=400, device="cpu"), say=said.append)
    assert "not described" in said[-1]
    assert "too few images" in said[-1]
    assert (run / "model.safetensors").read_bytes() == before


def test_only_the_first_of_several_processes_describes(run, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    describe_trained(toy.write_data(run / "data"), run, SimpleNamespace(describe=400, device="cpu"), say=print)
    assert raw_tensors(run / "model.safetensors")
    assert not read_card(run / "model.safetensors").familiarity


def test_as_many_images_as_asked_for(run):
    describe_trained(toy.write_data(run / "data"), run, SimpleNamespace(describe=12, device="cpu"), say=print)
    assert read_card(run / "model.safetensors").familiarity["kinds"]["field"]["images"] == 12
