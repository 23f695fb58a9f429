"""Training of the classifier: cross entropy, centre loss, polarity; validated by mean recall, with augmentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from cellscope import __version__
from cellscope.assays.karyotype.cell.calibration import THRESHOLDS
from cellscope.assays.karyotype.classes import CLASSES
from cellscope.assays.karyotype.classify.views import view_settings
from cellscope.assays.karyotype.networks import baselines, chrnet
from cellscope.assays.karyotype.networks.chrnet import CentreLoss, Classifier, classify_views, for_network
from cellscope.assays.karyotype.options import TrainOptions
from cellscope.assays.karyotype.training.chromosome_cache import kept_chromosomes
from cellscope.assays.karyotype.training.classifier_data import ChromosomeViews
from cellscope.assays.karyotype.training.tune import inherited, tune_classifier
from cellscope.engine.train.data import drawn_batches, initialise, run_record, say, source_weights, training_facts
from cellscope.engine.train.fit import fit
from cellscope.engine.train.schedule import decay_groups, optimiser_and_schedule
from cellscope.errors import UsageError
from cellscope.io.prepared import PreparedDataset
from cellscope.models.card import ModelCard


class ClassifyLearner(L.LightningModule):
    """Losses, optimiser and validation of the classifier.

    Parameters
    ----------
    network : ChrNet or Baseline
    options : TrainOptions
    classes : list of str
    """

    def __init__(self, network: Classifier, options: Any, classes: list[str]):
        super().__init__()
        self.network, self.options, self.classes = network, options, classes
        self.centre = None
        if options.centre_loss:
            self.centre = CentreLoss(len(classes), network.feature_size, reduction=options.centre_reduction)
        self._seen: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def training_step(self, batch: Any, _index: int) -> torch.Tensor:
        """Cross entropy, plus the centre loss and the polarity loss where they are asked for and known."""
        views, labels, up = batch
        logits, polarity, features = self.network(for_network(views, self.network.in_channels))
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=self.options.label_smoothing)
        parts = {"loss_class": loss.detach(), "accuracy": (logits.argmax(1) == labels).float().mean()}
        known = up >= 0
        if polarity is not None and self.options.polarity_weight and known.any():
            polarity_loss = F.binary_cross_entropy_with_logits(polarity[known].float(), up[known].float())
            parts["loss_polarity"] = polarity_loss.detach()
            loss = loss + self.options.polarity_weight * polarity_loss
        if self.centre is not None:
            centre_loss = self.centre(features, labels)
            parts["loss_centre"] = centre_loss.detach()
            loss = loss + self.options.centre_loss * centre_loss
        self.log_dict(parts, batch_size=len(views))
        return loss

    def validation_step(self, batch: Any, _index: int) -> None:
        """Classify plain views."""
        views, labels, up = batch
        scores, polarity = classify_views(self.network, views)
        self._seen.append(
            (scores.argmax(1), labels, torch.full_like(up, -1) if polarity is None else (polarity > 0).float(), up)
        )

    def on_validation_epoch_end(self) -> None:
        """Log accuracy, mean recall over the classes present (``val_score``) and polarity accuracy."""
        predicted, labels, polarity, up = (torch.cat(values) for values in zip(*self._seen, strict=True))
        self._seen = []
        right = (predicted == labels).float()
        recalls = torch.stack([right[labels == label].mean() for label in labels.unique()])
        logged = {"val_accuracy": right.mean(), "val_score": recalls.mean()}
        known = up >= 0
        if known.any() and self.network.polarity is not None:
            logged["val_polarity"] = (polarity[known] == up[known]).float().mean()
        self.log_dict(logged)

    def configure_optimizers(self) -> Any:
        """Optimiser and schedule by options; no weight decay on norms and biases."""
        return optimiser_and_schedule(decay_groups(self.network), self.options)


def train_classify(prepared: PreparedDataset, out: Path, options: TrainOptions, argv: list[str]) -> None:
    """Train the classifier on every chromosome of known class; see `training.train.train`."""
    arch = str(options.arch)
    if options.backend != "native":
        raise UsageError("--backend detectron2 is for --part detect")
    network = chrnet.build_classifier(
        arch, classes=len(CLASSES), pretrained=options.init == "imagenet", weights=options.imagenet
    )
    initialise(network, options, assay="karyotype", part="classify")
    settings = view_settings(*options.view, options.rotate)
    train_set, val_set = (
        kept_chromosomes(
            options.cache,
            prepared,
            name,
            limit=options.limit,
            metaphases=options.from_metaphases,
            box_masks=options.box_masks,
        )
        for name in ("train", "val")
    )
    if not train_set:
        raise UsageError(f"{prepared.root} holds no chromosomes of known class to train on")
    options = options.in_steps(len(train_set))
    say(f"{len(train_set)} chromosomes to train on, {len(val_set)} to validate on")
    views = ChromosomeViews(train_set, seed=options.seed, settings=settings, vary=options.vary)
    val_views = ChromosomeViews(val_set, seed=None, settings=settings)
    val_loader = DataLoader(val_views, 64) if val_set else None
    fit(
        ClassifyLearner(network, options, list(CLASSES)),
        drawn_batches(
            views,
            [one.source for one in train_set],
            options,
            weights=source_weights(options.source_weights),
        ),
        val_loader,
        out,
        options=options,
        card=lambda metrics: ModelCard(
            assay="karyotype",
            part="classify",
            arch=arch,
            arch_args=dict({**chrnet.ARCHS, **baselines.ARCHS}[arch]),
            classes=CLASSES,
            channels=("grey",),
            normalisation=settings,
            pixel_size_um=None,
            thresholds=inherited(options.init, THRESHOLDS) | tune_classifier(network, val_loader),
            training=training_facts(prepared, options, len(train_set)),
            metrics=metrics,
            cellscope_version=__version__,
        ),
        network=network,
        argv=argv,
        record=run_record(prepared, "classify"),
        say=say,
    )
