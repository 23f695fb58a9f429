"""The options that mean the same everywhere: ranges, and combinations that make no sense."""

import pytest

from cellscope.errors import UsageError
from cellscope.options.common import (
    BaseOptions,
    ComputeOptions,
    InputOptions,
    OutputOptions,
    PrepareOptions,
    RunOptions,
)
from cellscope.options.fields import extended, specs
from cellscope.options.resolve import read_config, resolve, to_toml


@pytest.mark.parametrize(
    ("text", "pair"), [(None, None), ("1/1", (1, 1)), ("3/8", (3, 8)), (" 2 / 4 ", (2, 4)), ("08/08", (8, 8))]
)
def test_shard(text, pair):
    assert RunOptions(shard=text).shard_pair == pair


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3", "1/3/5", "", "1.5/3"])
def test_bad_shard(text):
    with pytest.raises(UsageError, match=r"shard: .*1 to N"):
        RunOptions(shard=text)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:12", "mps"])
def test_device(device):
    assert RunOptions(device=device).device == device


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cpu:0", ""])
def test_bad_device(device):
    with pytest.raises(UsageError, match="device:"):
        ComputeOptions(device=device)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"overwrite": True, "skip_existing": True}, "exclude each other"),
        ({"quiet": True, "verbose": True}, "exclude each other"),
        ({"batch_size": 0}, "batch_size"),
        ({"num_workers": -1}, "num_workers"),
        ({"precision": "8"}, "precision"),
        ({"seed": -1}, "seed"),
        ({"limit": 0}, "limit"),
        ({"pixel_size": 0.0}, "pixel_size"),
        ({"max_pixels": 0}, "max_pixels"),
    ],
)
def test_refused(values, match):
    with pytest.raises(UsageError, match=match):
        RunOptions(**values)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"splits": (0.5, 0.2, 0.2)}, "add up to 1"),
        ({"splits": (0.5, 0.5)}, "takes 3"),
        ({"splits": (1.5, -0.5, 0.0)}, "out of range"),
        ({"folds": 1}, "at least 2"),
        ({"folds": -1}, "folds"),
    ],
)
def test_prepare_refused(values, match):
    with pytest.raises(UsageError, match=match):
        PrepareOptions(**values)


def test_thirds_are_close_enough():
    assert PrepareOptions(splits=(1 / 3, 1 / 3, 1 / 3)).splits == (1 / 3, 1 / 3, 1 / 3)


def test_a_verb_has_what_it_obeys():
    of_inputs = {"pixel_size", "max_pixels", "glob", "group_by"}
    of_predict = {"skip_existing", "shard", "input", "devices", "cluster", "cluster_option"}
    assert "seed" not in specs(OutputOptions)
    assert not specs(ComputeOptions).keys() & (of_inputs | of_predict | {"num_workers"})
    assert specs(InputOptions).keys() == specs(RunOptions).keys() - of_predict


def test_the_same_values_with_more_options():
    drawn = extended(InputOptions(pixel_size=0.1, limit=2), RunOptions)
    assert drawn == RunOptions(pixel_size=0.1, limit=2)
    assert extended(drawn, RunOptions) == drawn


@pytest.mark.parametrize("cls", [OutputOptions, BaseOptions, ComputeOptions, RunOptions, PrepareOptions])
def test_written_and_read_again(cls, tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(to_toml(cls()))
    assert resolve(cls, flags={}, env={}, config=read_config(path)) == cls()
