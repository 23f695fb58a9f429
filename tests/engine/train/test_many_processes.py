"""Trainings of several processes, and a batch system's variables around a single one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.plugins.environments import LightningEnvironment
from toy_training import assert_equal_weights, weights

from cellscope.engine.train.launch import launched_by

HERE = Path(__file__).parents[1]
JOB = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURM_JOB_NAME": "train", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
"""What the script of a job with two tasks has in its environment."""


def command(out: Path, **numbers: int) -> dict[str, Any]:
    places = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places), "OMP_NUM_THREADS": "1"}
    words = [f"{name}={value}" for name, value in numbers.items()]
    return {"args": [sys.executable, str(HERE / "ddp_runner.py"), str(out), *words], "env": environment}


def train(out: Path, more: dict[str, str] | None = None, **numbers: int) -> Path:
    run = command(out, **numbers)
    done = subprocess.run(run["args"], env=run["env"] | (more or {}), capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_with_the_double_batch(tmp_path: Path) -> None:
    one = train(tmp_path / "one", batch_size=4)
    two = train(tmp_path / "two", devices=2, batch_size=2)
    assert_equal_weights(one, two, tolerance=1e-5)
    four = train(tmp_path / "four", devices=2, batch_size=1, accumulate=2)
    assert_equal_weights(one, four, tolerance=1e-5)
    other = train(tmp_path / "other", batch_size=2)
    assert any((weights(one)[name] - weights(other)[name]).abs().max() > 1e-3 for name in weights(one))


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_where_one_is_killed_all_end_and_the_training_goes_on(tmp_path: Path, killed: int) -> None:
    psutil = pytest.importorskip("psutil")
    out = tmp_path / "run"
    numbers = {"devices": 2, "batch_size": 2, "steps": 12, "save_every": 1}
    run = command(out, **numbers, pause_ms=400)
    process = subprocess.Popen(run["args"], env=run["env"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 400
    while not (out / "last.ckpt").is_file() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.1)
    assert (out / "last.ckpt").is_file(), process.poll()
    both = [psutil.Process(process.pid), *psutil.Process(process.pid).children()]
    both[killed].kill()
    said = process.communicate(timeout=60)[1]
    _, alive = psutil.wait_procs(both, timeout=30)
    assert not alive
    lines = [line for line in said.splitlines() if line.startswith("error")]
    assert len(lines) == 1, said
    assert "was killed" in lines[0]
    assert f"resume from {out / 'last.ckpt'} with --resume auto" in lines[0]
    assert "Traceback" not in said
    assert process.returncode == (1 if killed else -9)
    assert not (out / "model.safetensors").exists()
    train(out, **numbers)
    assert_equal_weights(out, train(tmp_path / "whole", **numbers), tolerance=1e-6)


@pytest.mark.slow
def test_a_single_process_in_a_job_of_two_tasks_waits_for_nobody(tmp_path: Path) -> None:
    assert_equal_weights(train(tmp_path / "plain", batch_size=4), train(tmp_path / "job", JOB, batch_size=4))


def test_only_srun_starts_the_processes_of_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    assert launched_by(1) == launched_by(2) == []
    for name, value in JOB.items():
        monkeypatch.setenv(name, value)
    for processes in (1, 2):  # the job's script: one process, which starts the others itself
        assert [type(plugin) for plugin in launched_by(processes)] == [LightningEnvironment]
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    assert launched_by(2) == []
    assert [type(plugin) for plugin in launched_by(1)] == [LightningEnvironment]
