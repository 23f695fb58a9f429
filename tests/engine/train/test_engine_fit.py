"""The training loop on a toy network: files, determinism, stop and resume, schedules."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import toy_training
from torch import nn
from toy_training import (
    FILES,
    Toy,
    assert_equal_weights,
    options_for,
    recorded,
    run_toy,
    stop_at,
    weights,
)

from cellscope.assays.histo.options import TrainOptions as TwoPhases
from cellscope.engine.train.curves import MetricsFile, _gathered, draw_curves
from cellscope.engine.train.folder import find_resume
from cellscope.engine.train.schedule import optimiser_and_schedule
from cellscope.errors import CellscopeError, Interrupted, UsageError
from cellscope.models.file import read_card


def test_a_training_writes_its_files(tmp_path: Path) -> None:
    out = tmp_path / "run"
    run_toy(out)
    assert {path.name for path in out.iterdir()} >= FILES
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")]
    assert recorded(out, "val_score") == {4: 4.0, 8: 8.0, 12: 12.0}
    record = json.loads((out / "run.json").read_text())
    assert record["metrics"] == {"val_score": 12.0}
    assert record["dataset"] == {"hash": "x"}
    assert record["argv"] == ["cellscope", "toy"]
    assert read_card(out / "model.safetensors").metrics == {"val_score": 12.0}
    assert torch.load(out / "last.ckpt", weights_only=True)["global_step"] == 12
    assert "steps = 12" in (out / "config.toml").read_text()
    assert (out / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert (out / "run.json").stat().st_mtime_ns == max(path.stat().st_mtime_ns for path in out.iterdir())


def test_tensorboard_gets_what_metrics_csv_gets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "run"
    stop_at(monkeypatch, 6)
    with pytest.raises(Interrupted):
        run_toy(out, logger="tensorboard")
    monkeypatch.undo()
    run_toy(out, logger="tensorboard", resume="auto")
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    scores = {event.step: event.value for event in events.Scalars("val_score")}
    assert scores == {step - 1: value for step, value in recorded(out, "val_score").items()}  # Lightning counts from 0
    run_toy(out, overwrite=True)
    assert not (out / "tensorboard").exists()


def test_tensorboard_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lightning.pytorch.loggers import tensorboard

    def missing(*_: Any, **__: Any) -> None:
        raise ModuleNotFoundError("tensorboard")

    monkeypatch.setattr(tensorboard.TensorBoardLogger, "__init__", missing)
    with pytest.raises(UsageError, match=r"cellscope\[tensorboard"):
        run_toy(tmp_path / "run", logger="tensorboard")
    assert not (tmp_path / "run").exists()


def test_the_best_checkpoint_becomes_the_model(tmp_path: Path) -> None:
    run_toy(tmp_path / "best", scores=[0.2, 0.9, 0.4])
    assert read_card(tmp_path / "best" / "model.safetensors").metrics == {"val_score": 0.9}
    run_toy(tmp_path / "eight", scores=[0.2, 0.9, 0.4], patience=1)  # stops after the third validation
    assert_equal_weights(tmp_path / "best", tmp_path / "eight", tolerance=0)
    last = torch.load(tmp_path / "best" / "last.ckpt", weights_only=True)["state_dict"]
    assert not torch.equal(last["network.0.weight"], weights(tmp_path / "best")["0.weight"])


def test_no_steps_only_tune_a_model_that_is_there(tmp_path: Path) -> None:
    toy = run_toy(tmp_path / "tuned", steps=0, init="some-model")
    assert {path.name for path in (tmp_path / "tuned").iterdir()} == {"model.safetensors", "config.toml", "run.json"}
    assert toy.validated == []
    for name, value in toy.network.state_dict().items():
        assert torch.equal(value, weights(tmp_path / "tuned")[name])
    assert json.loads((tmp_path / "tuned" / "run.json").read_text())["steps"] == 0
    with pytest.raises(UsageError, match="--steps 0 trains nothing"):
        run_toy(tmp_path / "untrained", steps=0)
    assert not (tmp_path / "untrained").exists()


def test_patience_stops_early(tmp_path: Path) -> None:
    toy = run_toy(tmp_path, scores=[0.9, 0.5, 0.4, 0.3, 0.2], steps=20, patience=2)
    assert toy.validated == [4, 8, 12]


def test_the_last_step_is_validated_whatever_the_interval(tmp_path: Path) -> None:
    toy = run_toy(tmp_path, steps=10)  # the score rises with the steps
    assert toy.validated == [4, 8, 10]
    assert read_card(tmp_path / "model.safetensors").metrics == {"val_score": 10.0}


def test_without_validation_the_last_weights_are_the_model(tmp_path: Path) -> None:
    run_toy(tmp_path, validate=False)
    last = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    torch.testing.assert_close(last["network.0.weight"], weights(tmp_path)["0.weight"], atol=0, rtol=0)
    assert json.loads((tmp_path / "run.json").read_text())["metrics"] == {}


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    run_toy(tmp_path / "a")
    run_toy(tmp_path / "b")
    run_toy(tmp_path / "c", seed=5)
    assert_equal_weights(tmp_path / "a", tmp_path / "b", tolerance=0)
    with pytest.raises(AssertionError):
        assert_equal_weights(tmp_path / "a", tmp_path / "c")


@pytest.mark.parametrize("step", [3, 4, 5, 8, 11, 12])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_training_goes_on_as_if_nothing_had_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, number: int, code: int
) -> None:
    """Steps 4, 8 and 12 are validated: the validation that is due is neither lost nor repeated."""
    before = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)]
    with monkeypatch.context() as patch:
        stop_at(patch, step, number)
        with pytest.raises(Interrupted, match=f"at step {step}; saved .*--resume auto") as caught:
            run_toy(tmp_path / "stopped")
    assert caught.value.exit_code == code
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)] == before
    assert torch.load(tmp_path / "stopped" / "last.ckpt", weights_only=True)["global_step"] == step
    assert not (tmp_path / "stopped" / "run.json").exists()
    toy = run_toy(tmp_path / "stopped", resume="auto")
    assert toy.validated == [one for one in (4, 8, 12) if one > step]
    run_toy(tmp_path / "whole")
    assert_equal_weights(tmp_path / "stopped", tmp_path / "whole")
    assert recorded(tmp_path / "stopped", "val_score") == recorded(tmp_path / "whole", "val_score")


def test_the_best_score_outlives_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = [0.9, 0.3, 0.5]
    with monkeypatch.context() as patch:
        stop_at(patch, 6)
        with pytest.raises(Interrupted):
            run_toy(tmp_path, scores=scores)
    run_toy(tmp_path, scores=scores, resume="auto")
    assert read_card(tmp_path / "model.safetensors").metrics == {"val_score": 0.9}


@pytest.mark.parametrize(("start", "worse"), [(0.7, False), (0.95, True)])
def test_the_starting_model_is_measured_first(tmp_path: Path, start: float, worse: bool) -> None:
    """Scores are those of steps 4, 8, 12 and, last, of step 0, before the first."""
    said: list[str] = []
    run_toy(tmp_path / "on", scores=[0.2, 0.9, 0.4, start], init="some-model", say=said.append)
    assert said[0] == f"the starting model scores {start:.4f} before the first step"
    assert any(line.startswith("warning: the training made the model worse") for line in said) is worse
    assert f"the new model scores 0.9000, the starting model {start:.4f}" in " ".join(said)
    assert json.loads((tmp_path / "on" / "run.json").read_text())["start"]["val_score"] == pytest.approx(start)
    run_toy(tmp_path / "anew", scores=[0.2, 0.9, 0.4, start], say=said.append)
    assert "start" not in json.loads((tmp_path / "anew" / "run.json").read_text())
    assert_equal_weights(tmp_path / "on", tmp_path / "anew", tolerance=0)  # measuring changes nothing
    assert (tmp_path / "on" / "metrics.csv").read_text() == (tmp_path / "anew" / "metrics.csv").read_text()


def test_the_best_checkpoint_goes_when_the_training_ends(tmp_path: Path) -> None:
    run_toy(tmp_path, scores=[0.2, 0.9, 0.4])
    assert not (tmp_path / "best.ckpt").exists()


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def twice(self: Toy, batch: torch.Tensor, _index: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Toy, "validation_step", twice)
    with pytest.raises(Interrupted, match="at once") as caught:
        run_toy(tmp_path)
    assert caught.value.exit_code == 130
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 4


def test_resuming_a_finished_training_changes_nothing(tmp_path: Path) -> None:
    run_toy(tmp_path, scores=[0.2, 0.9, 0.4])
    first = weights(tmp_path)
    run_toy(tmp_path, scores=[0.2, 0.9, 0.4], resume="auto")
    for name, value in weights(tmp_path).items():
        assert torch.equal(value, first[name])
    assert read_card(tmp_path / "model.safetensors").metrics == {"val_score": 0.9}


def test_an_existing_run_is_refused(tmp_path: Path) -> None:
    run_toy(tmp_path, steps=4)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UsageError, match="already holds a training"):
        run_toy(tmp_path, steps=8)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    run_toy(tmp_path, steps=8, overwrite=True)
    assert max(recorded(tmp_path, "val_score")) == 8


def test_a_checkpoint_that_does_not_fit(tmp_path: Path) -> None:
    run_toy(tmp_path / "toy", steps=4)
    checkpoint = torch.load(tmp_path / "toy" / "last.ckpt", weights_only=True)
    checkpoint["state_dict"]["network.0.weight"] = torch.zeros(9, 9)
    torch.save(checkpoint, tmp_path / "odd.ckpt")
    with pytest.raises(UsageError, match=r"odd\.ckpt does not fit"):
        run_toy(tmp_path / "new", resume=str(tmp_path / "odd.ckpt"))
    (tmp_path / "text.ckpt").write_text("hello")
    with pytest.raises(UsageError, match=r"text\.ckpt is not a checkpoint"):
        run_toy(tmp_path / "newer", resume=str(tmp_path / "text.ckpt"))


def test_weights_that_are_not_finite_are_not_released(tmp_path: Path) -> None:
    with pytest.raises(CellscopeError, match="not finite"):
        run_toy(tmp_path, learning_rate=1e30, clip_gradient=0.0, validate=False)
    assert not (tmp_path / "model.safetensors").exists()


def test_find_resume(tmp_path: Path) -> None:
    assert find_resume(tmp_path, None) is None
    assert find_resume(tmp_path, "auto") is None
    (tmp_path / "last.ckpt").touch()
    assert find_resume(tmp_path, "auto") == tmp_path / "last.ckpt"
    with pytest.raises(UsageError, match=r"nowhere\.ckpt: no such checkpoint"):
        find_resume(tmp_path, str(tmp_path / "nowhere.ckpt"))


# ---- schedules and curves


def rates(at: list[int], **changes: Any) -> list[float]:
    made = optimiser_and_schedule([nn.Parameter(torch.zeros(1))], options_for(learning_rate=1.0, **changes))
    factor = made["lr_scheduler"]["scheduler"].lr_lambdas[0]
    assert made["lr_scheduler"]["interval"] == "step"
    return [factor(step) for step in at]


def test_schedules_by_hand() -> None:
    assert rates([0, 1, 4, 5], steps=100, warmup_steps=5, schedule="constant") == [0.2, 0.4, 1.0, 1.0]
    assert rates([0, 50, 100], steps=100, warmup_steps=0, schedule="cosine") == pytest.approx([1.0, 0.505, 0.01])
    assert rates([0, 25, 100], steps=100, warmup_steps=0, schedule="poly") == pytest.approx([1.0, 0.75, 0.0])
    assert rates([0, 9, 10, 25], steps=100, warmup_steps=0, schedule="step", step_every=10, step_gamma=0.5) == [
        1.0,
        1.0,
        0.5,
        0.25,
    ]


@pytest.mark.parametrize(
    ("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)]
)
def test_optimisers(name: str, kind: type) -> None:
    made = optimiser_and_schedule([nn.Parameter(torch.zeros(1))], options_for(optimiser=name, weight_decay=0.03))[
        "optimizer"
    ]
    assert type(made) is kind
    assert made.defaults["weight_decay"] == 0.03


def test_of_a_step_recorded_twice_the_later_counts(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    table = MetricsFile(path, resumed=False)
    table._append(4, {"val_score": 0.1, "loss": 2.0})
    table._append(4, {"val_score": 0.2})
    assert MetricsFile(path, resumed=True).at(4) == {"val_score": 0.2}
    draw_curves(table.rows(), tmp_path / "curves.png")
    assert MetricsFile(path, resumed=False).rows().empty
    draw_curves(MetricsFile(path, resumed=False).rows(), tmp_path / "empty.png")
    assert (tmp_path / "empty.png").is_file()


def test_values_of_many_sources_are_drawn_together() -> None:
    names = [*(f"val_dice_{one}" for one in "abcd"), "val_f1", "val_f1_a", "val_f1_b", "val_score", "loss", "loss_np"]
    table = pd.DataFrame([(step, name, 0.5) for step in (4, 8) for name in names], columns=["step", "name", "value"])
    found = _gathered(table)
    assert set(found["name"]) == {"val_dice, mean of 4", *names[4:]}
    assert (found["name"] == "val_dice, mean of 4").sum() == 8
    assert len(found) == len(table)


@pytest.mark.parametrize("step", [4, 12])
def test_a_training_killed_in_a_validation_repeats_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Also in the last one: what it would have found is not lost, and the better checkpoint is the model."""
    scores = [0.3, 0.2, 0.9]
    run_toy(tmp_path / "whole", scores=scores)

    def killed(self: Toy, *_: object) -> None:
        if self.global_step == step:
            raise SystemExit(9)

    with monkeypatch.context() as patch:
        patch.setattr(Toy, "validation_step", killed)
        with pytest.raises(SystemExit):
            run_toy(tmp_path / "run", scores=scores)
    toy = run_toy(tmp_path / "run", scores=scores, resume="auto")
    assert step in toy.validated
    assert recorded(tmp_path / "run", "val_score") == recorded(tmp_path / "whole", "val_score")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["metrics"]["val_score"] == pytest.approx(0.9)
    assert_equal_weights(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("moved", [True, False])
def test_the_best_score_outlives_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: bool) -> None:
    """The run folder is moved, or another one is named with a checkpoint to go on from."""
    scores, before, after = [0.9, 0.1, 0.2], tmp_path / "before", tmp_path / "after"
    run_toy(tmp_path / "whole", scores=scores)
    with monkeypatch.context() as patch:
        stop_at(patch, 6)
        with pytest.raises(Interrupted):
            run_toy(before, scores=scores)
    if moved:
        before.rename(after)
    run_toy(after, scores=scores, resume="auto" if moved else str(before / "last.ckpt"))
    assert read_card(after / "model.safetensors").metrics == {"val_score": 0.9}
    assert_equal_weights(tmp_path / "whole", after)
    assert recorded(after, "val_score") == recorded(tmp_path / "whole", "val_score")


