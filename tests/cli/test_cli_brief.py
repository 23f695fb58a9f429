"""Help in two lengths, and what the shell proposes for ``-m``."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from cellscope.cli.brief import RARE
from cellscope.cli.complete import WEIGHTLESS, complete_model
from cellscope.cli.root import ASSAYS, app
from cellscope.engine.find import find_assay

VERBS = ("prepare", "train", "eval", "predict")


def page(*words: str) -> str:
    result = CliRunner().invoke(app, list(words), env={"COLUMNS": "400"})
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("assay", ASSAYS)
@pytest.mark.parametrize("verb", VERBS)
def test_a_short_page_and_a_whole_one(assay: str, verb: str) -> None:
    short, whole = page(assay, verb, "--help"), page(assay, verb, "--help-all")
    command = typer.main.get_command(app).commands[assay].get_command(None, verb)
    flags = [parameter.opts[0] for parameter in command.params if parameter.param_type_name == "option"]
    assert all(flag in whole for flag in flags)
    shown = [flag for flag in flags if f" {flag} " in short]
    assert 3 <= len(shown) <= 20
    assert "--overwrite" in short
    assert "--batch-size" not in short
    assert "CELLSCOPE_" not in short
    assert "CELLSCOPE_OVERWRITE" in whole
    rare = sum(any(flag.lstrip("-") in RARE for flag in parameter.opts) for parameter in command.params)
    assert f"{rare} more options: " in short
    assert short.count("\n") < whole.count("\n")
    assert page(assay, verb, "-h") == short  # a page leaves the command as it was
    assert page(assay, verb, "--help-all") == whole


def test_help_keeps_its_dots_and_shows_no_empty_default() -> None:
    shown = page("histo", "prepare", "--help-all")
    assert "in the order of their numbers 1, 2, ... (CELLSCOPE_CLASSES)" in shown
    for assay in ASSAYS:
        for verb in VERBS:
            assert "default ;" not in page(assay, verb, "--help-all")
            assert "default )" not in page(assay, verb, "--help-all")


def test_methods_without_weights_are_those_of_the_assays() -> None:
    assert {assay: tuple(found) for assay in ASSAYS if (found := find_assay(assay).weightless)} == WEIGHTLESS


def proposals(assay: str, typed: str) -> list[str]:
    return complete_model(SimpleNamespace(command_path=f"cellscope {assay} predict"), typed)


def test_models_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert proposals("karyotype", "karyo") == ["karyotype-classify", "karyotype-detect"]
    assert proposals("histo", "o") == ["otsu"]
    assert proposals("mitosis", "karyo") == []
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.safetensors").touch()
    (tmp_path / "run" / "notes.txt").touch()
    assert proposals("mitosis", "r") == ["run/"]
    assert proposals("mitosis", "run/") == ["run/model.safetensors"]
    assert proposals("mitosis", f"{tmp_path}/run/mo") == [f"{tmp_path}/run/model.safetensors"]
    assert proposals("mitosis", "none/x") == []
