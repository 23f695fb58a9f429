"""Trainings of several processes, and a batch system's variables around a single one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from lightning.pytorch.plugins.environments import LightningEnvironment
from toy_training import assert_equal_weights, weights

from cellscope.engine.train.fit import launched_by

HERE = Path(__file__).parents[1]
JOB = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURM_JOB_NAME": "train", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
"""What the script of a job with two tasks has in its environment."""


def train(out: Path, devices: int, batch_size: int, **more: str) -> Path:
    places = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places), "OMP_NUM_THREADS": "1", **more}
    command = [sys.executable, str(HERE / "ddp_runner.py"), str(out), str(devices), str(batch_size)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_with_the_double_batch(tmp_path: Path) -> None:
    one = train(tmp_path / "one", 1, 4)
    two = train(tmp_path / "two", 2, 2)
    assert_equal_weights(one, two, tolerance=1e-5)
    other = train(tmp_path / "other", 1, 2)
    assert any((weights(one)[name] - weights(other)[name]).abs().max() > 1e-3 for name in weights(one))


@pytest.mark.slow
def test_a_single_process_in_a_job_of_two_tasks_waits_for_nobody(tmp_path: Path) -> None:
    assert_equal_weights(train(tmp_path / "plain", 1, 4), train(tmp_path / "job", 1, 4, **JOB))


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