def test_a_best_checkpoint_that_is_gone_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, 6)
        with pytest.raises(Interrupted):
            run_toy(tmp_path, scores=[0.9, 0.1, 0.2])
    (tmp_path / "best.ckpt").unlink()
    run_toy(tmp_path, scores=[0.9, 0.1, 0.2], resume="auto")
    assert read_card(tmp_path / "model.safetensors").metrics == {"val_score": 0.2}


def test_a_phase_that_ends_in_a_validation_that_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first phase of 16 steps ends early after 8, and the second is as long as planned: 16 steps, not 24."""
    monkeypatch.setattr(toy_training, "TrainOptions", TwoPhases)
    how = {"scores": [0.5, 0.4, 0.6, 0.7, 0.8, 0.9], "steps": 24, "frozen_steps": 16, "patience": 1}
    run_toy(tmp_path / "whole", **how)

    def killed(self: Toy, *_: object) -> None:
        if self.global_step == 8:
            raise SystemExit(9)

    with monkeypatch.context() as patch:
        patch.setattr(Toy, "validation_step", killed)
        with pytest.raises(SystemExit):
            run_toy(tmp_path / "run", **how)
    run_toy(tmp_path / "run", **how, resume="auto")
    assert list(recorded(tmp_path / "whole", "val_score")) == [4, 8, 12, 16]
    assert recorded(tmp_path / "run", "val_score") == recorded(tmp_path / "whole", "val_score")
    assert_equal_weights(tmp_path / "whole", tmp_path / "run")
