"""What happens in a step: losses, the moving average of weights, the paper's two steps, validation."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F

from cellscope.assays.mitosis.datasets.batches import plain_batch, varied_batch
from cellscope.assays.mitosis.datasets.sequences import Sequences
from cellscope.assays.mitosis.evaluation.scores import scores
from cellscope.assays.mitosis.networks.registry import TrackNet, probabilities
from cellscope.assays.mitosis.options import TrainOptions
from cellscope.engine.train.averaging import Averaging
from cellscope.engine.train.phases import Phases
from cellscope.engine.train.schedule import decay_groups, optimiser_and_schedule

NOISE, MIXING = 0.3, 0.4
"""Of measurements in training: noise in units of their spread, and both parameters of the mixing share's beta law."""

FIRST_BEST = "first_step_best"
"""In a checkpoint: the best weights so far of the first of two steps, and their score."""


class SequenceLearner(Averaging):
    """Loss, moving average, the paper's two steps, and validation by F1 and ROC AUC of the last class.

    Parameters
    ----------
    network : Module
    options : TrainOptions
    train, val : Sequences
        Batches are indices into them.
    settings : dict
        How the network sees sequences.
    phases : Phases, optional
        Of the same options.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        options: TrainOptions,
        train: Sequences,
        val: Sequences,
        settings: dict[str, Any],
        phases: Phases | None = None,
    ):
        super().__init__(network, options.average or 0.0, memory_format=None)
        self.phases = phases or Phases(options)
        self._class_weights = class_weights(train) if options.balance == "loss" else None
        self.options, self.train_set, self.val_set, self.settings = options, train, val, settings
        self._fields = train.fields(settings) if settings["size"] else torch.zeros(0)
        self._seen: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._first_best: dict[str, Any] = {}

    @property
    def second_from(self) -> int:
        """The step with which the second of two begins; 0 if there is one only."""
        return self.options.second_from

    def on_train_batch_start(self, *_: Any) -> None:
        """In the first of two steps, keep the backbone as it came; begin the second with the best weights so far."""
        backbone = getattr(self.student, "backbone", None)
        if backbone is not None and self.second_from and self.options.freeze_first and self.options.init != "none":
            frozen = self.global_step < self.second_from
            backbone.requires_grad_(not frozen)
            backbone.train(not frozen)
        if self.second_from and self.global_step == self.second_from and self._first_best:
            self.load_state_dict(self._first_best["weights"])
            self._first_best = {}
            self.trainer.optimizers[0].state.clear()  # momenta belong to the weights that were left behind

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the best weights of the first step for a training that goes on from here."""
        if self._first_best and "optimizer_states" in checkpoint:
            checkpoint[FIRST_BEST] = self._first_best

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take them back."""
        self._first_best = checkpoint.get(FIRST_BEST, {})

    def training_step(self, batch: torch.Tensor, _index: int) -> torch.Tensor:
        """Cross entropy with label smoothing; the paper's L2 penalty on its dense layer where asked for."""
        index = batch.tolist()
        with torch.autocast("cpu", enabled=False):  # views are made in float32 whatever the network computes in
            views = varied_batch(self.train_set, index, self.settings, str(self.options.augment), self._fields)
        labels = torch.from_numpy(self.train_set.labels[index]).to(self.device)
        logits = self.student(views.to(self.device)).float()
        weights = None if self._class_weights is None else self._class_weights[labels.cpu()].to(logits.device)
        smooth = self.options.label_smoothing or 0.0
        each = F.cross_entropy(logits, labels, label_smoothing=smooth, reduction="none")
        loss = each.mean() if weights is None else (weights * each).mean()
        self.log_dict(
            {"loss": loss.detach(), "accuracy": (logits.argmax(1) == labels).float().mean()}, batch_size=len(index)
        )
        dense = getattr(self.student, "dense", None)
        if self.options.head_decay and dense is not None:
            loss = loss + self.options.head_decay * dense.weight.pow(2).sum()
        return loss

    def validation_step(self, batch: torch.Tensor, _index: int) -> None:
        """Classify plain views."""
        with torch.autocast("cpu", enabled=False):
            views = plain_batch(self.val_set, batch.tolist(), self.settings).to(self.device)
        labels = torch.from_numpy(self.val_set.labels[batch.tolist()])
        self._seen.append((probabilities(self.network.eval(), views, flips=False).cpu(), labels))

    def on_validation_epoch_end(self) -> None:
        """Log accuracy, precision, recall, F1, ROC AUC and ``val_score``: the mean of the last two, or the accuracy."""
        p, labels = (torch.cat(values).numpy() for values in zip(*self._seen, strict=True))
        self._seen = []
        found = scores(labels, p)
        logged = {f"val_{name}": value for name, value in found.items() if value is not None}
        score = ((found["f1"] or 0.0) + (found["roc_auc"] or 0.5)) / 2
        if self.options.choose_by == "accuracy":
            score = found["accuracy"] or 0.0
        self.log_dict(logged | {"val_score": score})
        if 0 < self.global_step <= self.second_from and score > self._first_best.get("score", -1.0):
            weights = {name: value.detach().cpu().clone() for name, value in self.state_dict().items()}
            self._first_best = {"score": score, "weights": weights}

    def configure_optimizers(self) -> Any:
        """Optimiser and schedule by options; no weight decay on norms and biases; a backbone has its own rate."""
        options = self.options
        share = 1.0 if options.backbone_rate is None else options.backbone_rate
        backbone = getattr(self.student, "backbone", None) if share != 1.0 else None
        rate = share * (options.learning_rate or 0.0)
        return optimiser_and_schedule(
            decay_groups(self.student, backbone=backbone, rate=rate),
            options,
            phases=self.phases,
            second_rate=options.second_rate or 1.0,
        )


def class_weights(sequences: Sequences) -> torch.Tensor:
    """Weigh classes in the loss by how rare they are: (K,) float32, N / (K n) for a class of n of N sequences."""
    counts = np.bincount(sequences.labels)
    return torch.tensor(len(sequences.labels) / (len(counts) * np.maximum(counts, 1)), dtype=torch.float32)


class TrackLearner(SequenceLearner):
    """Training of a network over measurements: noise and mixtures of sequences take the place of varied pictures."""

    def training_step(self, batch: torch.Tensor, _index: int) -> torch.Tensor:
        """Cross entropy of mixed, noisy measurements with label smoothing."""
        index = batch.tolist()
        network = cast(TrackNet, self.student)
        x = self.train_set.measurements[index].to(self.device)
        labels = torch.from_numpy(self.train_set.labels[index]).to(self.device)
        strength = 0.0 if self.options.augment == "none" else NOISE
        x = x + strength * torch.randn_like(x) * network.scale
        share = float(torch.distributions.Beta(MIXING, MIXING).sample()) if strength else 1.0
        other = torch.randperm(len(index))
        logits = self.student(share * x + (1 - share) * x[other]).float()
        smooth = self.options.label_smoothing or 0.0
        loss = share * F.cross_entropy(logits, labels, label_smoothing=smooth)
        loss = loss + (1 - share) * F.cross_entropy(logits, labels[other], label_smoothing=smooth)
        self.log_dict({"loss": loss.detach()}, batch_size=len(index))
        return loss

    def validation_step(self, batch: torch.Tensor, _index: int) -> None:
        """Classify measurements."""
        x = self.val_set.measurements[batch.tolist()].to(self.device)
        labels = torch.from_numpy(self.val_set.labels[batch.tolist()])
        self._seen.append((self.network.eval()(x).float().softmax(1).cpu(), labels))
