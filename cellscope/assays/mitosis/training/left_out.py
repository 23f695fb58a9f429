"""``--leave-out KEY``: every line, day or dose left out in turn; then one network of all, tuned on what each said.

The threshold of the network of all is the one that the networks which had not seen a source need there. What each
source is worth is told with the threshold that the others need, so that no source has a say in its own figures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellscope.assays.mitosis.assay import calibrate
from cellscope.assays.mitosis.evaluation.scores import scores
from cellscope.assays.mitosis.options import TrainOptions
from cellscope.assays.mitosis.training.train import PREDICTIONS, train_one, tuned
from cellscope.engine.eval.sources import LEFT_OUT_SOURCES, by_source, left_out_lines, left_out_metrics
from cellscope.engine.train.data import say
from cellscope.engine.train.folder import MODEL
from cellscope.engine.train.turns import ALL, WITHOUT, Training, finish_turns, own_options, train_turns, trainings_of
from cellscope.io.leave_out import each_of
from cellscope.io.prepared import PreparedDataset
from cellscope.io.write import write_csv
from cellscope.models.card import ModelCard
from cellscope.models.file import load_model, save_model

SHOWN = ("accuracy", "balanced_accuracy", "f1_balanced", "roc_auc")
"""Measures of a left-out source that are printed."""


def train_in_turn(prepared: PreparedDataset, out: Path, options: TrainOptions, argv: list[str]) -> None:
    """Train once without each, then on all; write the joint predictions, the table by source and the model.

    Raises
    ------
    UsageError
        `out` holds a training, or the key has one value only.
    """
    out = Path(out)
    turns = each_of(prepared.items, str(options.leave_out))

    def train_turn(training: Training, folder: Path) -> None:
        own = own_options(options, training, repeats=1)
        train_one(prepared, folder, own, argv=argv, everything=training.everything)

    trainings = train_turns(turns, out, options, argv, train_turn, repeats=options.repeats)
    classes: list[str] = list(prepared.info["classes"])
    table = _predictions(out, turns, options, classes)
    write_csv(out / PREDICTIONS, table)
    p, labels = _numbers(table, classes)
    thresholds = tuned(p, labels)
    sources = left_out_table(table, p, labels, lambda rows: tuned(p[rows], labels[rows]), calibrate)
    write_csv(out / LEFT_OUT_SOURCES, sources)
    card, tensors = _members(out, options)
    facts = {**card.training, "leave_out": options.leave_out, "left_out": len(turns)}
    card = replace(card, thresholds=thresholds, training=facts, metrics=left_out_metrics(sources))
    save_model(out / MODEL, tensors, card, half=options.half)
    finish_turns(out, options, argv, trainings)
    say("\n".join(left_out_lines(sources, SHOWN)))


def left_out_table(
    table: pd.DataFrame,
    p: np.ndarray,
    labels: np.ndarray,
    fit: Callable[[np.ndarray], dict[str, float]],
    apply: Callable[[np.ndarray, dict[str, float]], np.ndarray],
) -> pd.DataFrame:
    """Measure each left-out source with the threshold that the others need, their mean, and the worst.

    Parameters
    ----------
    table : DataFrame
        Predictions, with the column `WITHOUT`.
    p : (N, K) or (N, M, K) float
    labels : (N,) int
    fit : callable
        (N,) bool of the others -> what calibrates.
    apply : callable
        (p, what calibrates) -> (N, K) calibrated probabilities.
    """
    left_out = table[WITHOUT].to_numpy()
    honest = np.zeros((len(table), p.shape[-1]))
    for source in np.unique(left_out):
        own = left_out == source
        honest[own] = apply(p[own], fit(~own))
    return by_source(left_out, lambda rows: scores(labels[rows], honest[rows]))


def _members(out: Path, options: TrainOptions) -> tuple[ModelCard, dict[str, Any]]:
    """Load the networks trained on all sequences as one."""
    loaded = [
        load_model(out / one.folder / MODEL, assay="mitosis", part="classify")
        for one in trainings_of(ALL, options.seed, repeats=options.repeats)
    ]
    card, tensors = loaded[0]
    if len(loaded) == 1:
        return card, tensors
    joint = {f"members.{k}.{key}": value for k, (_, own) in enumerate(loaded) for key, value in own.items()}
    return replace(card, arch_args={**card.arch_args, "members": len(loaded)}), joint


def _predictions(out: Path, turns: list[str], options: TrainOptions, classes: list[str]) -> pd.DataFrame:
    """Read what networks said of the source they had not seen, the mean over repeats, sorted by id."""
    columns, parts = [f"p_{name}" for name in classes], []
    for turn in turns:
        each = [
            pd.read_csv(out / one.folder / PREDICTIONS, dtype={"dose": str, "line": str}, keep_default_na=False)
            for one in trainings_of(turn, options.seed, repeats=options.repeats)
        ]
        part = each[0].copy()
        part[columns] = np.mean([one[columns].to_numpy(float) for one in each], axis=0)
        part.insert(part.columns.get_loc("class"), WITHOUT, turn)
        parts.append(part)
    return pd.concat(parts).sort_values("id", ignore_index=True)


def _numbers(table: pd.DataFrame, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Give (N, K) probabilities and (N,) labels of a table of predictions."""
    p = table[[f"p_{name}" for name in classes]].to_numpy(float)
    return p, np.array([classes.index(name) for name in table["class"]])
