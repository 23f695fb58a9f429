"""`cellscope mitosis train`: one training, or several whose spread and joint model count."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader

from cellscope import __version__
from cellscope.assays.mitosis.datasets.batches import plain_batch
from cellscope.assays.mitosis.datasets.sequences import Sequences, draw_weights, load_sequences
from cellscope.assays.mitosis.evaluation.scores import scores
from cellscope.assays.mitosis.networks.registry import (
    ARCHS,
    TrackNet,
    arguments_of,
    build_network,
    kinds_of,
    probabilities,
)
from cellscope.assays.mitosis.networks.resnet3d import ResNet3D
from cellscope.assays.mitosis.options import TrainOptions
from cellscope.assays.mitosis.sequences.names import normal_class
from cellscope.assays.mitosis.sequences.view import FRAMES, tone_of
from cellscope.assays.mitosis.training.step import SequenceLearner, TrackLearner
from cellscope.engine.train.data import Indices, load_matching, run_record, say, say_lost, training_facts
from cellscope.engine.train.draws import WeightedDraws
from cellscope.engine.train.fit import fit
from cellscope.engine.train.phases import Phases
from cellscope.errors import ModelError, UsageError
from cellscope.io.leave_out import is_left_out
from cellscope.io.prepared import CHOSEN_ON, PreparedDataset
from cellscope.io.write import write_csv
from cellscope.metrics.calibration import best_slope_and_bias, log_odds
from cellscope.models.file import ModelCard, load_model
from cellscope.models.foreign import read_checkpoint
from cellscope.models.registry import locate

VIEW_SETTINGS = ("size", "zoom_power", "follow", "turn", "field", "tone")
"""What of an architecture's arguments says how a network sees sequences."""

TEST = "test"
"""In ``run.json`` of one of several trainings: its measures on what it had not seen, at a threshold of one half."""

PREDICTIONS = "predictions.csv"
"""In a run folder: what the final model says of the sequences it was validated on."""


def split_rows(
    prepared: PreparedDataset, options: TrainOptions
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame | None]:
    """Return the rows to train on, those to validate on and, of a cross-validation, the fold that is measured.

    Where validation chooses nothing (the last weights of a fixed number of steps are kept), all other folds are trained
    on and the fold itself is validated on.

    Raises
    ------
    DatasetError
        One of them would be empty.
    """
    fold = None
    if options.leave_out is not None:
        left_out = is_left_out(prepared.items, options.leave_out)
        train, val = prepared.items[~left_out], prepared.items[left_out]
    elif options.fold is not None:
        turn = prepared.folded(options.fold, val_fold=options.val_fold)
        train, val, fold = turn.split("train"), turn.split("val"), turn.split("test")
        if not options.chooses:
            train, val = turn.items[turn.items["split"] != "test"], fold
    else:
        train, val = prepared.split("train"), prepared.split("val")
    return train.head(options.limit) if options.limit else train, val, fold


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


def facts_of(prepared: PreparedDataset, options: TrainOptions, count: int) -> dict[str, Any]:
    """Return what the model card says of the training: also what was left out, and the class that is normal."""
    normal = prepared.info.get("normal") or normal_class(prepared.info["classes"])
    own: dict[str, Any] = {"fold": options.fold, "leave_out": options.leave_out, "normal": normal}
    if options.fold is not None and not options.chooses:
        own[CHOSEN_ON] = "nothing: the last weights"
    return training_facts(prepared, options, count) | own


def initialised(arguments: dict[str, Any], classes: list[str], options: TrainOptions) -> torch.nn.Module:
    """Build a network with the weights that ``--init`` names."""
    pretrained = options.init == "imagenet"
    if options.init in ("none", "imagenet"):
        return build_network(arguments, len(classes), pretrained=pretrained, weights=options.imagenet)
    if Path(options.init).suffix in (".pth", ".pt"):
        return _from_kinetics(build_network(arguments, len(classes)), Path(options.init))
    card, tensors = load_model(locate(options.init), assay="mitosis", part="classify")
    [kind] = kinds_of(arguments)
    arch, own, prefix = _part_of(card, kind)
    if int(own.get("members", 1)) > 1:
        prefix += "members.0."
    tensors = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    network = build_network(arguments, len(classes))
    load_matching(network, tensors, options.init, arch)
    say_lost(card.classes, classes, options.init)
    return network


