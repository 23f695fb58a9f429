"""Which items ``eval`` measures with which models: a split, the folds of a cross-validation, a left-out source."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cellscope.errors import UsageError
from cellscope.io.leave_out import in_turn, is_left_out
from cellscope.io.prepared import LEFT_OUT, PreparedDataset
from cellscope.models.file import read_card
from cellscope.models.registry import locate

if TYPE_CHECKING:
    from pathlib import Path


FOLDS = "folds"
"""The split that stands for all folds of a cross-validation."""


def open_for_measuring(dataset: Path, assay: str, split: str, models: Sequence[str]) -> PreparedDataset:
    """Open a prepared dataset; of the split ``left-out`` are the items that the models' training left out.

    Raises
    ------
    UsageError
        ``left-out`` of models whose trainings left out nothing, each source in turn, or not the same.
    """
    prepared = PreparedDataset.open(dataset, assay=assay)
    if split != LEFT_OUT:
        return prepared
    said = {read_card(locate(name)).training.get("leave_out") for name in models}
    if len(said) != 1 or None in said or in_turn(spec := str(*said)):
        raise UsageError("--split left-out needs -m MODEL of a training with --leave-out KEY=VALUE")
    return prepared.leaving_out(is_left_out(prepared.items, spec))


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
        fold = read_card(locate(name)).training.get("fold")
        if fold is None:
            raise UsageError(f"{name} was not trained with --fold; --split folds takes models of a cross-validation")
        if fold in by_fold:
            raise UsageError(f"{name} and {by_fold[fold]} both left out fold {fold}; give one model per fold")
        by_fold[int(fold)] = name
    if missing := [str(fold) for fold in range(count) if fold not in by_fold]:
        raise UsageError(f"no model left out fold {', '.join(missing)}; give one -m per fold")
    for fold in range(count):
        yield Job(fold, _some(prepared.split("val", fold=fold), limit), [by_fold[fold]])


def _some(rows: pd.DataFrame, limit: int | None) -> pd.DataFrame:
    if not limit:
        return rows
    return rows.iloc[np.unique(np.linspace(0, len(rows) - 1, limit).round().astype(int))]
