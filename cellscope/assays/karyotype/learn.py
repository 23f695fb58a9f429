"""`cellscope karyotype train`: both parts, one door."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch.utils.data import DataLoader, Dataset

from cellscope import __version__
from cellscope.assays.karyotype import chrnet, chrrender
from cellscope.assays.karyotype.classes import CLASSES
from cellscope.assays.karyotype.config import TrainOptions
from cellscope.assays.karyotype.data_classify import ChromosomeViews, collect_chromosomes, view_settings
from cellscope.assays.karyotype.data_detect import DetectCrops, DetectWhole, DrawSampler, load_metaphases
from cellscope.assays.karyotype.learn_classify import ClassifyLearner
from cellscope.assays.karyotype.learn_detect import DetectLearner
from cellscope.assays.karyotype.paste import ChromosomeBank
from cellscope.assays.karyotype.scale import CANONICAL_SIDE
from cellscope.assays.karyotype.tune import margin_of, tune_classifier, tune_detector
from cellscope.engine.train import fit
from cellscope.errors import ModelError, UsageError
from cellscope.io.prepared import PreparedDataset
from cellscope.models.file import ModelCard, load_model
from cellscope.models.registry import locate


def train(dataset: Path, out: Path, options: TrainOptions, *, argv: list[str]) -> int:
    """Train one part of the assay on a prepared dataset.

    Parameters
    ----------
    dataset : Path
        From ``cellscope karyotype prepare``.
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
    options = options.settled()
    prepared = PreparedDataset.open(dataset, assay="karyotype")
    L.seed_everything(options.seed, verbose=False)
    parts = {"detect": _train_detect, "classify": _train_classify}
    parts[options.part](prepared, out, options, argv)
    return 0


def say(text: str) -> None:
    """Print a progress line on stderr; of several training processes only the first speaks."""
    if getattr(rank_zero_only, "rank", 0) == 0:
        print(text, file=sys.stderr, flush=True)


def _record(prepared: PreparedDataset, options: TrainOptions) -> dict[str, Any]:
    return {
        "dataset": {"path": str(prepared.root), "hash": prepared.hash, "sources": prepared.info["sources"]},
        "part": options.part,
    }


def _training_facts(prepared: PreparedDataset, options: TrainOptions, n_items: int) -> dict[str, Any]:
    return {
        "data": prepared.info["sources"],
        "dataset_hash": prepared.hash,
        "splits": prepared.info["splits"],
        "split_seed": prepared.info["seed"],
        "n_items": n_items,
        "steps": options.steps,
        "batch_size": options.batch_size,
        "seed": options.seed,
        "init": options.init,
    }


def _initialise(network: torch.nn.Module, options: TrainOptions) -> None:
    """Load ``--init MODEL`` into a network; layers of another shape (a changed class list) start anew and are named."""
    if options.init in ("none", "imagenet"):
        return
    card, tensors = load_model(locate(options.init), assay="karyotype", part=options.part)
    own = network.state_dict()
    fitting = {name: value for name, value in tensors.items() if name in own and own[name].shape == value.shape}
    if len(fitting) < len(own) // 2:
        raise ModelError(f"{options.init} is a {card.arch} and does not fit; train with --arch {card.arch}")
    network.load_state_dict(fitting, strict=False)
    missing = sorted(set(own) - set(fitting))
    say(f"started from {options.init}" + (f"; new: {', '.join(missing[:6])}" if missing else ""))


def _weights(text: str) -> dict[str, float]:
    """Read ``name=2,other=0.5``."""
    if not text:
        return {}
    try:
        return {name.strip(): float(value) for name, value in (pair.split("=") for pair in text.split(","))}
    except ValueError:
        raise UsageError(f"source_weights {text!r} is not of the form name=2,other=0.5") from None


