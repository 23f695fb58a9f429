"""Trainings that leave out each source in turn: what would mix them up is refused before the first."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_training import options_for

from cellscope.engine.train.turns import train_turns
from cellscope.errors import UsageError


@pytest.mark.parametrize("turns", [("line=A/B", "line=A_B"), ("line=a", "line=A")])
def test_two_turns_never_share_a_folder(tmp_path: Path, turns: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match=f"{turns[0]} and {turns[1]} would have the same folder"):
        train_turns(turns, tmp_path / "out", options_for(overwrite=True), [], lambda _training, _folder: None)
    assert not (tmp_path / "out").exists()


def test_no_turn_goes_on_from_the_checkpoint_of_another(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give --resume auto"):
        train_turns(["line=a", "line=b"], tmp_path / "out", options_for(resume="last.ckpt"), [], print)
    assert not (tmp_path / "out").exists()
