"""Checkpoints of other programs: weights come in, and nothing else."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from cellscope.errors import ModelError, UsageError
from cellscope.models.foreign import read_checkpoint, read_yaml


class Bomb:
    """What runs a command when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("exploded"),)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write_pickle(content: object, protocol: int = pickle.HIGHEST_PROTOCOL) -> Path:
    path = Path("model.pkl")
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_numpy_arrays_of_every_protocol(protocol: int) -> None:
    arrays = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.array([1, 2]),
        "c": np.ones(()),
    }
    found = read_checkpoint(write_pickle({"model": arrays, "__author__": "someone"}, protocol))
    assert set(found) == {"a", "b", "c"}
    torch.testing.assert_close(found["a"], torch.arange(6.0).reshape(2, 3))
    assert found["c"].shape == ()


@pytest.mark.parametrize(
    "content",
    [
        {"model": {"a": Bomb()}},
        {"model": {"a": np.array([Bomb()], object)}},
        OrderedDict(a=np.zeros(2)),
        {"model": {"a": np.zeros(2)}, "more": Path("x")},
        {"model": {"a": torch.zeros(2)}},
    ],
)
def test_anything_else_is_refused_before_it_runs(content: object) -> None:
    with pytest.raises(ModelError, match=r"model\.pkl: holds more than numpy arrays"):
        read_checkpoint(write_pickle(content))
    assert not Path("exploded").exists()


def test_builtins_that_run_code_are_refused() -> None:
    Path("model.pkl").write_bytes(b'cbuiltins\neval\n(S\'open("exploded", "w")\'\ntR.')
    with pytest.raises(ModelError, match=r"builtins\.eval"):
        read_checkpoint(Path("model.pkl"))
    Path("model.pkl").write_bytes(b"c_codecs\nencode\n(Vabc\nVzlib_codec\ntR.")
    with pytest.raises(ModelError, match="encoding"):
        read_checkpoint(Path("model.pkl"))
    assert not Path("exploded").exists()


def test_torch_files_are_read_with_weights_only() -> None:
    torch.save({"model": {"a": torch.ones(2)}, "iteration": 3}, "good.pth")
    assert read_checkpoint(Path("good.pth"))["a"].tolist() == [1, 1]
    torch.save(OrderedDict(a=torch.ones(1)), "bare.pth")
    assert list(read_checkpoint(Path("bare.pth"))) == ["a"]
    torch.save({"model": {"a": Bomb()}}, "bad.pth")
    with pytest.raises(ModelError, match="nothing in it was run"):
        read_checkpoint(Path("bad.pth"))
    assert not Path("exploded").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({}, "no weights by name"),
        ([1, 2], "no weights by name"),
        ({"blobs": {"conv1_w": np.zeros(2)}}, "Caffe2"),
        ({"model": {"a": "text"}}, "'a' is not an array of numbers"),
        ({"model": {"a": np.array(["text"])}}, "'a' is not an array of numbers"),
    ],
)
def test_what_holds_no_weights_is_named(content: object, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        read_checkpoint(write_pickle(content))


def test_broken_and_missing_files() -> None:
    whole = pickle.dumps({"model": {"a": np.zeros(100)}})
    Path("model.pkl").write_bytes(whole[: len(whole) // 2])
    for path in (Path("model.pkl"), Path("absent.pth")):
        with pytest.raises(ModelError, match=path.name):
            read_checkpoint(path)
    Path("model.pth").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="weights only"):
        read_checkpoint(Path("model.pth"))


def test_configurations_are_plain_values() -> None:
    Path("a.yaml").write_text("MODEL:\n  PIXEL_MEAN: [1, 2, 3]\n")
    assert read_yaml(Path("a.yaml")) == {"MODEL": {"PIXEL_MEAN": [1, 2, 3]}}
    Path("b.yaml").write_text("a: !!python/object/apply:os.getcwd []\n")
    for name in ("b.yaml", "absent.yaml"):
        with pytest.raises(UsageError, match=name):
            read_yaml(Path(name))
    Path("c.yaml").write_text("- 1\n")
    with pytest.raises(UsageError, match="no settings"):
        read_yaml(Path("c.yaml"))