def _part_of(card: ModelCard, kind: str) -> tuple[str, dict[str, Any], str]:
    """Find the network of a kind in a model: its architecture, its arguments, and what its tensors' names begin with.

    A model of both kinds holds a network over frames and one over measurements; either can be trained on.
    """
    if "parts" not in card.arch_args:
        return card.arch, card.arch_args, ""
    archs = [name for name in card.arch.split("+") if name in ARCHS and kinds_of(ARCHS[name]) == (kind,)]
    return archs[0] if archs else card.arch, card.arch_args["parts"].get(kind, {}), f"{kind}."


def _from_kinetics(network: torch.nn.Module, path: Path) -> torch.nn.Module:
    """Take over the Kinetics weights of 3D-ResNets-PyTorch's ``r3d50``; ModelError if they are another network's."""
    if not isinstance(network, ResNet3D):
        raise UsageError(f"--init {path}: checkpoints of 3D-ResNets-PyTorch are for --arch resnet50-3d")
    state = {name.removeprefix("module."): value for name, value in read_checkpoint(path).items()}
    try:
        network.load_kinetics(state)
    except (KeyError, RuntimeError) as error:
        raise ModelError(f"{path} is not an r3d50 of 3D-ResNets-PyTorch: {str(error).splitlines()[0]}") from error
    return network


def train_one(
    prepared: PreparedDataset,
    out: Path,
    options: TrainOptions,
    *,
    argv: list[str],
    everything: bool = False,
    test: bool = False,
) -> None:
    """Train one network into a run folder, with what it says of its validation sequences in ``predictions.csv``.

    With `everything` it trains on all sequences, and nothing is left to validate on. With `test` it is measured on the
    test split, if there is one: `TEST` of ``run.json``, as of a cross-validation on the fold that was left out.
    """
    arguments = arguments_of(str(options.arch))
    classes = list(prepared.info["classes"])
    settings = {name: arguments[name] for name in VIEW_SETTINGS if name in arguments}
    nothing: pd.DataFrame | None = None
    train_rows, val_rows, fold_rows = (
        (prepared.items, prepared.items[:0], nothing) if everything else split_rows(prepared, options)
    )
    measured, recorded = arguments["backbone"] == "tracks", options.augment == "camera"
    load = partial(load_sequences, prepared, measured=measured, tone=tone_of(settings), recorded=recorded)
    train, val = (load(rows, classes) for rows in (train_rows, val_rows))
    say(f"{len(train)} sequences to train on, {len(val)} to validate on")
    options = options.in_steps(len(train_rows))
    L.seed_everything(options.seed, verbose=False)
    network = initialised(arguments, classes, options)
    phases = Phases(options)
    if isinstance(network, TrackNet):
        if options.init == "none":
            network.standardise_by(train.measurements)
        learner: SequenceLearner = TrackLearner(network, options, train, val, settings, phases)
    else:
        learner = SequenceLearner(network, options, train, val, settings, phases)
    weights = draw_weights(train, str(options.balance))
    record = run_record(prepared, options.part)
    steps, batch, workers = options.steps or 1, options.batch_size or 1, options.num_workers or 0
    per_step = batch * options.accumulate

    def loader(done: int) -> DataLoader:
        draws = WeightedDraws(weights, steps * per_step, options.seed, done * per_step)
        # pixels stay in `Sequences`, and a batch is varied as a whole
        return DataLoader(
            Indices(len(train)), batch, sampler=draws, num_workers=workers, persistent_workers=workers > 0
        )

    def card(metrics: dict[str, float]) -> ModelCard:
        facts = facts_of(prepared, options, len(train))
        if everything:
            return make_card(arguments, str(options.arch), classes, prepared, facts, {}, metrics)
        held = val if fold_rows is None else load(fold_rows, classes)
        p = predictions(learner.network, held, settings)
        write_csv(out / PREDICTIONS, predictions_table(held, p, classes))
        if fold_rows is not None:
            record[TEST] = scores(held.labels, p)
        elif test and (prepared.items["split"] == "test").any():
            tested = load(prepared.split("test"), classes)
            record[TEST] = scores(tested.labels, predictions(learner.network, tested, settings))
        thresholds: dict[str, float] = {}
        if fold_rows is None:
            thresholds = tuned(p, val.labels)
        elif options.chooses:  # the fold has no say in what it measures
            thresholds = tuned(predictions(learner.network, val, settings), val.labels)
        return make_card(arguments, str(options.arch), classes, prepared, facts, thresholds, metrics)

    fit(
        learner,
        loader,
        None if everything else DataLoader(Indices(len(val)), 16),
        out,
        options=options,
        card=card,
        network=learner.network,
        argv=argv,
        record=record,
        say=say,
        phases=phases,
    )
