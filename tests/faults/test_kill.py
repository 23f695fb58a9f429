"""Kills in small: one each, at a random moment."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from faults.kill import cases, contents, environment, trial


@pytest.mark.slow
@pytest.mark.parametrize("what", ["eval", "train"])
def test_what_was_killed_goes_on_to_the_same_end(tmp_path: Path, what: str, monkeypatch) -> None:
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    case = cases(tmp_path)[what]
    whole = case.undisturbed(tmp_path / "whole")
    trial(case, tmp_path / "out", 1, random.Random(what))
    assert contents(tmp_path / "out") == whole
    assert whole
    assert not [path for path in (tmp_path / "out").rglob("*") if path.name.startswith(".")]
