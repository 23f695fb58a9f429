"""What the assays' ``eval`` share before there is anything to measure: which items, which models, the road itself."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellscope.engine.device import pick_device, pick_precision
from cellscope.engine.eval.report import Metric, refuse_evaluation, write_evaluation
from cellscope.engine.loading import load_models
from cellscope.engine.predict.stages import run_subjects
from cellscope.errors import CellscopeError, UsageError
from cellscope.io.prepared import PreparedDataset
from cellscope.models.card import ModelCard
from cellscope.models.file import read_card
from cellscope.models.registry import locate
from cellscope.report.plots import interval_figure

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from cellscope.engine.assay import Assay, Result, Subject
    from cellscope.options.common import ComputeOptions

FOLDS = "folds"
"""The split that stands for all folds of a cross-validation."""


class Evaluation:
    """An evaluation, from its beginning to what it leaves behind.

    Parameters
    ----------
    assay : str
    dataset : Path
        The prepared dataset.
    out : Path
    run : ComputeOptions
    split : str
    argv : list of str

    Attributes
    ----------
    prepared : PreparedDataset

    Raises
    ------
    UsageError
        `out` holds results.
    DatasetError
        No prepared dataset of this assay.
    """

    def __init__(self, assay: str, dataset: Path, out: Path, *, run: ComputeOptions, split: str, argv: list[str]):
        self._began = time.monotonic()
        refuse_evaluation(out, overwrite=run.overwrite)
        self.prepared = PreparedDataset.open(dataset, assay=assay)
        self._out = out
        self._facts: dict[str, Any] = {
            "assay": assay,
            "dataset": {"path": str(dataset), **self.prepared.info},
            "split": split,
            "argv": argv,
            "overwrite": run.overwrite,
        }

    def write(self, **found: Any) -> None:
        """Write everything down; `found` is what `write_evaluation` takes besides what is known from the beginning."""
        write_evaluation(self._out, **self._facts, seconds=time.monotonic() - self._began, **found)


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


def run_job(
    assay: Assay,
    job: Job,
    conclude: Callable[[Subject], Result],
    subjects: Callable[[Mapping[str, ModelCard]], Iterable[Subject]],
    *,
    run: ComputeOptions,
    window: int,
) -> tuple[list[tuple[str, dict[str, Any]]], list[dict[str, Any]]]:
    """Take a job's items through the assay's stages.

    Parameters
    ----------
    assay : Assay
    job : Job
    conclude : callable
        In the place of the assay's own: leaves what is to be measured in its result's artefacts, and no rows.
    subjects : callable
        Model cards -> the items as subjects.
    run : ComputeOptions
    window : int
        Subjects alive at once.

    Returns
    -------
    list of (item, artefacts)
    list of dict
        The models, for ``eval.json``.

    Raises
    ------
    CellscopeError
        If an item fails: what is left out would flatter the result.
    """
    device = pick_device(run.device)
    loaded = load_models(assay, job.models, device)
    measured = []
    for number, (subject, result, error) in enumerate(
        run_subjects(
            measuring(assay, conclude),
            subjects(loaded.cards),
            loaded.modules,
            run=run,
            device=device,
            dtype=pick_precision(run.precision, device),
            window=window,
        ),
        1,
    ):
        if result is None:
            raise CellscopeError(f"{subject.name}: {error}") from error
        measured.append((subject.name, result.artefacts))
        if number % 50 == 0 and not run.quiet:
            print(f"{assay.name} eval: {number} of {len(job.rows)}", file=sys.stderr, flush=True)
    return measured, loaded.records


def measuring(assay: Assay, conclude: Callable[[Subject], Result]) -> Assay:
    """Give an assay whose results are what is to be measured, in ``artefacts``, and no rows."""
    return replace(assay, conclude=conclude, class_part=None)


def metrics_figure(metrics: Sequence[Metric], title: str) -> Figure:
    """Draw metrics as bars with their intervals, in their order."""
    return interval_figure(
        [metric.name for metric in metrics],
        [metric.value for metric in metrics],
        [metric.low for metric in metrics],
        [metric.high for metric in metrics],
        title=title,
    )


def over_folds(table: pd.DataFrame, names: Iterable[str]) -> list[Metric]:
    """Give mean and spread of the folds' means, as papers with a cross-validation print them.

    Parameters
    ----------
    table : DataFrame
        One row per image, with a column ``fold``; without it there is nothing to give.
    names : iterable of str
        Columns; images where one is empty count for nothing.

    Returns
    -------
    list of Metric
        ``folds.<name>_mean`` and ``folds.<name>_sd``.
    """
    if "fold" not in table:
        return []
    metrics, folds = [], table.groupby("fold")
    for name in names:
        means = folds[name].mean().dropna()
        text = f"mean over {len(means)} folds of the mean over images"
        metrics.append(Metric(f"folds.{name}_mean", float(means.mean()), None, None, len(means), text))
        spread = f"standard deviation (n - 1) of the {len(means)} folds' means"
        metrics.append(Metric(f"folds.{name}_sd", float(means.std(ddof=1)), None, None, len(means), spread))
    return metrics
