"""`cellscope mitosis train`: one training, or several whose spread and joint model count."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, cast

import lightning as L
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from cellscope import __version__
from cellscope.assays.mitosis.config import TrainOptions
from cellscope.assays.mitosis.data import (
    Places,
    Sequences,
    draw_weights,
    load_sequences,
    plain_batch,
    varied_batch,
)
from cellscope.assays.mitosis.model import TrackNet, arguments_of, build_network, probabilities
from cellscope.assays.mitosis.score import scores
from cellscope.assays.mitosis.view import FRAMES
from cellscope.engine.averaging import move_average
from cellscope.engine.draws import WeightedDraws
from cellscope.engine.train import fit, optimiser_and_schedule
from cellscope.errors import ModelError, UsageError
from cellscope.io.prepared import PreparedDataset
from cellscope.io.write import write_csv
from cellscope.metrics.calibration import best_slope_and_bias, log_odds
from cellscope.models.file import ModelCard, load_model
from cellscope.models.registry import locate

VIEW_SETTINGS = ("size", "zoom_power", "follow")
"""What of an architecture's arguments says how a network sees sequences."""

NOISE, MIXING = 0.3, 0.4
"""Of measurements in training: noise in units of their spread, and both parameters of the mixing share's beta law."""

PREDICTIONS = "predictions.csv"
"""In a run folder: what the final model says of the sequences it was validated on."""


