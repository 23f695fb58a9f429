"""Training of the classifier: cross entropy with smoothing; validation by ROC AUC and mean recall."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
import torch.nn.functional as F

from cellscope.assays.micronucleus.classify.mobilevit import CropClassifier
from cellscope.engine.train.schedule import decay_groups, optimiser_and_schedule
from cellscope.metrics.classification import balanced_accuracy, roc_auc

WHERE_POSITIVE = 10.0
"""How much more a place with a micronucleus counts than one without: they are one in some fifty."""


WHERE_PRIOR = -3.0
"""Logit that the coarse map of micronuclei starts from: almost everywhere there is none."""


def _locator(channels: int) -> torch.nn.Conv2d:
    """Make the layer that reads the coarse map off the features; only training has it."""
    layer = torch.nn.Conv2d(channels, 1, 1)
    torch.nn.init.constant_(layer.bias, WHERE_PRIOR)  # type: ignore[arg-type]
    return layer


class ClassifyLearner(L.LightningModule):
    """Loss, optimiser and validation of the classifier.

    Parameters
    ----------
    network : CropClassifier
        (B, 1, S, S) -> (B, 2) logits.
    options : TrainOptions
    """

    def __init__(self, network: CropClassifier, options: Any):
        super().__init__()
        self.network, self.options = network, options
        channels: int = getattr(network, "early_channels", None) or 0
        self.locator = _locator(channels) if channels and options.where_weight > 0 else None
        self._seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def training_step(self, batch: Any, _index: int) -> torch.Tensor:
        """Cross entropy with label smoothing; where micronuclei are outlined, also of a coarse map of them."""
        views, labels, marks = batch
        views = views.contiguous(memory_format=torch.channels_last)
        if self.locator is None:
            logits, where = self.network(views).float(), None
        else:
            logits, early = self.network.with_early_map(views)
            logits, where = logits.float(), self.locator(early).float()
        loss = F.cross_entropy(logits, labels, label_smoothing=self.options.label_smoothing)
        parts = {"loss_class": loss.detach(), "accuracy": (logits.argmax(1) == labels).float().mean()}
        if where is not None:
            where_loss = self._where_loss(where, marks)
            parts["loss_where"] = where_loss.detach()
            loss = loss + self.options.where_weight * where_loss
        self.log_dict(parts, batch_size=len(views))
        return loss

    @staticmethod
    def _where_loss(where: torch.Tensor, marks: torch.Tensor) -> torch.Tensor:
        """Cross entropy of the coarse map; a cell of it holds a micronucleus when a tenth of it, or more, is one."""
        known = marks[:, 0, 0, 0] >= 0
        if not known.any():
            return where.sum() * 0.0
        share = F.adaptive_avg_pool2d(marks[known], (where.shape[-2], where.shape[-1]))
        target = (share / 0.1).clamp(0, 1)
        weight = 1 + (WHERE_POSITIVE - 1) * target
        return F.binary_cross_entropy_with_logits(where[known], target, weight=weight)

    def validation_step(self, batch: Any, _index: int) -> None:
        """Classify plain views."""
        views, labels, _ = batch
        logits = self.network(views).float()
        self._seen.append(((logits[:, 1] - logits[:, 0]).cpu(), labels.cpu()))

    def on_validation_epoch_end(self) -> None:
        """Log mean recall, ROC AUC and their mean (``val_score``): a tie of recall goes to the better ranking."""
        scores, labels = (torch.cat(values).numpy() for values in zip(*self._seen, strict=True))
        self._seen = []
        recall = balanced_accuracy(labels, (scores > 0).astype(labels.dtype)) or 0.0
        auc = roc_auc(labels == 1, scores)
        self.log_dict({"val_mean_recall": recall, "val_auc": auc or 0.5, "val_score": (recall + (auc or 0.5)) / 2})

    def configure_optimizers(self) -> Any:
        """Optimiser and schedule by options; no weight decay on norms and biases."""
        return optimiser_and_schedule(decay_groups(self), self.options)
