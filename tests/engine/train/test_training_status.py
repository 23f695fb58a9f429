"""``status`` of trainings: while they run, stopped, interrupted, complete, and several in one folder; one at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from toy_training import Toy, run_toy, stop_at
from typer.testing import CliRunner

from cellscope.cli.root import app
from cellscope.engine.train.status import PROGRESS, is_training, status
from cellscope.errors import Interrupted, UsageError
from cellscope.io.lock import hold, is_held, release


def asked(out: Path, *words: str) -> tuple[int, list[str]]:
    result = CliRunner().invoke(app, ["status", str(out), *words])
    return result.exit_code, result.stdout.splitlines()


def test_a_training_is_told_while_it_runs_and_when_it_is_complete(tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / "run"
    seen: list[dict[str, Any]] = []
    step = Toy.training_step

    def looked_at(self, batch, index):
        if index == 10:
            path = out / PROGRESS
            path.write_text(path.read_text().replace('"seconds_per_step": ', '"seconds_per_step": 60.0, "was": '))
            seen.append(status(out))
            seen.append({"cli": asked(out)})
        return step(self, batch, index)

    monkeypatch.setattr(Toy, "training_step", looked_at)
    run_toy(out, scores=[0.5, 0.75, 0.25])
    running, said = seen
    assert running == {
        "state": "running", "step": 8, "steps": 12, "best": {"step": 8, "val_score": 0.75},
        "seconds_left": 240.0, "trainings": [],
    }  # fmt: skip
    assert said["cli"] == (3, ["running: step 8 of 12, best score 0.7500 at step 8, 4 min left"])
    assert status(out) == {
        "state": "complete", "step": 12, "steps": 12, "best": {"step": 8, "val_score": 0.75},
        "seconds_left": None, "trainings": [],
    }  # fmt: skip
    assert asked(out) == (0, ["complete: step 12 of 12, best score 0.7500 at step 8"])
    assert not (out / PROGRESS).exists()
    found = json.loads(asked(out, "--json")[1][0])
    assert (found["of"], found["state"], found["best"]["step"]) == ("train", "complete", 8)


def test_a_signal_interrupts_and_a_kill_stops(tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / "run"
    stop_at(monkeypatch, 6)
    with pytest.raises(Interrupted):
        run_toy(out)
    monkeypatch.undo()
    told = (3, ["interrupted: step 4 of 12, best score 4.0000 at step 4", "go on with --resume auto"])
    assert asked(out) == told
    text = (out / PROGRESS).read_text()
    (out / PROGRESS).write_text(text.replace('"state": "interrupted"', '"x": 1').replace('"step": 1', '"step": 6'))
    assert asked(out)[1][0] == "stopped: step 6 of 12, best score 4.0000 at step 4"
    (out / PROGRESS).write_text(text[:20])  # it was being written
    assert status(out)["step"] == 4
    run_toy(out, resume="auto")
    assert status(out)["state"] == "complete"


def test_several_trainings_are_told_together(tmp_path: Path) -> None:
    for name, scores in (("a/repeat-1", [0.5, 0.25, 0.0]), ("without-x", [0.125, 0.75, 0.5])):
        run_toy(tmp_path / name, scores=scores)
    (tmp_path / "config.toml").write_text("steps = 12\n")
    found = status(tmp_path)
    assert (found["state"], found["step"], found["steps"]) == ("stopped", 24, 24)
    assert found["best"] == {"step": 8, "val_score": 0.75}
    assert [one["name"] for one in found["trainings"]] == ["a/repeat-1", "without-x"]
    (tmp_path / "run.json").write_text("{}")
    assert asked(tmp_path)[0] == 0
    assert not is_training(tmp_path / "a")


def test_two_trainings_do_not_write_to_one_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("cellscope.engine.train.progress_file.PATIENCE", 0.1)
    code = (
        f"from pathlib import Path; from cellscope.io.lock import hold; print(hold(Path({str(tmp_path / PROGRESS)!r})))"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", f"{code}; import time; import sys; sys.stdout.flush(); time.sleep(600)"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert is_held(tmp_path / PROGRESS)
        with pytest.raises(UsageError, match="another training is writing"):
            run_toy(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [PROGRESS]
    finally:
        other.kill()
        other.wait()
    assert not is_held(tmp_path / PROGRESS)  # a killed one holds nothing
    run_toy(tmp_path)


def test_a_lock_is_the_files_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_held(path)
    assert hold(path)
    assert hold(path)  # once more in the same process
    path.unlink()
    assert hold(path)
    assert is_held(path)
    release(path)
    assert not is_held(path)
