"""The weighted mean of models, by hand and by command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from cellscope.cli.root import app
from cellscope.errors import ModelError, UsageError
from cellscope.models.average import average_models
from cellscope.models.file import ModelCard, load_model, save_model, sha256

CARD = ModelCard(
    assay="histo", part="nuclei", arch="tiny", arch_args={"types": 2}, classes=("a", "b"), channels=("red",),
    normalisation={}, pixel_size_um=0.25, thresholds={"edge": 0.1}, training={"steps": 3}, metrics={"aji": 0.5},
    cellscope_version="0.0.1",
)  # fmt: skip


def save(path: Path, value: float, count: int = 1, **changes: object) -> Path:
    tensors = {"w": torch.full((2, 3), value), "n": torch.tensor(count)}
    save_model(path, tensors, replace(CARD, **changes), half=True)  # type: ignore[arg-type]
    return path


def test_weights_are_averaged_by_share_and_the_card_says_of_what(tmp_path: Path) -> None:
    first = save(tmp_path / "first.safetensors", 1.0, 7, thresholds={"edge": 0.3})
    second = save(tmp_path / "second.safetensors", 5.0, 9)
    card, tensors = average_models({first: 1.0, second: 3.0})
    assert torch.equal(tensors["w"], torch.full((2, 3), 4.0))
    assert tensors["n"] == 9, "whole numbers are those of the largest share"
    assert card.thresholds == {"edge": 0.1}
    assert card.metrics == {}
    parts = card.training["average_of"]
    assert [(part["model"], part["share"]) for part in parts] == [
        ("first.safetensors", 0.25),
        ("second.safetensors", 0.75),
    ]
    assert parts[0]["sha256"] == sha256(first)
    assert parts[1]["training"] == {"steps": 3}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"arch_args": {"types": 3}}, "differ in arch_args"),
        ({"classes": ("b", "a")}, "differ in classes"),
        ({"pixel_size_um": 0.5}, "differ in pixel_size_um"),
        ({"assay": "karyotype"}, "for the assay 'karyotype'"),
    ],
)
def test_models_of_another_kind_are_refused(tmp_path: Path, changes: dict, says: str) -> None:
    first, other = save(tmp_path / "a.safetensors", 1.0), save(tmp_path / "b.safetensors", 1.0, **changes)
    with pytest.raises(ModelError, match=says):
        average_models({first: 1.0, other: 1.0})


def test_tensors_of_another_shape_are_refused(tmp_path: Path) -> None:
    first, other = save(tmp_path / "a.safetensors", 1.0), tmp_path / "b.safetensors"
    save_model(other, {"w": torch.ones(3, 2), "n": torch.tensor(1)}, CARD)
    with pytest.raises(ModelError, match="tensors differ"):
        average_models({first: 1.0, other: 1.0})


@pytest.mark.parametrize("share", [0.0, -1.0, float("nan"), float("inf")])
def test_shares_are_positive_and_models_more_than_one(tmp_path: Path, share: float) -> None:
    first, second = save(tmp_path / "a.safetensors", 1.0), save(tmp_path / "b.safetensors", 1.0)
    with pytest.raises(UsageError, match="positive"):
        average_models({first: 1.0, second: share})
    with pytest.raises(UsageError, match="two"):
        average_models({first: 1.0})


def test_the_command_takes_runs_and_files(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    save(tmp_path / "run" / "model.safetensors", 2.0)
    other, out = save(tmp_path / "other.safetensors", 4.0), tmp_path / "mean.safetensors"
    command = ["models", "average", f"{tmp_path / 'run'}=0.5", f"{other}=1.5", "-o", str(out)]
    done = CliRunner().invoke(app, command)
    assert (done.exit_code, done.stdout.strip()) == (0, str(out))
    card, tensors = load_model(out, assay="histo")
    assert torch.equal(tensors["w"], torch.full((2, 3), 3.5))
    assert card.classes == ("a", "b")
    assert CliRunner().invoke(app, command).exit_code == 2, "what is there is not replaced unasked"
    assert CliRunner().invoke(app, [*command, "--overwrite"]).exit_code == 0
    for wrong in (["x=1"], [f"{other}=much", str(tmp_path / "run")], [str(other), f"{other}=2"], [str(other)]):
        failed = CliRunner().invoke(app, ["models", "average", *wrong, "-o", str(tmp_path / "no.safetensors")])
        assert failed.exit_code in (1, 2)
        assert not (tmp_path / "no.safetensors").exists()
