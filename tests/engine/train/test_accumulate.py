"""``--accumulate``: several batches make one step, and everything that is counted in steps stays so."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace

import lightning as L
import pytest
from toy_training import Toy, assert_equal_weights, options_for, recorded, run_toy, weights

from cellscope.engine.train.data import training_facts
from cellscope.errors import Interrupted


def test_batches_together_teach_what_one_large_batch_teaches(tmp_path: Path) -> None:
    parts = run_toy(tmp_path / "parts", plain=True, batch_size=2, accumulate=3)
    whole = run_toy(tmp_path / "whole", plain=True, batch_size=6)
    assert_equal_weights(tmp_path / "parts", tmp_path / "whole", tolerance=1e-5)
    assert parts.validated == whole.validated == [4, 8, 12]
    run_toy(tmp_path / "small", plain=True, batch_size=2)
    small, large = weights(tmp_path / "small"), weights(tmp_path / "whole")
    assert any((small[name] - large[name]).abs().max() > 1e-3 for name in small)


def test_losses_are_recorded_and_states_saved_once_in_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    save = L.Trainer.save_checkpoint

    def counted(self: L.Trainer, path: object, *about: object, **more: object) -> None:
        if Path(str(path)).name == "last.ckpt":
            saved.append(self.global_step)
        save(self, path, *about, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(L.Trainer, "save_checkpoint", counted)
    run_toy(tmp_path / "run", plain=True, batch_size=2, accumulate=3, steps=45, val_every=45, save_every=20)
    rows = (tmp_path / "run/metrics.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows if ",loss_toy," in row] == ["20", "40"]
    assert saved == [20, 40, 45, 45, 45]  # before, after the validation, and at the end


@pytest.mark.parametrize("batch", [6, 7, 8])  # of three that make a step: the first, the second, the last
def test_a_training_goes_on_behind_its_last_whole_step(
    tmp_path: Path, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"batch_size": 2, "accumulate": 3, "save_every": 100}
    whole = run_toy(tmp_path / "whole", **settings)
    step, stopped = Toy.training_step, tmp_path / "stopped"

    def interrupted(self, data, index):
        if index == batch:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, data, index)

    monkeypatch.setattr(Toy, "training_step", interrupted)
    with pytest.raises(Interrupted, match="at step 3"):
        run_toy(stopped, **settings)
    monkeypatch.undo()
    rest = run_toy(stopped, **settings, resume="auto")
    assert rest.validated == whole.validated == [4, 8, 12]
    assert_equal_weights(tmp_path / "whole", stopped)
    assert recorded(stopped, "val_score") == recorded(tmp_path / "whole", "val_score")


def test_loading_processes_that_end_in_the_middle_of_a_step_lose_no_whole_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal to the process group ends them too: what is saved then counts whole steps."""
    # plain: batch statistics see the batch that came before the stop a second time
    settings = {"batch_size": 2, "accumulate": 3, "save_every": 100, "plain": True}
    run_toy(tmp_path / "whole", **settings)
    step, stopped = Toy.training_step, tmp_path / "stopped"

    def broken(self, data, index):
        if index == 7:
            os.kill(os.getpid(), signal.SIGTERM)
            raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Terminated.")
        return step(self, data, index)

    monkeypatch.setattr(Toy, "training_step", broken)
    with pytest.raises(Interrupted, match="at step 2"):
        run_toy(stopped, **settings)
    monkeypatch.undo()
    run_toy(stopped, **settings, resume="auto")
    assert_equal_weights(tmp_path / "whole", stopped)


def test_epochs_are_passes_over_the_items_whatever_makes_a_step() -> None:
    plain = options_for(steps=None, epochs=6.0, batch_size=4, val_every=None)
    assert plain.in_steps(40).steps == 60
    for more in ({"accumulate": 5}, {"devices": 5}, {"num_nodes": 5}):
        assert options_for(steps=None, epochs=6.0, batch_size=4, val_every=None, **more).in_steps(40).steps == 12
    assert options_for(batch_size=4, accumulate=2, devices=3).items_per_step == 24


def test_the_model_says_how_many_batches_made_a_step() -> None:
    prepared = SimpleNamespace(info={"sources": [], "splits": [], "seed": 0}, hash="x")
    assert training_facts(prepared, options_for(accumulate=4), 1)["accumulate"] == 4
    assert "accumulate" not in training_facts(prepared, options_for(), 1)
