"""Draws and starting weights of trainings."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest
import torch

from cellscope.engine.train.data import DrawSampler, drawn_batches, initialise, source_weights
from cellscope.errors import ModelError, UsageError
from cellscope.models.file import ModelCard, save_model


def test_sources_are_balanced_whatever_their_size() -> None:
    strata = ["many"] * 90 + ["few"] * 10
    drawn = Counter(strata[item] for item, _ in DrawSampler(strata, {}, 4000, 0))
    assert 0.45 < drawn["few"] / 4000 < 0.55
    drawn = Counter(strata[item] for item, _ in DrawSampler(strata, {"few": 3.0}, 4000, 0))
    assert 0.7 < drawn["few"] / 4000 < 0.8


def test_a_resumed_loader_gives_the_rest() -> None:
    class Pairs(torch.utils.data.Dataset):
        def __getitem__(self, key: tuple[int, int]) -> torch.Tensor:
            return torch.tensor(key)

    options = SimpleNamespace(steps=6, batch_size=3, accumulate=1, num_workers=0, seed=1, device="cpu")
    make = drawn_batches(Pairs(), ["a", "a", "b"], options)
    whole = torch.stack(list(make(0)))
    assert torch.equal(torch.stack(list(make(4))), whole[4:])
    assert whole[..., 1].flatten().tolist() == list(range(18))


def test_weights_are_read() -> None:
    assert source_weights("a=2, b=0.5") == {"a": 2.0, "b": 0.5}
    assert source_weights("") == {}
    with pytest.raises(UsageError, match="name=2"):
        source_weights("a:2")


def test_starting_weights(tmp_path) -> None:
    card = ModelCard("fake", "net", "linear", {}, ("a",), ("x",), {}, None, {}, {}, {}, "0")
    donor = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 2))
    save_model(tmp_path / "m.safetensors", donor.state_dict(), card, half=False)
    network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 5))
    options = SimpleNamespace(init=str(tmp_path / "m.safetensors"))
    initialise(network, options, assay="fake", part="net")
    assert torch.equal(network[0].weight, donor[0].weight)
    with pytest.raises(ModelError, match="--arch linear"):
        initialise(torch.nn.Linear(7, 7), options, assay="fake", part="net")


def test_classes_that_a_new_model_loses_are_named(tmp_path, capsys) -> None:
    card = ModelCard("fake", "net", "linear", {}, ("a", "b", "c"), ("x",), {}, None, {}, {}, {}, "0")
    network = torch.nn.Linear(2, 3)
    save_model(tmp_path / "m.safetensors", network.state_dict(), card, half=False)
    options = SimpleNamespace(init=str(tmp_path / "m.safetensors"))
    initialise(network, options, assay="fake", part="net", classes=("c", "a", "b", "new"))
    assert "lost" not in capsys.readouterr().err
    initialise(network, options, assay="fake", part="net", classes=("b", "new"))
    assert "the classes a, c of" in capsys.readouterr().err


def test_draws_go_on_where_they_stopped() -> None:
    items = ["a"] * 6 + ["b"] * 2
    whole = list(DrawSampler(items, {}, 40, seed=1))
    rest = DrawSampler(items, {}, 40, seed=1, start=24)
    assert list(rest) == whole[24:]
    assert len(rest) == 40  # Lightning counts from the beginning
    assert [draw for _, draw in whole] == list(range(40))
    longer = list(DrawSampler(items, {}, 60, seed=1))
    assert longer[:40] == whole


def test_items_of_equal_weight_come_once_in_every_pass() -> None:
    drawn = [item for item, _ in DrawSampler(["a"] * 7, {}, 21, seed=1)]
    passes = [drawn[start : start + 7] for start in (0, 7, 14)]
    assert all(sorted(one) == list(range(7)) for one in passes)
    assert len({tuple(one) for one in passes}) == 3
    assert [item for item, _ in DrawSampler(["a"] * 7, {}, 9, seed=1)] == drawn[:9]
    assert list(DrawSampler(["a"] * 7, {}, 0, seed=1)) == []
    unequal = [item for item, _ in DrawSampler(["a"] * 6 + ["b"], {"b": 6.0}, 700, seed=1)]
    assert unequal.count(6) > 500


def test_two_processes_share_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    items = ["a"] * 9
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    drawn = []
    for rank in (0, 1):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        drawn.append(list(DrawSampler(items, {}, 10, seed=1)))
    assert [len(one) for one in drawn] == [10, 10]
    assert sorted(draw for one in drawn for _, draw in one) == list(range(20))
