"""Which items ``eval`` measures with which models: a split, the folds of a cross-validation, a left-out source."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellscope.errors import UsageError
from cellscope.io.leave_out import in_turn, is_left_out
from cellscope.io.prepared import CHOSEN_ON, LEFT_OUT, PreparedDataset
from cellscope.models.file import read_card
from cellscope.models.registry import locate

if TYPE_CHECKING:
    from pathlib import Path

    from cellscope.engine.assay import Assay

FOLDS = "folds"
"""The split that stands for all folds of a cross-validation."""


def open_for_measuring(dataset: Path, assay: Assay, split: str, models: Sequence[str]) -> PreparedDataset:
    """Open a prepared dataset with the splits of the models' training.

    Of the split ``left-out`` are the items that the training left out. Of a turn of a cross-validation ``test`` is the
    fold that it left out, ``val`` what chose its weights.

    Raises
    ------
    UsageError
        ``left-out`` of models whose trainings left out nothing, each source in turn, or not the same; one split of
        models that left out different folds.
    """
    prepared = PreparedDataset.open(dataset, assay=assay.name)
    if split == FOLDS:
        return prepared
    if split != LEFT_OUT:
        turns = _turns(prepared, [name for name in models if name not in assay.weightless])
        if len(turns) > 1:
            raise UsageError(f"the models left out different folds: --split {split} takes those of one, folds all")
        for fold, val_fold in turns:
            prepared = prepared.folded(fold, val_fold=val_fold)
        return prepared
    said = {read_card(locate(name)).training.get("leave_out") for name in models}
    if len(said) != 1 or None in said or in_turn(spec := str(*said)):
        raise UsageError("--split left-out needs -m MODEL of a training with --leave-out KEY=VALUE")
    return prepared.leaving_out(is_left_out(prepared.items, spec))


def _turns(prepared: PreparedDataset, models: Sequence[str]) -> set[tuple[int, int | None]]:
    """Give the folds that trainings on this dataset left out, and those they validated on."""
    facts = {name: read_card(locate(name)).training for name in models}
    own = {
        name: one
        for name, one in facts.items()
        if one.get("fold") is not None and one.get("dataset_hash") == prepared.hash
    }
    for name, one in own.items():
        _warn_if_favoured(name, one)
    return {(int(one["fold"]), one.get("val_fold")) for one in own.values()}


def _warn_if_favoured(model: str, training: Mapping[str, Any]) -> None:
    if CHOSEN_ON not in training:
        print(
            f"warning: {model} comes from a version that chose weights on the fold left out: its figures are favoured; "
            "train it again",
            file=sys.stderr,
        )


@dataclass(frozen=True)
class Job:
    """Items and the models to measure on them.

    Attributes
    ----------
    fold : int or None
        The fold these items are and the models left out.
    rows : DataFrame
        Rows of ``items.csv``.
    models : list of str
    """

    fold: int | None
    rows: pd.DataFrame
    models: list[str]


def jobs_of(
    prepared: PreparedDataset, split: str, models: list[str], *, weightless: Collection[str], limit: int | None
) -> Iterator[Job]:
    """Give what to measure: one split with all models, or every fold with the model that left it out.

    Parameters
    ----------
    prepared : PreparedDataset
    split : str
        ``train``, ``val``, ``test`` or `FOLDS`.
    models : list of str
        For `FOLDS` one per fold, in any order: each model says which fold it was not trained on.
    weightless : collection of str
        Names of models without weights; they left out every fold.
    limit : int or None
        Items at most, of each job, spread over it.

    Raises
    ------
    UsageError
        If folds and models do not fit.
    """
    if split != FOLDS:
        yield Job(None, _some(prepared.split(split), limit), models)
        return
    if not models:
        raise UsageError("--split folds needs the models of the folds: -m once per fold, or -m otsu")
    count = int(prepared.info.get("folds", 0))
    if count < 2:
        raise UsageError(f"{prepared.root} was prepared without folds; prepare it with --folds K")
    by_fold: dict[int, str] = {}
    for name in models:
        if name in weightless:
            by_fold |= dict.fromkeys(range(count), name)
            continue
        training = read_card(locate(name)).training
        fold = training.get("fold")
        if fold is None:
            raise UsageError(f"{name} was not trained with --fold; --split folds takes models of a cross-validation")
        if fold in by_fold:
            raise UsageError(f"{name} and {by_fold[fold]} both left out fold {fold}; give one model per fold")
        _warn_if_favoured(name, training)
        by_fold[int(fold)] = name
    if missing := [str(fold) for fold in range(count) if fold not in by_fold]:
        raise UsageError(f"no model left out fold {', '.join(missing)}; give one -m per fold")
    for fold in range(count):
        yield Job(fold, _some(prepared.in_fold(fold), limit), [by_fold[fold]])


def _some(rows: pd.DataFrame, limit: int | None) -> pd.DataFrame:
    if not limit:
        return rows
    return rows.iloc[np.unique(np.linspace(0, len(rows) - 1, limit).round().astype(int))]
