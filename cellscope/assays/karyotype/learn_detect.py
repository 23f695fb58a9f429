"""Training of ChrRender: losses as PointRend's, validation by COCO AP on whole metaphases."""

from __future__ import annotations

from typing import Any

import lightning as L
import numpy as np
import torch

from cellscope.assays.karyotype.chrrender import ChrRender
from cellscope.assays.karyotype.data_detect import Metaphase
from cellscope.assays.karyotype.detections import Detection, as_instances, detections_of, encode
from cellscope.engine.train import optimiser_and_schedule
from cellscope.metrics.coco import Instances, coco_ap


class DetectLearner(L.LightningModule):
    """Losses, optimiser and validation of the detector.

    Parameters
    ----------
    network : ChrRender
    options : TrainOptions
    validation : list of Metaphase
        What the validation loader's indices mean.
    """

    def __init__(self, network: ChrRender, options: Any, validation: list[Metaphase]):
        super().__init__()
        self.network, self.options, self.validation = network, options, validation
        self._found: list[tuple[int, list[Detection]]] = []

    def training_step(self, batch: Any, _index: int) -> torch.Tensor:
        """Sum the detector's and the mask branch's losses, weights 1."""
        images, targets = batch
        losses = self.network(images, targets)
        self.log_dict({name: value.detach() for name, value in losses.items()}, batch_size=len(images))
        return torch.stack([value.float() for value in losses.values()]).sum()

    def validation_step(self, batch: Any, _index: int) -> None:
        """Detect in whole metaphases."""
        images, indices = batch
        for output, index in zip(self.network(images), indices, strict=True):
            metaphase = self.validation[index]
            self._found.append((index, detections_of(output, metaphase.scale, metaphase.image.shape)))

    def on_validation_epoch_end(self) -> None:
        """Log box AP over all and mask AP over the metaphases that have masks; ``val_score`` is their mean."""
        found, self._found = self._found, []
        with_masks = [(i, d) for i, d in found if all(mask is not None for mask in self.validation[i].masks)]
        boxes = coco_ap(*_instances(found, self.validation, masks=False), kind="box")
        logged = {"val_box_ap": boxes["ap"], "val_box_ap50": boxes["ap50"]}
        if with_masks:
            masks = coco_ap(*_instances(with_masks, self.validation, masks=True), kind="mask")
            logged |= {"val_mask_ap": masks["ap"], "val_mask_ap50": masks["ap50"], "val_mask_ap75": masks["ap75"]}
        known = [value for name, value in logged.items() if name in ("val_box_ap", "val_mask_ap") and value is not None]
        logged["val_score"] = float(np.mean(known)) if known else 0.0
        self.log_dict({name: float(value if value is not None else 0.0) for name, value in logged.items()})

    def configure_optimizers(self) -> Any:
        """Optimiser and schedule by options."""
        return optimiser_and_schedule([p for p in self.network.parameters() if p.requires_grad], self.options)


def _instances(
    found: list[tuple[int, list[Detection]]], metaphases: list[Metaphase], *, masks: bool
) -> tuple[list[Instances], list[Instances]]:
    """Give truth and predictions of the metaphases found in, for COCO's average precision."""
    truth, predicted = [], []
    for index, detections in found:
        metaphase = metaphases[index]
        shape = metaphase.image.shape
        known = [
            encode(mask, x, y, shape)
            for mask, (x, y) in zip(metaphase.masks, metaphase.offsets, strict=True)
            if masks and mask is not None
        ]
        truth.append(Instances(metaphase.boxes, known if masks else None))
        predicted.append(as_instances(detections, shape, masks=masks))
    return truth, predicted
