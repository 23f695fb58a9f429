"""Training of the finder: cross entropy and overlap per pixel; validation by nuclei found and cells told apart."""

from __future__ import annotations

from typing import Any

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F

from cellscope.assays.micronucleus.datasets.fields import Field
from cellscope.assays.micronucleus.field.scaling import finder_maps, finder_view
from cellscope.assays.micronucleus.find.finder import Finder
from cellscope.assays.micronucleus.find.instances import nuclei_of, score_cells
from cellscope.assays.micronucleus.find.lite_finder import LiteFinder
from cellscope.engine.train.schedule import optimiser_and_schedule
from cellscope.metrics.classification import roc_auc
from cellscope.metrics.instances import matched_labels

MN_WEIGHT = 8.0
"""How much more a pixel of a micronucleus counts: they are one in some 300."""


class FinderLearner(L.LightningModule):
    """Losses, optimiser and validation of the finder.

    Parameters
    ----------
    network : Finder or LiteFinder
    options : TrainOptions
    fields : list of Field
        Validation fields; the loader gives their indices.
    """

    def __init__(self, network: Finder | LiteFinder, options: Any, fields: list[Field]):
        super().__init__()
        self.network, self.options, self.fields = network, options, fields
        self._found = np.zeros(3)
        self._cells: list[tuple[np.ndarray, np.ndarray]] = []

    def training_step(self, batch: Any, _index: int) -> torch.Tensor:
        """Sum of the three planes' losses."""
        inputs, targets, weights = batch
        logits = self.network(inputs.contiguous(memory_format=torch.channels_last)).float()
        loss, parts = finder_loss(logits, targets, weights)
        self.log_dict({"loss": loss.detach(), **parts}, batch_size=len(inputs))
        return loss

    def validation_step(self, batch: Any, _index: int) -> None:
        """Find the nuclei of whole fields at their true scale; weigh the micronucleus plane around them."""
        for number in batch.tolist():
            field = self.fields[number]
            view = torch.from_numpy(finder_view(field.normalised, field.diameter))[None].to(self.device)
            maps = finder_maps(self.network(view)[0].float().cpu().numpy(), field.grey.shape)
            found = nuclei_of(maps[0], maps[1], field.diameter)
            pairs = matched_labels(field.nuclei, found)
            self._found += (len(pairs), int(found.max()) - len(pairs), len(np.unique(field.nuclei)) - 1 - len(pairs))
            if not field.complete:
                continue
            positive = field.positive()
            finder_scores = score_cells(maps[2], found, field.diameter, list(pairs.values()))
            self._cells.append((np.array([label in positive for label in pairs], bool), finder_scores))

    def on_validation_epoch_end(self) -> None:
        """Log F1 of the nuclei, ROC AUC of the micronucleus plane, and their mean (``val_score``)."""
        hits, extra, missed = self._found
        cells = [(np.zeros(0, bool), np.zeros(0)), *self._cells]
        truth, scores = (np.concatenate(values) for values in zip(*cells, strict=True))
        f1 = 2 * hits / max(2 * hits + extra + missed, 1)
        auc = roc_auc(truth, scores)
        self._found, self._cells = np.zeros(3), []
        self.log_dict({"val_nuclei_f1": float(f1), "val_auc": auc or 0.5, "val_score": (float(f1) + (auc or 0.5)) / 2})

    def configure_optimizers(self) -> Any:
        """Optimiser and schedule by options."""
        return optimiser_and_schedule(self.network.parameters(), self.options)


def finder_loss(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Losses of the three planes.

    Parameters
    ----------
    logits, targets, weights : (B, 3, H, W) float32

    Returns
    -------
    loss : scalar
        Cross entropy of every plane (the depth as a soft target), plus one minus the soft Dice of nuclei and of
        micronuclei over the whole batch.
    parts : dict of scalars
    """
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    nucleus = (entropy[:, 0] * weights[:, 0]).mean()
    depth = (entropy[:, 1] * weights[:, 1]).mean()
    heavier = 1 + (MN_WEIGHT - 1) * targets[:, 2]
    mn = (entropy[:, 2] * weights[:, 2] * heavier).mean()
    dice_nucleus = _dice(logits[:, 0], targets[:, 0], weights[:, 0].clamp_max(1))
    dice_mn = _dice(logits[:, 2], targets[:, 2], weights[:, 2])
    loss = nucleus + 0.5 * dice_nucleus + depth + 4 * mn + 0.5 * dice_mn
    parts = {"loss_nucleus": nucleus, "loss_depth": depth, "loss_mn": mn, "dice_mn": dice_mn}
    return loss, {name: value.detach() for name, value in parts.items()}


def _dice(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    probability = torch.sigmoid(logits) * weights
    overlap = (probability * targets).sum()
    return 1 - (2 * overlap + 1) / (probability.sum() + (targets * weights).sum() + 1)
