"""Training of the classifier: cross entropy with smoothing; validation by ROC AUC and mean recall."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
import torch.nn.functional as F

from cellscope.engine.train import optimiser_and_schedule
from cellscope.metrics.classification import balanced_accuracy, roc_auc


class ClassifyLearner(L.LightningModule):
    """Loss, optimiser and validation of the classifier.

    Parameters
    ----------
    network : Module
        (B, 1, S, S) -> (B, 2) logits.
    options : TrainOptions
    """

    def __init__(self, network: torch.nn.Module, options: Any):
        super().__init__()
        self.network, self.options = network, options
        self._seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def training_step(self, batch: Any, _index: int) -> torch.Tensor:
        """Cross entropy with label smoothing."""
        views, labels = batch
        logits = self.network(views).float()
        loss = F.cross_entropy(logits, labels, label_smoothing=self.options.label_smoothing)
        right = (logits.argmax(1) == labels).float().mean()
        self.log_dict({"loss_class": loss.detach(), "accuracy": right}, batch_size=len(views))
        return loss

    def validation_step(self, batch: Any, _index: int) -> None:
        """Classify plain views."""
        views, labels = batch
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
        decay = [p for p in self.network.parameters() if p.ndim > 1]
        plain = [p for p in self.network.parameters() if p.ndim <= 1]
        return optimiser_and_schedule([{"params": decay}, {"params": plain, "weight_decay": 0.0}], self.options)
