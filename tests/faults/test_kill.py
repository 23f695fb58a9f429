"""Kills in small: one each, at a random moment of the second half."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from faults.kill import cases, contents, run, trial


@pytest.mark.slow
@pytest.mark.parametrize("what", ["eval", "train"])
def test_what_was_killed_goes_on_to_the_same_end(tmp_path: Path, what: str) -> None:
    case = cases(tmp_path)[what]
    case.before(tmp_path / "whole")
    began = time.monotonic()
    code, said = run(case.first(tmp_path / "whole"))
    length = time.monotonic() - began
    assert code == 0, said
    trial(case, tmp_path / "out", length, 1, random.Random(what))
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert contents(tmp_path / "whole")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.name.startswith(".")]
