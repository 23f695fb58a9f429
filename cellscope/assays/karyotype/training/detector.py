"""Training of ChrRender: losses as PointRend's, validation by COCO AP on whole metaphases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from cellscope import __version__
from cellscope.assays.karyotype.cell import plausible, trust
from cellscope.assays.karyotype.cell.calibration import LEARNT
from cellscope.assays.karyotype.datasets.metaphase import Metaphase, load_metaphases
from cellscope.assays.karyotype.detect import pairs
from cellscope.assays.karyotype.detect.detections import Detection, as_instances, detections_of, encode
from cellscope.assays.karyotype.detect.inputs import CANONICAL, RESIZED
from cellscope.assays.karyotype.detect.scale import CANONICAL_SIDE
from cellscope.assays.karyotype.detectron2.backend import (
    GREY_RANGE,
    Detectron2Network,
    NativeWeights,
    training_arguments,
)
from cellscope.assays.karyotype.detectron2.convert import ARCH as IMPORTED
from cellscope.assays.karyotype.networks.chrrender import ChrRender
from cellscope.assays.karyotype.networks.detectors import arguments_of
from cellscope.assays.karyotype.options import TrainOptions
from cellscope.assays.karyotype.training.box_masks import draw_masks, load_painter
from cellscope.assays.karyotype.training.detector_data import DetectCrops, DetectWhole
from cellscope.assays.karyotype.training.paste import ChromosomeBank
from cellscope.assays.karyotype.training.resized_data import DetectResized
from cellscope.assays.karyotype.training.tune import inherited, margin_of, tune_detector
from cellscope.engine.train.data import drawn_batches, initialise, run_record, say, source_weights, training_facts
from cellscope.engine.train.fit import fit
from cellscope.engine.train.schedule import optimiser_and_schedule
from cellscope.errors import UsageError
from cellscope.io.prepared import PreparedDataset
from cellscope.metrics.coco import Instances, coco_ap
from cellscope.models.card import ModelCard
from cellscope.models.file import read_card
from cellscope.models.registry import locate

#: What a card says of the choice of a cell's chromosomes: not tuned here, kept from the model that it began with.
INHERITED = (*plausible.THRESHOLDS, *plausible.LEARNT, *pairs.THRESHOLDS, *trust.THRESHOLDS, *LEARNT)


class DetectLearner(L.LightningModule):
    """Losses, optimiser and validation of the detector.

    Parameters
    ----------
    network : ChrRender or Detectron2Network
    options : TrainOptions
    validation : list of Metaphase
        What the validation loader's indices mean.
    """

    def __init__(self, network: torch.nn.Module, options: Any, validation: list[Metaphase]):
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


def train_detect(prepared: PreparedDataset, out: Path, options: TrainOptions, argv: list[str]) -> None:
    """Train the detector on metaphases; see `cellscope.assays.karyotype.training.train.train`."""
    network, weights, arch, arguments = _network(options)
    initialise(weights, options, assay="karyotype", part="detect")
    metaphases = load_metaphases(prepared, "train", limit=options.limit, tight=True)
    limits = [limit for limit in (options.val_limit, options.limit) if limit]
    validation = load_metaphases(prepared, "val", limit=min(limits, default=None), tight=True)
    if options.box_masks:
        metaphases = draw_masks(metaphases, load_painter(options.box_masks))
    if options.backend == IMPORTED and arguments.get("mask", "points") != "none":
        # Its mask heads take every mask for known.
        metaphases = [one for one in metaphases if all(mask is not None for mask in one.masks)]
    if not metaphases:
        raise UsageError(f"{prepared.root} holds no metaphases to train on")
    options = options.in_steps(len(metaphases))
    say(f"{len(metaphases)} metaphases to train on, {len(validation)} to validate on")
    views: Dataset
    whole: Dataset
    if options.square:
        normalisation: dict[str, Any] = {"kind": RESIZED, "tone": "normalised", "square": options.square}
        views = DetectResized(metaphases, normalisation, options.flip, options.seed)
        whole = DetectResized(validation, normalisation, 0.0, None)
    else:
        normalisation = {"kind": CANONICAL, "canonical_side": CANONICAL_SIDE}
        bank = ChromosomeBank(metaphases) if options.paste else None
        views = DetectCrops(metaphases, options.crop, (options.scale_low, options.scale_high), options.seed, bank)
        whole = DetectWhole(validation)
    val_loader = DataLoader(whole, 1, collate_fn=_as_lists) if validation else None
    fit(
        DetectLearner(network, options, validation),
        drawn_batches(
            views,
            [one.source for one in metaphases],
            options,
            weights=source_weights(options.source_weights),
            collate=_as_lists,
        ),
        val_loader,
        out,
        options=options,
        card=lambda metrics: ModelCard(
            assay="karyotype",
            part="detect",
            arch=arch,
            arch_args=arguments,
            classes=("chromosome",),
            channels=("grey",),
            normalisation=normalisation,
            pixel_size_um=None,
            thresholds=inherited(options.init, INHERITED)
            | tune_detector(network, val_loader, validation)
            | margin_of(metaphases),
            training=training_facts(prepared, options, len(metaphases)),
            metrics=metrics,
            cellscope_version=__version__,
        ),
        network=weights,
        argv=argv,
        record=run_record(prepared, "detect"),
        say=say,
    )


def _network(options: TrainOptions) -> tuple[torch.nn.Module, torch.nn.Module, str, dict[str, Any]]:
    """Build what is trained, what holds its weights under our names, its name and its arguments."""
    arch, pretrained = str(options.arch), options.init == "imagenet"
    if arch == IMPORTED:
        if options.init in ("none", "imagenet"):
            raise UsageError(f"--arch {IMPORTED} fine-tunes an imported model; give it with --init")
        card = read_card(locate(options.init))
        arguments: dict[str, Any] = {"grey_range": GREY_RANGE, **card.arch_args}
    else:
        arguments = dict(arguments_of(arch))
    if options.frozen_norm:
        arguments["frozen_norm"] = True
    if options.backend == "native" and options.conventions == "detectron2" and arch != IMPORTED:
        arguments = training_arguments(arguments) | {"frozen_norm": options.frozen_norm}
        exact = ChrRender(**arguments, pretrained=pretrained, weights=options.imagenet)
        if options.init != "none":
            exact.backbone.freeze_first()
        return exact, exact, arch, arguments
    if options.backend == "native":
        network: torch.nn.Module = ChrRender(**arguments, pretrained=pretrained, weights=options.imagenet)
        return network, network, arch, arguments
    if arch != IMPORTED:
        arguments = training_arguments(arguments)
    network = Detectron2Network(arguments, learn_norm=options.init == "none")
    weights = NativeWeights(network)
    if pretrained:
        start = ChrRender(**arguments, pretrained=True, weights=options.imagenet).state_dict()
        weights.load_state_dict({name: value for name, value in start.items() if ".body." in name}, strict=False)
    return network, weights, IMPORTED, arguments


def _as_lists(batch: list[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    return [first for first, _ in batch], [second for _, second in batch]
