"""A toy network and its training, what a run folder holds, and a signal in the middle of a step."""

from __future__ import annotations

import csv
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from cellscope.assays.karyotype.options import TrainOptions
from cellscope.engine.train.callbacks import Progress
from cellscope.engine.train.data import drawn_batches
from cellscope.engine.train.fit import fit
from cellscope.engine.train.schedule import optimiser_and_schedule
from cellscope.models.file import ModelCard, load_model

FILES = {"model.safetensors", "last.ckpt", "metrics.csv", "config.toml", "run.json", "curves.png"}


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


def run_toy(
    out: Path,
    *,
    scores: list[float] | None = None,
    validate: bool = True,
    say: Callable[[str], None] = lambda _text: None,
    plain: bool = False,
    **changes: Any,
) -> Toy:
    """Train the toy; with `plain`, one whose loss is the same whoever holds which items of a batch."""
    options = options_for(**changes)
    L.seed_everything(options.seed, verbose=False)
    toy = Toy(options, scores)
    if plain:  # neither dropout nor batch statistics
        toy.network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))

    fit(
        toy,
        drawn_batches(Numbers(), ["a"] * 5, options),
        DataLoader(Numbers(), 5) if validate else None,
        out,
        options=options,
        card=lambda metrics: card(metrics),
        network=toy.network,
        argv=["cellscope", "toy"],
        record={"dataset": {"hash": "x"}},
        say=say,
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