class SequenceLearner(L.LightningModule):
    """Loss, moving average, the paper's two steps, and validation by F1 and ROC AUC of the last class.

    Parameters
    ----------
    network : Module
    options : TrainOptions
    train, val : Sequences
        Batches are indices into them.
    settings : dict
        How the network sees sequences.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        options: TrainOptions,
        train: Sequences,
        val: Sequences,
        settings: dict[str, Any],
    ):
        super().__init__()
        self.network, self.options, self.train_set, self.val_set, self.settings = network, options, train, val, settings
        self.averaged = copy.deepcopy(network).requires_grad_(False) if options.average else None
        self._fields = train.fields(settings) if settings["size"] else torch.zeros(0)
        self._seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    @property
    def final(self) -> torch.nn.Module:
        """The network to keep: the average of weights where one is made."""
        return self.network if self.averaged is None else self.averaged

    def on_train_batch_start(self, *_: Any) -> None:
        """In the first of two steps, keep the backbone as it came from ImageNet."""
        frozen = bool(self._frozen_until()) and self.global_step < self._frozen_until()
        backbone = getattr(self.network, "backbone", None)
        if backbone is not None and self._frozen_until():
            backbone.requires_grad_(not frozen)
            backbone.train(not frozen)

    def _frozen_until(self) -> int:
        two_steps = self.options.freeze_first and self.options.second_rate and self.options.init != "none"
        return (self.options.steps or 0) // 2 if two_steps else 0

    def training_step(self, batch: torch.Tensor, _index: int) -> torch.Tensor:
        """Cross entropy with label smoothing; the paper's L2 penalty on its dense layer where asked for."""
        index = batch.tolist()
        with torch.autocast("cpu", enabled=False):  # views are made in float32 whatever the network computes in
            views = varied_batch(self.train_set, index, self.settings, str(self.options.augment), self._fields)
        labels = torch.from_numpy(self.train_set.labels[index]).to(self.device)
        logits = self.network(views.to(self.device)).float()
        loss = F.cross_entropy(logits, labels, label_smoothing=self.options.label_smoothing or 0.0)
        self.log_dict(
            {"loss": loss.detach(), "accuracy": (logits.argmax(1) == labels).float().mean()}, batch_size=len(index)
        )
        dense = getattr(self.network, "dense", None)
        if self.options.head_decay and dense is not None:
            loss = loss + self.options.head_decay * dense.weight.pow(2).sum()
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Move the average of weights as part of the step, so that a checkpoint of the step holds it."""
        super().optimizer_step(*args, **kwargs)
        if self.averaged is not None:
            move_average(self.averaged, self.network, step=self.global_step + 1, decay=self.options.average or 0.0)

    def validation_step(self, batch: torch.Tensor, _index: int) -> None:
        """Classify plain views."""
        with torch.autocast("cpu", enabled=False):
            views = plain_batch(self.val_set, batch.tolist(), self.settings).to(self.device)
        labels = torch.from_numpy(self.val_set.labels[batch.tolist()])
        self._seen.append((probabilities(self.final.eval(), views, flips=False).cpu(), labels))

    def on_validation_epoch_end(self) -> None:
        """Log accuracy, precision, recall, F1, ROC AUC and ``val_score``: the mean of F1 and ROC AUC."""
        p, labels = (torch.cat(values).numpy() for values in zip(*self._seen, strict=True))
        self._seen = []
        found = scores(labels, p)
        logged = {f"val_{name}": value for name, value in found.items() if value is not None}
        self.log_dict(logged | {"val_score": ((found["f1"] or 0.0) + (found["roc_auc"] or 0.5)) / 2})

    def configure_optimizers(self) -> Any:
        """Optimiser and schedule by options; no weight decay on norms and biases."""
        decay = [p for p in self.network.parameters() if p.ndim > 1]
        plain = [p for p in self.network.parameters() if p.ndim <= 1]
        return optimiser_and_schedule([{"params": decay}, {"params": plain, "weight_decay": 0.0}], self.options)


class TrackLearner(SequenceLearner):
    """Training of a network over measurements: noise and mixtures of sequences take the place of varied pictures."""

    def training_step(self, batch: torch.Tensor, _index: int) -> torch.Tensor:
        """Cross entropy of mixed, noisy measurements with label smoothing."""
        index = batch.tolist()
        network = cast(TrackNet, self.network)
        x = self.train_set.measurements[index].to(self.device)
        labels = torch.from_numpy(self.train_set.labels[index]).to(self.device)
        strength = 0.0 if self.options.augment == "none" else NOISE
        x = x + strength * torch.randn_like(x) * network.scale
        share = float(torch.distributions.Beta(MIXING, MIXING).sample()) if strength else 1.0
        other = torch.randperm(len(index))
        logits = self.network(share * x + (1 - share) * x[other]).float()
        smooth = self.options.label_smoothing or 0.0
        loss = share * F.cross_entropy(logits, labels, label_smoothing=smooth)
        loss = loss + (1 - share) * F.cross_entropy(logits, labels[other], label_smoothing=smooth)
        self.log_dict({"loss": loss.detach()}, batch_size=len(index))
        return loss

    def validation_step(self, batch: torch.Tensor, _index: int) -> None:
        """Classify measurements."""
        x = self.val_set.measurements[batch.tolist()].to(self.device)
        labels = torch.from_numpy(self.val_set.labels[batch.tolist()])
        self._seen.append((self.final.eval()(x).float().softmax(1).cpu(), labels))


def split_rows(prepared: PreparedDataset, options: TrainOptions) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows to train on and those to validate on; UsageError where one of them would be empty."""
    if options.leave_out is None:
        train, val = prepared.split("train", fold=options.fold), prepared.split("val", fold=options.fold)
    else:
        from cellscope.assays.mitosis.data import read_facts

        line = {name: facts.line for name, facts in read_facts(prepared).items()}
        left_out = prepared.items["id"].map(line) == options.leave_out
        if not left_out.any() or left_out.all():
            known = ", ".join(sorted(set(line.values()) - {""}))
            raise UsageError(f"--leave-out {options.leave_out}: the dataset's cell lines are {known or 'not known'}")
        train, val = prepared.items[~left_out], prepared.items[left_out]
    return train.head(options.limit) if options.limit else train, val


def predictions(network: torch.nn.Module, sequences: Sequences, settings: dict[str, Any]) -> np.ndarray:
    """Classify sequences with mirror images, in float32: (N, K) float64 mean probabilities."""
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        if isinstance(network, TrackNet):
            return network(sequences.measurements.to(device)).softmax(1).double().cpu().numpy()
        parts = [
            probabilities(
                network,
                plain_batch(sequences, list(range(start, min(start + 16, len(sequences)))), settings).to(device),
            )
            for start in range(0, len(sequences), 16)
        ]
    return torch.cat(parts).double().cpu().numpy()


