"""Training: files, determinism, kill and resume, signals, several processes.

What concerns the loop runs on a toy network in this process; signals and several processes go through the command line.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from cellscope.assays.karyotype.config import TrainOptions
from cellscope.assays.karyotype.learn import train
from cellscope.engine import train as training
from cellscope.engine.curves import MetricsFile, draw_curves
from cellscope.engine.learning import DrawSampler
from cellscope.engine.train import find_resume, fit, optimiser_and_schedule
from cellscope.engine.training_callbacks import Progress
from cellscope.errors import CellscopeError, DatasetError, Interrupted, ModelError, UsageError
from cellscope.models.file import ModelCard, load_model, read_card

FILES = {"model.safetensors", "last.ckpt", "metrics.csv", "config.toml", "run.json", "curves.png"}

# ---- a toy assay


class Numbers(Dataset):
    """Item (index, draw) is a vector that depends on both."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, key: Any) -> torch.Tensor:
        index, draw = key if isinstance(key, tuple) else (key, 0)
        return torch.from_numpy(np.random.default_rng([index, draw]).normal(size=4).astype(np.float32))


class Toy(L.LightningModule):
    """Fits a sum; dropout makes it depend on the random numbers of every step."""

    def __init__(self, options: Any, scores: list[float] | None = None):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))
        self.options, self.scores, self.validated = options, scores, []

    def training_step(self, batch: torch.Tensor, _index: int) -> torch.Tensor:
        loss = (self.network(batch)[:, 0] - batch.sum(1)).square().mean()
        self.log("loss_toy", loss.detach())
        return loss

    def validation_step(self, batch: torch.Tensor, _index: int) -> None:
        self.network(batch)

    def on_validation_epoch_end(self) -> None:
        step = self.global_step
        self.validated.append(step)
        self.log("val_score", float(step) if self.scores is None else self.scores[step // 4 - 1])

    def configure_optimizers(self) -> Any:
        return optimiser_and_schedule(self.parameters(), self.options)


def options_for(**changes: Any) -> TrainOptions:
    settings = {
        "steps": 12,
        "batch_size": 3,
        "learning_rate": 0.05,
        "weight_decay": 0.0,
        "warmup_steps": 2,
        "val_every": 4,
        "save_every": 5,
        "num_workers": 0,
        "device": "cpu",
        "precision": "32",
        "half": False,
        "seed": 4,
    }
    return TrainOptions(**(settings | changes))


def run_toy(out: Path, *, scores: list[float] | None = None, validate: bool = True, **changes: Any) -> Toy:
    options = options_for(**changes)
    L.seed_everything(options.seed, verbose=False)
    toy = Toy(options, scores)
    draws = options.steps * options.batch_size

    def loader(done: int) -> DataLoader:
        sampler = DrawSampler(["a"] * 5, {}, draws, options.seed, done * options.batch_size)
        return DataLoader(Numbers(), options.batch_size, sampler=sampler)

    fit(
        toy,
        loader,
        DataLoader(Numbers(), 5) if validate else None,
        out,
        options=options,
        card=lambda metrics: card(metrics),
        network=toy.network,
        argv=["cellscope", "toy"],
        record={"dataset": {"hash": "x"}},
        say=lambda text: None,
    )
    return toy


def card(metrics: dict[str, float]) -> ModelCard:
    return ModelCard(
        assay="karyotype",
        part="classify",
        arch="toy",
        arch_args={},
        classes=("1",),
        channels=("grey",),
        normalisation={},
        pixel_size_um=None,
        thresholds={},
        training={},
        metrics=metrics,
        cellscope_version="0",
    )


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_model(run / "model.safetensors", assay="karyotype")[1]


def assert_equal_weights(one: Path, other: Path, *, tolerance: float = 1e-6) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(
            value, second[name], atol=tolerance, rtol=0, msg=lambda text, name=name: f"{name}: {text}"
        )


def recorded(run: Path, name: str) -> dict[int, float]:
    with (run / "metrics.csv").open() as stream:
        return {int(row["step"]): float(row["value"]) for row in csv.DictReader(stream) if row["name"] == name}


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int, number: int = signal.SIGTERM) -> None:
    """Send this process a signal in the middle of a step."""
    before = Progress.on_train_batch_end

    def on_train_batch_end(self: Progress, trainer: L.Trainer, *rest: Any) -> None:
        before(self, trainer, *rest)
        if trainer.global_step == step:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Progress, "on_train_batch_end", on_train_batch_end)


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
    with pytest.raises(UsageError, match=r"text\.ckpt is no checkpoint"):
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


# ---- the karyotype assay's two parts


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

COMMAND = [sys.executable, "-m", "cellscope", "karyotype", "train"]
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
    assert {training.LAST, training.MODEL} <= FILES
