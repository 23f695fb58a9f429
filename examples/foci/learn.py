"""`cellscope foci prepare`, `train` and `eval`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset

from cellscope import __version__
from cellscope.assays.foci.assay import ASSAY, CLASSES, KIND, PART, conclude, network, normalised
from cellscope.assays.foci.options import EvalOptions, PredictOptions, TrainOptions
from cellscope.engine.assay import Subject
from cellscope.engine.eval.metric import measure
from cellscope.engine.eval.run import Evaluation
from cellscope.engine.regroup import regroup
from cellscope.engine.train.averaging import Averaging
from cellscope.engine.train.data import drawn_batches, initialise, open_dataset, run_record, say, training_facts
from cellscope.engine.train.fit import fit
from cellscope.engine.train.schedule import decay_groups, optimiser_and_schedule
from cellscope.io.annotations.label_image import read_label_image
from cellscope.io.annotations.places import image_files
from cellscope.io.annotations.tally import Tally
from cellscope.io.prepared import Item, PreparedDataset, write_dataset
from cellscope.io.read import read
from cellscope.io.sources import store_sources
from cellscope.io.write import write_labels, write_png
from cellscope.models.card import ModelCard
from cellscope.options.common import PrepareOptions, ShardOptions
from cellscope.options.fields import extended

PAIRS = SimpleNamespace(detect=lambda s: (s / "images").is_dir(), read=lambda s: image_files(s / "images"))
"""The layout of a source: ``images/*`` and ``masks/*.png`` of the same names."""


def prepare(sources: list[Path], out: Path, options: PrepareOptions) -> int:
    """Copy images and masks into a prepared dataset; every image is its own group."""

    def store(path: Path, source: Path, name: str, tally: Tally) -> list[Item]:
        labels = read_label_image(source / "masks" / f"{path.stem}.png").values
        tally.image(CLASSES * (len(np.unique(labels)) - 1))
        item = f"{name}/{path.stem}"
        for folder in ("images", "targets"):
            (out / folder / name).mkdir(parents=True, exist_ok=True)
        write_png(out / f"images/{item}.png", read(path).pixels)
        write_labels(out / f"targets/{item}.tif", labels)
        return [Item(item, item, f"images/{item}.png", f"targets/{item}.tif")]

    items, facts = store_sources(sources, out, options, {"pairs": PAIRS}, store, folders=("images", "targets"))
    common = {"seed": options.seed, "splits": options.splits, "folds": options.folds, "assay": "foci", "sources": facts}
    write_dataset(out, regroup(items, options.group_by), classes=list(CLASSES), pixel_size_um=None, **common)
    return 0


class Images(Dataset):
    """The images of one split as (image, mask), (1, H, W) float32 each."""

    def __init__(self, prepared: PreparedDataset, split: str, options: TrainOptions):
        rows = prepared.split(split)[: options.limit]
        self.images = [normalised(read(prepared.root / name).pixels) for name in rows["image"]]
        self.masks = [read_label_image(prepared.root / name).values[None] > 0 for name in rows["target"]]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: Any) -> tuple[np.ndarray, np.ndarray]:
        item = key[0] if isinstance(key, tuple) else key  # in training (item, number of the draw)
        return self.images[item], self.masks[item].astype(np.float32)


class Learner(Averaging):
    """The loss, the validation and the optimiser."""

    def __init__(self, module: torch.nn.Module, options: TrainOptions):
        super().__init__(module, 0.0)
        self.options = options

    def training_step(self, batch: Any, _index: int) -> torch.Tensor:
        """Binary cross entropy."""
        return torch.nn.functional.binary_cross_entropy_with_logits(self.student(batch[0]).float(), batch[1])

    def validation_step(self, batch: Any, _index: int) -> None:
        """Dice of the foreground; the engine keeps the weights with the highest ``val_score``."""
        found, truth = self.network(batch[0]).float() > 0, batch[1] > 0
        self.log("val_score", (2.0 * (found & truth).sum() + 1) / (found.sum() + truth.sum() + 1), batch_size=1)

    def configure_optimizers(self) -> Any:
        """Optimiser and schedule by options."""
        return optimiser_and_schedule(decay_groups(self.student), self.options)


def train(dataset: Path, out: Path, options: TrainOptions, *, argv: list[str]) -> int:
    """Train the network on a prepared dataset."""
    prepared = open_dataset(dataset, "foci", options, out)
    images, validation = Images(prepared, "train", options), DataLoader(Images(prepared, "val", options), 1)
    options = options.in_steps(len(images))
    L.seed_everything(options.seed, verbose=False)
    module = network()
    initialise(module, options, assay="foci", part=PART)
    card = ModelCard.weightless("foci", PART, "conv3", CLASSES, training=training_facts(prepared, options, len(images)))
    fit(
        Learner(module, options), drawn_batches(images, ["all"] * len(images), options), validation, out,
        options=options, card=lambda found: replace(card, metrics=found, cellscope_version=__version__),
        network=module, argv=argv, record=run_record(prepared, PART), say=say,
    )  # fmt: skip
    return 0


def evaluate(
    dataset: Path, out: Path, *, run: ShardOptions, options: EvalOptions, models: list[str], **asked: Any
) -> int:
    """Measure a model on one split."""
    evaluation = Evaluation(ASSAY, dataset, out, run=run, options=options, models=models, **asked)
    read_item = partial(_read, evaluation.prepared.root, extended(options, PredictOptions))
    rows = evaluation.prepared.split(asked["split"])[: run.limit]
    found = evaluation.measure(rows, evaluation.load(models), read_item, _compare, window=8)
    if run.shard:
        return evaluation.end_shard()
    table = pd.DataFrame([{"image": name, **row} for name, row in found.items()])
    mean = measure("dice", table["image"], lambda chosen: table.dice.iloc[chosen].mean(), convention="mean over images")
    return evaluation.write(n=len(table), metrics=[mean], per_image=table, figures={})


def _read(root: Path, options: PredictOptions, row: Any, cards: Any) -> Subject:
    truth = read_label_image(root / row.target).values > 0
    return Subject(row.id, read(root / row.image), KIND, options, cards, truth=truth)


def _compare(subject: Subject) -> dict[str, float]:
    found, truth = conclude(subject).artefacts[".labels.tif"] > 0, subject.truth
    return {"dice": float(2 * (found & truth).sum() / max(found.sum() + truth.sum(), 1))}