def predictions_table(sequences: Sequences, p: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Return id, group, line, dose, class and one ``p_<class>`` per class."""
    table = pd.DataFrame({"id": sequences.ids, "group": sequences.groups})
    table["line"] = [fact.line for fact in sequences.facts]
    table["dose"] = [fact.dose for fact in sequences.facts]
    table["class"] = [classes[label] for label in sequences.labels]
    return table.join(pd.DataFrame(p, columns=[f"p_{name}" for name in classes]))


def tuned(p: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Find the line that makes probabilities honest for classes of equal frequency; empty for more than two classes."""
    if p.shape[1] != 2:
        return {}
    slope, bias = best_slope_and_bias(log_odds(p[:, 1]), labels == 1)
    return {"slope": round(slope, 4), "bias": round(bias, 4)}


def make_card(
    arguments: dict[str, Any], arch: str, classes: list[str], prepared: PreparedDataset, training: dict[str, Any],
    thresholds: dict[str, float], metrics: dict[str, Any],
) -> ModelCard:  # fmt: skip
    """Write down what a model is."""
    return ModelCard(
        assay="mitosis",
        part="classify",
        arch=arch,
        arch_args={name: value for name, value in arguments.items() if name not in VIEW_SETTINGS},
        classes=tuple(classes),
        channels=("transmitted", "nuclei"),
        normalisation={
            "kind": "sequence",
            "frames": FRAMES,
            **{name: arguments[name] for name in VIEW_SETTINGS if name in arguments},
        },
        pixel_size_um=prepared.info.get("pixel_size_um"),
        thresholds=thresholds,
        training=training,
        metrics=metrics,
        cellscope_version=__version__,
    )


def training_facts(prepared: PreparedDataset, options: TrainOptions, count: int) -> dict[str, Any]:
    """Return what the model card says of the training."""
    return {
        "data": prepared.info["sources"],
        "dataset_hash": prepared.hash,
        "splits": prepared.info["splits"],
        "split_seed": prepared.info["seed"],
        "fold": options.fold,
        "leave_out": options.leave_out,
        "n_items": count,
        "steps": options.steps,
        "batch_size": options.batch_size,
        "seed": options.seed,
        "init": options.init,
    }


def _initialised(arguments: dict[str, Any], classes: list[str], options: TrainOptions) -> torch.nn.Module:
    pretrained = options.init == "imagenet"
    if options.init in ("none", "imagenet"):
        return build_network(arguments, len(classes), pretrained=pretrained)
    card, tensors = load_model(locate(options.init), assay="mitosis", part="classify")
    prefix = "members.0." if int(card.arch_args.get("members", 1)) > 1 else ""
    tensors = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    network = build_network(arguments, len(classes))
    own = network.state_dict()
    fitting = {name: value for name, value in tensors.items() if name in own and own[name].shape == value.shape}
    if len(fitting) < len(own) // 2:
        raise ModelError(f"{options.init} is a {card.arch} and does not fit; train with --arch {card.arch}")
    network.load_state_dict(fitting, strict=False)
    return network


def train_one(prepared: PreparedDataset, out: Path, options: TrainOptions, *, argv: list[str], say: Any) -> None:
    """Train one network into a run folder, with what it says of its validation sequences in ``predictions.csv``."""
    arguments = arguments_of(options.arch)
    classes = list(prepared.info["classes"])
    settings = {name: arguments[name] for name in VIEW_SETTINGS if name in arguments}
    train_rows, val_rows = split_rows(prepared, options)
    measured = arguments["backbone"] == "tracks"
    train, val = (load_sequences(prepared, rows, classes, measured=measured) for rows in (train_rows, val_rows))
    say(f"{len(train)} sequences to train on, {len(val)} to validate on")
    L.seed_everything(options.seed, verbose=False)
    network = _initialised(arguments, classes, options)
    if isinstance(network, TrackNet):
        if options.init == "none":
            network.standardise_by(train.measurements)
        learner: SequenceLearner = TrackLearner(network, options, train, val, settings)
    else:
        learner = SequenceLearner(network, options, train, val, settings)
    weights = draw_weights(train, str(options.balance))
    steps, batch = options.steps or 1, options.batch_size or 1

    def loader(done: int) -> DataLoader:
        draws = WeightedDraws(weights, steps * batch, options.seed, done * batch)
        return DataLoader(Places(len(train)), batch, sampler=draws, num_workers=0)

    def card(metrics: dict[str, float]) -> ModelCard:
        p = predictions(learner.final, val, settings)
        write_csv(out / PREDICTIONS, predictions_table(val, p, classes))
        facts = training_facts(prepared, options, len(train))
        return make_card(arguments, options.arch, classes, prepared, facts, tuned(p, val.labels), metrics)

    fit(
        learner,
        loader,
        DataLoader(Places(len(val)), 16, num_workers=0),
        out,
        options=options,
        card=card,
        network=learner.final,
        argv=argv,
        record={
            "dataset": {"path": str(prepared.root), "hash": prepared.hash, "sources": prepared.info["sources"]},
            "part": options.part,
        },
        say=say,
    )