def _batches(
    dataset: Dataset, items: Sequence[Any], options: TrainOptions, collate: Callable[[list], Any] | None = None
) -> Callable[[int], DataLoader]:
    """Give the function that makes the training loader from the number of steps already taken."""
    steps, batch_size, workers = options.steps or 1, options.batch_size or 1, options.num_workers or 0
    weights = _weights(options.source_weights)

    def loader(done: int) -> DataLoader:
        sampler = DrawSampler(items, weights, steps * batch_size, options.seed, done * batch_size)
        return DataLoader(
            dataset,
            batch_size,
            sampler=sampler,
            num_workers=workers,
            collate_fn=collate,
            persistent_workers=workers > 0,
        )

    return loader


def _train_detect(prepared: PreparedDataset, out: Path, options: TrainOptions, argv: list[str]) -> None:
    arch = str(options.arch)
    arguments = dict(chrrender.ARCHS.get(arch, {}))
    network = chrrender.build_chrrender(arch, pretrained=options.init == "imagenet")
    _initialise(network, options)
    metaphases = load_metaphases(prepared, "train", fold=options.fold, limit=options.limit, tight=True)
    validation = load_metaphases(prepared, "val", fold=options.fold, limit=options.val_limit or None, tight=True)
    if not metaphases:
        raise UsageError(f"{prepared.root} holds no metaphases to train on")
    say(f"{len(metaphases)} metaphases to train on, {len(validation)} to validate on")
    bank = ChromosomeBank(metaphases) if options.paste else None
    crops = DetectCrops(metaphases, options.crop, (options.scale_low, options.scale_high), options.seed, bank)
    val_loader = DataLoader(DetectWhole(validation), 1, collate_fn=_as_lists) if validation else None
    fit(
        DetectLearner(network, options, validation),
        _batches(crops, metaphases, options, _as_lists),
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
            normalisation={"kind": "metaphase", "canonical_side": CANONICAL_SIDE},
            pixel_size_um=None,
            thresholds=tune_detector(network, val_loader, validation) | margin_of(metaphases),
            training=_training_facts(prepared, options, len(metaphases)),
            metrics=metrics,
            cellscope_version=__version__,
        ),
        network=network,
        argv=argv,
        record=_record(prepared, options),
        say=say,
    )


def _as_lists(batch: list[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    return [first for first, _ in batch], [second for _, second in batch]


def _train_classify(prepared: PreparedDataset, out: Path, options: TrainOptions, argv: list[str]) -> None:
    arch = str(options.arch)
    if options.init == "imagenet":
        raise UsageError("ImageNet weights do not fit ChrNet; use --init with a model file, or --part detect")
    network = chrnet.build_chrnet(arch, classes=len(CLASSES))
    _initialise(network, options)
    train_set = collect_chromosomes(prepared, "train", fold=options.fold)[: options.limit]
    val_set = collect_chromosomes(prepared, "val", fold=options.fold)
    if not train_set:
        raise UsageError(f"{prepared.root} holds no chromosomes of known class to train on")
    say(f"{len(train_set)} chromosomes to train on, {len(val_set)} to validate on")
    views = ChromosomeViews(train_set, seed=options.seed)
    val_loader = DataLoader(ChromosomeViews(val_set, seed=None), 64) if val_set else None
    fit(
        ClassifyLearner(network, options, list(CLASSES)),
        _batches(views, train_set, options),
        val_loader,
        out,
        options=options,
        card=lambda metrics: ModelCard(
            assay="karyotype",
            part="classify",
            arch=arch,
            arch_args=dict(chrnet.ARCHS[arch]),
            classes=CLASSES,
            channels=("grey",),
            normalisation=view_settings(),
            pixel_size_um=None,
            thresholds=tune_classifier(network, val_loader),
            training=_training_facts(prepared, options, len(train_set)),
            metrics=metrics,
            cellscope_version=__version__,
        ),
        network=network,
        argv=argv,
        record=_record(prepared, options),
        say=say,
    )
