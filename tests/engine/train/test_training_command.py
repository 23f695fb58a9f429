"""The trainings of the karyotype assay through the command line: resume, signals, several processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import drawn.networks  # noqa: F401
import pytest
import torch
from toy_training import (
    FILES,
    assert_equal_weights,
    recorded,
    stop_at,
    weights,
)

from cellscope.assays.karyotype.options import TrainOptions
from cellscope.assays.karyotype.training.train import train
from cellscope.engine.train import folder as run_folder
from cellscope.errors import DatasetError, Interrupted, ModelError, UsageError
from cellscope.io.pages import Pages
from cellscope.models.file import read_card


def assay_options(part: str, **changes: Any) -> TrainOptions:
    arch = {"detect": "chrrender-test", "classify": "chrnet4-test"}[part]
    settings = {
        "part": part,
        "arch": arch,
        "steps": 2,
        "batch_size": 2,
        "num_workers": 0,
        "device": "cpu",
        "precision": "32",
        "half": False,
        "val_every": 2,
        "crop": 128,
        "val_limit": 1,
    }
    return TrainOptions(**(settings | changes))


@pytest.mark.parametrize("part", ["detect", "classify"])
def test_two_steps_of_each_part(karyotype_dataset: Path, tmp_path: Path, part: str) -> None:
    assert train(karyotype_dataset, tmp_path, assay_options(part), argv=["cellscope"]) == 0
    assert {path.name for path in tmp_path.iterdir()} >= FILES
    found = read_card(tmp_path / "model.safetensors")
    assert (found.assay, found.part) == ("karyotype", part)
    assert found.training["dataset_hash"] == json.loads((karyotype_dataset / "dataset.json").read_text())["hash"]
    assert set(found.thresholds) == {{"detect": "score_threshold", "classify": "temperature"}[part]}
    assert "val_score" in found.metrics
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["part"] == part


@pytest.mark.parametrize("part", ["detect", "classify"])
def test_images_that_do_not_fit_into_memory_teach_the_same(
    karyotype_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    stored = []
    place = Pages._place
    monkeypatch.setattr(Pages, "_place", lambda self, size: stored.append(size) or place(self, size))
    for name, share in (("memory", 1.0), ("disk", 0.0)):
        train(karyotype_dataset, tmp_path / name, assay_options(part, steps=1, memory_share=share), argv=[])
        assert bool(stored) == (name == "disk")
    assert_equal_weights(tmp_path / "memory", tmp_path / "disk")


@pytest.mark.slow
@pytest.mark.parametrize("part", ["detect", "classify"])
def test_a_stopped_assay_training_goes_on_exactly(
    karyotype_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    options = {"steps": 4, "val_every": 4, "learning_rate": 1e-3}
    with monkeypatch.context() as patch:
        stop_at(patch, 2)
        with pytest.raises(Interrupted):
            train(karyotype_dataset, tmp_path / "stopped", assay_options(part, **options), argv=[])
    train(karyotype_dataset, tmp_path / "stopped", assay_options(part, resume="auto", **options), argv=[])
    train(karyotype_dataset, tmp_path / "whole", assay_options(part, **options), argv=[])
    assert_equal_weights(tmp_path / "stopped", tmp_path / "whole")


def test_start_from_a_model_file(karyotype_dataset: Path, tmp_path: Path) -> None:
    train(karyotype_dataset, tmp_path / "first", assay_options("classify", learning_rate=1e-2), argv=[])
    model = tmp_path / "first" / "model.safetensors"
    still = {"learning_rate": 0.0, "steps": 1, "val_every": 1}
    train(karyotype_dataset, tmp_path / "second", assay_options("classify", init=str(model), seed=9, **still), argv=[])
    first, second = weights(tmp_path / "first"), weights(tmp_path / "second")
    assert torch.equal(first["fc.weight"], second["fc.weight"])
    assert read_card(tmp_path / "second" / "model.safetensors").training["init"] == str(model)
    with pytest.raises(ModelError, match=r"--arch chrnet4-test"):
        train(
            karyotype_dataset,
            tmp_path / "third",
            assay_options("classify", init=str(model), arch="chrnet4-slim"),
            argv=[],
        )
    with pytest.raises(ModelError, match="classify"):
        train(karyotype_dataset, tmp_path / "fourth", assay_options("detect", init=str(model)), argv=[])


def test_what_is_no_dataset_is_refused(karyotype_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="not a prepared dataset"):
        train(tmp_path, tmp_path / "run", assay_options("classify"), argv=[])
    other = tmp_path / "other"
    other.mkdir()
    info = json.loads((karyotype_dataset / "dataset.json").read_text())
    (other / "dataset.json").write_text(json.dumps(info | {"assay": "histo"}))
    (other / "items.csv").write_bytes((karyotype_dataset / "items.csv").read_bytes())
    with pytest.raises(DatasetError, match="prepared for histo"):
        train(other, tmp_path / "run", assay_options("classify"), argv=[])
    with pytest.raises(UsageError, match="source_weights"):
        train(karyotype_dataset, tmp_path / "run", assay_options("classify", source_weights="a:2"), argv=[])
    assert not (tmp_path / "run").exists()


# ---- through the command line

COMMAND = [sys.executable, "-m", "drawn.command", "karyotype", "train"]
TESTS = str(Path(__file__).parents[2])
SMALL = [
    *["--part", "classify", "--arch", "chrnet4-test", "--batch-size", "2", "--device", "cpu", "--precision", "32"],
    *["--learning-rate", "0.001", "--set", "half=false"],
]


def start(dataset: Path, out: Path, *words: str) -> subprocess.Popen:
    """Start a training in a process group of its own, as a shell does."""
    return subprocess.Popen(
        [*COMMAND, str(dataset), "-o", str(out), *SMALL, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([TESTS, *sys.path])},
        start_new_session=True,
    )


def wait_for(path: Path, process: subprocess.Popen, seconds: float = 240) -> None:
    limit = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_killed_for_good_and_resumed(karyotype_dataset: Path, tmp_path: Path) -> None:
    often = ["--num-workers", "0", "--set", "save_every=2", "--set", "val_every=10", "--steps"]
    process = start(karyotype_dataset, tmp_path / "killed", *often, "2000")
    try:
        wait_for(tmp_path / "killed" / "best.ckpt", process)  # that is after the first validation, at step 10
    finally:
        process.kill()
        process.communicate()
    done = torch.load(tmp_path / "killed" / "last.ckpt", weights_only=True)["global_step"]
    assert 10 <= done < 2000
    assert not (tmp_path / "killed" / "run.json").exists()
    # The rate's schedule belongs to 2000 steps: go on from the checkpoint for a few steps, against a run never killed.
    steps = done + 3
    same = {"save_every": 2, "val_every": 10, "learning_rate": 1e-3, "schedule": "constant"}
    whole, resumed = tmp_path / "whole", tmp_path / "killed"
    train(karyotype_dataset, whole, assay_options("classify", steps=steps, **same), argv=[])
    train(karyotype_dataset, resumed, assay_options("classify", steps=steps, resume="auto", **same), argv=[])
    first, second = (torch.load(run / "last.ckpt", weights_only=True)["state_dict"] for run in (whole, resumed))
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, atol=1e-6, rtol=0)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize(
    ("number", "code", "group"),
    [(signal.SIGTERM, 143, False), (signal.SIGINT, 130, True), (signal.SIGTERM, 143, True)],
    ids=["kill", "ctrl-c", "whole-group"],
)
def test_signals_through_the_command_line(
    karyotype_dataset: Path, tmp_path: Path, number: int, code: int, group: bool
) -> None:
    """A shell's Ctrl-C and a scheduler's SIGTERM reach the loader's worker processes too."""
    out = tmp_path / "run"
    process = start(
        karyotype_dataset,
        out,
        "--steps",
        "100000",
        "--num-workers",
        "1",
        "--set",
        "save_every=3",
        "--set",
        "val_every=100000",
    )
    try:
        wait_for(out / "last.ckpt", process)
        (os.killpg if group else os.kill)(process.pid, number)
        stdout, stderr = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == code, stderr
    assert stdout == ""
    errors = [line for line in stderr.splitlines() if line.startswith("error:")]
    assert errors == [stderr.splitlines()[-1]]
    assert "training stopped by signal at step" in errors[0]
    assert "--resume auto" in errors[0]
    assert "Traceback" not in stderr
    step = int(errors[0].split("at step ")[1].split(";")[0])
    assert torch.load(out / "last.ckpt", weights_only=True)["global_step"] == step
    assert not (out / "run.json").exists()


@pytest.mark.slow
def test_two_processes_train_and_write_once(karyotype_dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(
        karyotype_dataset, out, "--steps", "2", "--num-workers", "0", "--devices", "2", "--set", "val_every=2"
    )
    try:
        stdout, stderr = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, stderr
    assert stdout.splitlines() == [str(out)]
    assert stderr.count("chromosomes to train on") == 1
    assert stderr.count("validation score") == 1
    assert {path.name for path in out.iterdir()} >= FILES
    assert list(recorded(out, "val_score")) == [2]
    assert (out / "metrics.csv").read_text().count("val_score") == 1
    record = json.loads((out / "run.json").read_text())
    assert record["metrics"]["val_score"] == pytest.approx(recorded(out, "val_score")[2])
    alone = tmp_path / "alone"
    train(karyotype_dataset, alone, assay_options("classify", learning_rate=1e-3), argv=[])
    assert not torch.equal(weights(alone)["fc.weight"], weights(out)["fc.weight"])  # the second process saw other draws


def test_module_names_are_those_of_the_contract() -> None:
    assert {run_folder.LAST, run_folder.MODEL} <= FILES
