"""The lines of a training: loss, speed in steps and images, time left, the validation's score."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from toy_training import run_toy

from cellscope.engine.train import callbacks
from cellscope.engine.train.callbacks import Progress


def test_images_per_second_are_those_of_all_batches_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two batches of 12 images make a step of 24; a step takes 3 s after a first one of 100 s."""
    clock = [0.0]
    monkeypatch.setattr(callbacks, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    lines: list[str] = []
    progress = Progress(lines.append, total=41, items_per_step=24, every_s=5)
    trainer: Any = SimpleNamespace(accumulate_grad_batches=2, global_step=0)
    clock[0] = 100.0 - 1.5
    for batch in range(8):
        clock[0] += 1.5
        trainer.global_step = (batch + 1) // 2
        progress.on_train_batch_end(trainer, None, {"loss": 0.5}, None, batch)
    assert lines == [
        "step 1/41  loss 0.500",
        "step 3/41  loss 0.500  3.00 s/step  8 images/s  2 min left",
    ]


def test_a_training_says_loss_speed_and_score(tmp_path: Path) -> None:
    said: list[str] = []
    run_toy(tmp_path / "run", scores=[0.5, 0.75, 0.25], say=said.append)
    last = [line for line in said if line.startswith("step 12/12")]
    assert len(last) == 1
    found = re.fullmatch(r"step 12/12  loss [\d.]+  ([\d.]+) s/step  ([\d.e+]+) images/s  0 min left", last[0])
    assert found, last
    assert float(found[2]) > 0
    assert "step 8  validation score 0.7500" in said
