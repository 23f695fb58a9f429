"""`cellscope micronucleus train`: both parts, one door."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader

from cellscope import __version__
from cellscope.assays.micronucleus.classes import CLASSES
from cellscope.assays.micronucleus.classify.classifiers import CURVES, build_classifier, tone_for
from cellscope.assays.micronucleus.classify.crops import SIDE
from cellscope.assays.micronucleus.datasets.fields import FieldCrops, load_fields
from cellscope.assays.micronucleus.find import finders
from cellscope.assays.micronucleus.find.finder import DIAMETER
from cellscope.assays.micronucleus.options import TrainOptions
from cellscope.assays.micronucleus.training.classifier import ClassifyLearner
from cellscope.assays.micronucleus.training.classifier_data import CropViews, load_crops
from cellscope.assays.micronucleus.training.finder import FinderLearner
from cellscope.assays.micronucleus.training.left_out import train_in_turn
from cellscope.assays.micronucleus.training.tune import tune_classifier, tune_finder
from cellscope.engine.train.data import (
    Indices,
    drawn_batches,
    initialise,
    open_dataset,
    paged,
    run_record,
    say,
    source_weights,
    training_facts,
)
from cellscope.engine.train.fit import fit
from cellscope.errors import DatasetError, ModelError, UsageError
from cellscope.io.leave_out import in_turn
from cellscope.io.prepared import PreparedDataset
from cellscope.models.file import ModelCard, load_model, read_card
from cellscope.models.registry import default_for, locate

ASSAY = "micronucleus"


def train(dataset: Path, out: Path, options: TrainOptions, *, argv: list[str]) -> int:
    """Train one part of the assay on a prepared dataset.

    Parameters
    ----------
    dataset : Path
        From ``cellscope micronucleus prepare``.
    out : Path
        The run folder.
    options : TrainOptions
    argv : list of str
        The command, for the record.

    Returns
    -------
    int
        Exit code 0; errors and signals raise.
    """
    train_part = {"nuclei": _train_nuclei, "classify": _train_classify}[options.part]
    if in_turn(options.leave_out):
        prepared = paged(PreparedDataset.open(dataset, assay=ASSAY), options, out)
        train_in_turn(prepared, out, options, argv, train_part)
    else:
        train_part(open_dataset(dataset, ASSAY, options, out), out, options, argv)
    return 0


def _imagenet_file(options: TrainOptions) -> Path | None:
    """Give what ``--imagenet`` names.

    Raises
    ------
    UsageError
        There is no such file.
    """
    if options.imagenet is not None and not options.imagenet.is_file():
        raise UsageError(f"--imagenet {options.imagenet}: there is no such file")
    return options.imagenet


def _splits(options: TrainOptions) -> str:
    return "all" if options.learn_from == "all" else "train"


def _taken_over(options: TrainOptions) -> tuple[dict[str, float], dict[str, Any]] | None:
    """Read the thresholds and the calibration of another model, if one is named."""
    if options.thresholds_from is None:
        if options.learn_from == "all":
            say("note: nothing is held back to calibrate on; --thresholds-from takes over another model's calibration")
        return None
    card = read_card(locate(options.thresholds_from))
    if (card.assay, card.part) != (ASSAY, options.part):
        raise ModelError(f"--thresholds-from {options.thresholds_from}: it is the part {card.part} of {card.assay}")
    return dict(card.thresholds), dict(card.training.get("calibration", {}))


def _train_nuclei(prepared: PreparedDataset, out: Path, options: TrainOptions, argv: list[str]) -> None:
    L.seed_everything(options.seed, verbose=False)
    arch = str(options.arch)
    network = finders.build_finder(arch, pretrained=options.init == "imagenet", weights=_imagenet_file(options))
    taken = _taken_over(options)
    initialise(network, options, assay=ASSAY, part="nuclei")
    tuned_only = options.steps == 0
    fields = [] if tuned_only else load_fields(prepared, _splits(options), limit=options.limit)
    if not fields and not tuned_only:
        raise UsageError(f"{prepared.root} holds no fields with outlined nuclei to train on")
    held = [] if options.learn_from == "all" else _fields_of(prepared, options)
    options = options.in_steps(len(fields))
    say(f"{len(fields)} fields to train on, {len(held)} to validate on")
    crops = FieldCrops(fields, options.crop, options.zoom, options.seed)
    network = network.to(memory_format=torch.channels_last)
    fit(
        FinderLearner(network, options, held),
        drawn_batches(
            crops, [f.source for f in fields], options, weights=_weights([f.source for f in fields], options)
        ),
        DataLoader(Indices(len(held)), 1) if held else None,
        out,
        options=options,
        card=lambda metrics: ModelCard(
            assay=ASSAY,
            part="nuclei",
            arch=arch,
            arch_args=dict(finders.ARCHS[arch]),
            classes=("nucleus", "micronucleus"),
            channels=("dna",),
            normalisation={"kind": "field", "diameter_px": DIAMETER},
            pixel_size_um=None,
            thresholds=taken[0] if taken else tune_finder(network, held),
            training=_facts(prepared, options, len(fields)),
            metrics=_metrics(options, metrics),
            cellscope_version=__version__,
        ),
        network=network,
        argv=argv,
        record=run_record(prepared, "nuclei"),
        say=say,
    )


def _train_classify(prepared: PreparedDataset, out: Path, options: TrainOptions, argv: list[str]) -> None:
    L.seed_everything(options.seed, verbose=False)
    arch, size = str(options.arch), int(options.input_size or 96)
    tone = _tone(arch, options)
    network = build_classifier(arch, pretrained=options.init == "imagenet", weights=_imagenet_file(options), tone=tone)
    network = network.to(memory_format=torch.channels_last)
    taken = _taken_over(options)
    initialise(network, options, assay=ASSAY, part="classify")
    tuned_only = options.steps == 0
    crops = [] if tuned_only else load_crops(prepared, _splits(options), limit=options.limit)
    if not tuned_only and {crop.label for crop in crops} != set(range(len(CLASSES))):
        raise UsageError(f"{prepared.root} does not hold crops of both classes to train on ({', '.join(CLASSES)})")
    try:
        held = [] if options.learn_from == "all" else load_crops(prepared, "val")
    except DatasetError:
        held = []
    if tuned_only and not held:
        raise UsageError(f"{prepared.root} holds no validation cells to tune on; prepare it with --splits 0,1,0")
    options = options.in_steps(len(crops))
    say(f"{len(crops)} cells to train on, {len(held)} to validate on")
    views = CropViews(
        crops,
        size,
        seed=options.seed,
        synthetic=options.synthetic,
        pretrain=options.pretrain_steps * options.items_per_step,
        plain=options.augment == "none",
    )
    val_loader = DataLoader(CropViews(held, size, seed=None), 64) if held else None
    strata = [crop.stratum for crop in crops]
    calibrated: dict[str, Any] = {}

    def card(metrics: dict[str, float]) -> ModelCard:
        if taken:
            thresholds, found = taken
        else:
            finder = _finder(options) if held else None
            fields = _fields_of(prepared, options) if finder is not None else []
            thresholds, found = tune_classifier(network, val_loader, finder, fields, size, crops=held)
        calibrated.update(found)
        return ModelCard(
            assay=ASSAY,
            part="classify",
            arch=arch,
            arch_args={"classes": len(CLASSES)} | ({} if tone == CURVES else {"tone": tone}),
            classes=CLASSES,
            channels=("dna",),
            normalisation={"kind": "cell", "input_size": size, "side_in_diameters": SIDE},
            pixel_size_um=None,
            thresholds=thresholds,
            training=_facts(prepared, options, len(crops)) | {"calibration": calibrated},
            metrics=_metrics(options, metrics),
            cellscope_version=__version__,
        )

    fit(
        ClassifyLearner(network, options),
        drawn_batches(views, strata, options, weights=_weights(strata, options)),
        val_loader,
        out,
        options=options,
        card=card,
        network=network,
        argv=argv,
        record=run_record(prepared, "classify"),
        say=say,
    )


def _tone(arch: str, options: TrainOptions) -> str:
    """Say how crops become channels: of a model that is trained on, as it was trained, which its weights need."""
    if options.init in ("none", "imagenet"):
        return tone_for(arch, options.tone, pretrained=options.init == "imagenet")
    return str(read_card(locate(options.init)).arch_args.get("tone", CURVES))


def _fields_of(prepared: PreparedDataset, options: TrainOptions) -> list[Any]:
    """Read the validation fields; none where the split holds none."""
    try:
        return load_fields(prepared, "val")
    except DatasetError:
        return []


def _finder(options: TrainOptions) -> torch.nn.Module | None:
    """Load the finder to calibrate with: the one named, else the built-in one, else none."""
    try:
        path = locate(options.finder) if options.finder else default_for(ASSAY, "nuclei").path
    except ModelError:
        if options.finder:
            raise
        say("note: no nucleus finder to calibrate with; fields will be judged by the classifier alone")
        return None
    card, tensors = load_model(path, assay=ASSAY, part="nuclei")
    network = finders.finder_from(card.arch_args)
    network.load_state_dict(tensors)
    return network.eval()


def _facts(prepared: PreparedDataset, options: TrainOptions, n_items: int) -> dict[str, Any]:
    """Say what a model learnt from; of one that was only tuned, what it had learnt from before, and on what it was."""
    if options.steps == 0:
        tuned_on = {"data": prepared.info["sources"], "dataset_hash": prepared.hash}
        return dict(read_card(locate(options.init)).training) | {"tuned_on": tuned_on}
    return training_facts(prepared, options, n_items) | {
        "learn_from": options.learn_from,
        "thresholds_from": options.thresholds_from,
        "pretrain_steps": options.pretrain_steps,
        "synthetic": options.synthetic,
    }


def _metrics(options: TrainOptions, metrics: dict[str, float]) -> dict[str, float]:
    return metrics if options.steps else dict(read_card(locate(options.init)).metrics)


def _weights(strata: list[str], options: TrainOptions) -> dict[str, float]:
    """Draw every stratum in proportion to the square root of its size: rare cell lines count, but do not wear out."""
    names, counts = np.unique(strata, return_counts=True)
    if options.part == "classify" and not options.balance:
        return {str(name): float(count) for name, count in zip(names, counts, strict=True)}
    asked = source_weights(options.source_weights)
    return {
        str(name): float(np.sqrt(count)) * asked.get(str(name).split("/", 1)[0], 1.0)
        for name, count in zip(names, counts, strict=True)
    }
