"""``--leave-out line``: networks that have not seen a cell line measure what a new one costs, and calibrate the model.

The finder is trained first; the classifier's run is given that run with ``--finder``, so that neither of the networks
that judge a line has seen it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from cellscope.assays.micronucleus.classes import MICRONUCLEUS
from cellscope.assays.micronucleus.classify.calibration import DECISION, field_probability, fit_both
from cellscope.assays.micronucleus.classify.classifiers import build_classifier
from cellscope.assays.micronucleus.count.rates import BETWEEN_LINES
from cellscope.assays.micronucleus.datasets.fields import Field, load_fields
from cellscope.assays.micronucleus.evaluation.scores import frequency_error, sensitivity_at
from cellscope.assays.micronucleus.find.finders import finder_from
from cellscope.assays.micronucleus.options import TrainOptions
from cellscope.assays.micronucleus.training.classifier_data import load_crops
from cellscope.assays.micronucleus.training.spread import fit_spread
from cellscope.assays.micronucleus.training.tune import (
    calibrate_crops,
    calibration_of,
    score_crops,
    score_found,
    tune_finders,
)
from cellscope.engine.eval.sources import LEFT_OUT_SOURCES, by_source, left_out_lines, left_out_metrics
from cellscope.engine.train.data import say
from cellscope.engine.train.folder import MODEL
from cellscope.engine.train.turns import ALL, WITHOUT, Training, finish_turns, own_options, train_turns, turn_models
from cellscope.errors import UsageError
from cellscope.io.leave_out import each_of, is_left_out
from cellscope.io.prepared import PreparedDataset
from cellscope.io.write import write_csv
from cellscope.metrics.classification import balanced_accuracy, expected_calibration_error, roc_auc
from cellscope.models.file import load_model, save_model

ASSAY = "micronucleus"
PREDICTIONS = "predictions.csv"
"""A row per nucleus of the left-out fields, found or outlined, judged by networks that had not seen its line."""

P = f"p_{MICRONUCLEUS}"
SHOWN = ("nuclei_f1", "avg_acc", "auc", "sensitivity_at_99", "frequency_r", "frequency_mae")
LOWER_IS_BETTER = ("frequency_mae",)

TrainPart = Callable[[PreparedDataset, Path, TrainOptions, list[str]], None]


def train_in_turn(
    prepared: PreparedDataset, out: Path, options: TrainOptions, argv: list[str], train_part: TrainPart
) -> None:
    """Train once without each line, then on all; write the joint predictions, the table by line and the model.

    Parameters
    ----------
    prepared : PreparedDataset
    out : Path
        Gets ``without-LINE/`` and ``all/``, ``predictions.csv``, ``left_out.csv`` and ``model.safetensors``.
    options : TrainOptions
        ``leave_out`` names keys alone. Only what holds fields with all micronuclei outlined is left out in turn.
    argv : list of str
    train_part : callable
        Trains one part on a dataset.

    Raises
    ------
    UsageError
        The key has one value only, or ``--finder`` is no run with the same ``--leave-out``.
    """
    out = Path(out)
    turns, fields = _turns(prepared, str(options.leave_out))
    finders = _finders(options, turns) if options.part == "classify" else {}

    def train_turn(training: Training, folder: Path) -> None:
        more: dict[str, Any] = {"finder": str(finders[training.turn])} if finders else {}
        more |= {"learn_from": "all"} if training.everything else {}
        own = own_options(options, training, **more)
        chosen = pd.Series(False, index=prepared.items.index)
        if not training.everything:
            chosen = is_left_out(prepared.items, training.turn)
        train_part(prepared.leaving_out(chosen), folder, own, argv)

    trainings = train_turns(turns, out, options, argv, train_turn)
    models = turn_models(out, turns)
    card, tensors = load_model(models[ALL], assay=ASSAY, part=options.part)
    if options.part == "nuclei":
        table, thresholds = _judge_finders(models, fields)
        calibration: dict[str, Any] = {}
    else:
        table, thresholds, calibration = _judge_classifiers(prepared, models, finders, fields)
    write_csv(out / PREDICTIONS, table)
    sources = _sources(table)
    write_csv(out / LEFT_OUT_SOURCES, sources)
    facts = {**card.training, "leave_out": options.leave_out, "left_out": len(turns)}
    facts |= {"calibration": calibration} if calibration else {}
    card = replace(card, thresholds=thresholds, training=facts, metrics=left_out_metrics(sources))
    save_model(out / MODEL, tensors, card, half=options.half)
    finish_turns(out, options, argv, trainings)
    say("\n".join(left_out_lines(sources, SHOWN)))


def _turns(prepared: PreparedDataset, spec: str) -> tuple[list[str], dict[str, list[Field]]]:
    """List what is left out in turn, with its fields whose micronuclei are all outlined."""
    fields: dict[str, list[Field]] = {}
    for turn in each_of(prepared.items, spec):
        kept = prepared.leaving_out(~is_left_out(prepared.items, turn))
        complete = [field for field in load_fields(kept, "all") if field.complete]
        if complete:
            fields[turn] = complete
        else:
            say(f"{turn} is not left out in turn: none of its fields has all micronuclei outlined")
    if len(fields) < 2:
        raise UsageError(f"--leave-out {spec}: fewer than two values have fields with all micronuclei outlined")
    return list(fields), fields


def _finders(options: TrainOptions, turns: list[str]) -> dict[str, Path]:
    if options.finder is None or not Path(options.finder).is_dir():
        raise UsageError(
            f"--leave-out {options.leave_out}: give --finder RUN, a training of --part nuclei with the same --leave-out"
        )
    return turn_models(Path(options.finder), turns)


def _network(path: Path, part: str) -> tuple[torch.nn.Module, int]:
    """Load a network of one turn, and its input size."""
    card, tensors = load_model(path, assay=ASSAY, part=part)
    network = finder_from(card.arch_args) if part == "nuclei" else build_classifier(card.arch)
    network.load_state_dict(tensors)
    return network.eval().to(memory_format=torch.channels_last), int(card.normalisation.get("input_size", 0))


def _judge_finders(models: dict[str, Path], fields: dict[str, list[Field]]) -> tuple[pd.DataFrame, dict[str, float]]:
    """Ask each finder about the line it has not seen; choose the threshold of a micronucleus over all of them."""
    tables, judged = [], []
    for turn, own in fields.items():
        network, _ = _network(models[turn], "nuclei")
        tables += [score_found(None, network, field, 0).assign(**{WITHOUT: turn}) for field in own]
        judged.append((network, own))
    return pd.concat(tables, ignore_index=True), tune_finders(judged)


def _judge_classifiers(
    prepared: PreparedDataset, models: dict[str, Path], finders: dict[str, Path], fields: dict[str, list[Field]]
) -> tuple[pd.DataFrame, dict[str, float], dict[str, Any]]:
    """Ask both networks about the line they have not seen, and calibrate them on that.

    Returns
    -------
    table : DataFrame
        With the probability that the *other* lines' calibration gives, so that no line has a say in its own figures.
    thresholds, calibration : dict
        Over all lines, each counting alike: what the final model gets.
    """
    tables, crops = [], []
    for turn, own in fields.items():
        network, size = _network(models[turn], "classify")
        finder, _ = _network(finders[turn], "nuclei")
        tables += [score_found(network, finder, field, size).assign(**{WITHOUT: turn}) for field in own]
        kept = prepared.leaving_out(~is_left_out(prepared.items, turn))
        complete = {field.id for field in own}
        stored = [crop for crop in load_crops(kept, "all") if crop.id.rsplit("/", 1)[0] in complete]
        crops.append(score_crops(network, finder, stored, size).assign(**{WITHOUT: turn}))
    table, every_crop = pd.concat(tables, ignore_index=True), pd.concat(crops, ignore_index=True)
    thresholds = calibrate_crops(every_crop, _alike(every_crop)) | _fit_fields(table, np.ones(len(table), bool))
    table[P] = np.nan
    for turn in fields:
        own_rows = (table[WITHOUT] == turn).to_numpy()
        there = own_rows & table["classify_logit"].notna().to_numpy()
        others = _fit_fields(table, ~own_rows)
        rows = table.loc[there]
        table.loc[there, P] = field_probability(
            rows["classify_logit"].to_numpy(float), rows["finder_logit"].to_numpy(float), others
        )
    judged = table[table[P].notna() & (table["class"] != "")]
    calibration = calibration_of(
        judged[P].to_numpy(float), (judged["class"] == MICRONUCLEUS).to_numpy(), "left-out fields"
    )
    calibration["fields"] = [field.id for own in fields.values() for field in own]
    calibration |= _between_lines(table)
    return table, thresholds, calibration


def _between_lines(table: pd.DataFrame) -> dict[str, Any]:
    """Fit how far error rates differ between what was left out; nothing where they cannot be measured."""
    cells = table[["image", "class"]].assign(line=table[WITHOUT], p=table[P], scorable=table[P].notna())
    try:
        return {BETWEEN_LINES: fit_spread(cells)}
    except UsageError as error:
        say(f"note: intervals will not include what a new line does: {error}")
        return {}


def _alike(table: pd.DataFrame) -> np.ndarray:
    """Weights of rows such that every left-out source counts alike."""
    return 1.0 / table.groupby(WITHOUT)[WITHOUT].transform("size").to_numpy(float)


def _fit_fields(table: pd.DataFrame, chosen: np.ndarray) -> dict[str, float]:
    rows = table[chosen & table["classify_logit"].notna().to_numpy() & (table["class"] != "").to_numpy()]
    return fit_both(
        "field",
        rows["classify_logit"].to_numpy(float),
        rows["finder_logit"].to_numpy(float),
        (rows["class"] == MICRONUCLEUS).to_numpy(),
        weights=_alike(rows),
    )


def _sources(table: pd.DataFrame) -> pd.DataFrame:
    """Measure every left-out source: nuclei found, cells told apart and, once both networks speak, frequencies."""
    score = table[P] if P in table else table["finder_logit"]
    table = table.assign(score=score.to_numpy(float))
    return by_source(table[WITHOUT].to_numpy(), lambda rows: _measures(table.iloc[rows]), lower=LOWER_IS_BETTER)


def _measures(table: pd.DataFrame) -> dict[str, float | None]:
    found, outlined = table["label"] > 0, table["true_label"] > 0
    hits = int((found & outlined).sum())
    known = table[found & outlined]
    positive, score = (known["class"] == MICRONUCLEUS).to_numpy(), known["score"].to_numpy(float)
    measures: dict[str, float | None] = {
        "nuclei_f1": 2 * hits / max(int(found.sum() + outlined.sum()), 1),
        "auc": roc_auc(positive, score),
        "sensitivity_at_95": sensitivity_at(positive, score, 0.95),
        "sensitivity_at_99": sensitivity_at(positive, score, 0.99),
    }
    if P not in table:
        return measures
    called = score >= DECISION
    per_field = [
        (
            (own.loc[own["true_label"] > 0, "class"] == MICRONUCLEUS).mean(),
            (own.loc[own["label"] > 0, P] >= DECISION).mean(),
        )
        for _, own in table.groupby("image")
    ]
    true, said = np.array(per_field, float).T
    return measures | {
        "avg_acc": balanced_accuracy(positive, called),
        "sensitivity": float(called[positive].mean()),
        "specificity": float((~called[~positive]).mean()),
        "calibration_error": expected_calibration_error(np.column_stack([1 - score, score]), positive.astype(int)),
        **frequency_error(true, said),
    }
