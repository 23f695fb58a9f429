"""What the assays' ``eval`` share: which items, which models, and taking the items through the assay's stages."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellscope.engine.device import pick_device, pick_precision
from cellscope.engine.eval.report import Metric, refuse_evaluation, write_evaluation
from cellscope.engine.loading import LoadedModels, load_models
from cellscope.engine.predict.stages import Failure, run_subjects
from cellscope.engine.predict.workers import Workers
from cellscope.errors import EXIT_OK, EXIT_PARTIAL, CellscopeError, UsageError, error_line, show_traceback
from cellscope.io.leave_out import in_turn, is_left_out
from cellscope.io.prepared import CHOSEN_ON, LEFT_OUT, PreparedDataset
from cellscope.models.card import ModelCard
from cellscope.models.file import read_card
from cellscope.models.registry import locate
from cellscope.report.plots import interval_figure

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from cellscope.engine.assay import Assay, Subject
    from cellscope.engine.predict.step import Conclude
    from cellscope.options.common import WorkerOptions

FOLDS = "folds"
"""The split that stands for all folds of a cross-validation."""

READERS = 2
"""Threads that read items."""
AHEAD = 4
"""Items read ahead of the networks."""
SAID_EVERY = 50
"""Items between two lines of progress."""

ReadItem = Callable[[Any, Mapping[str, ModelCard]], "Subject"]
"""``read_item(row, cards)`` -> an item with its ``truth``, from its row of ``items.csv``; called in a thread, ahead."""


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
    facts = [read_card(locate(name)).training for name in models]
    return {
        (int(one["fold"]), one.get("val_fold"))
        for one in facts
        if one.get("fold") is not None and one.get("dataset_hash") == prepared.hash
    }


class Evaluation:
    """An evaluation, from its beginning to what it leaves behind.

    An item that fails does not stop the others: it is named on stderr, in ``eval.json`` and in the report, and the exit
    code is 3.

    Parameters
    ----------
    assay : Assay
    dataset : Path
        The prepared dataset.
    out : Path
    run : WorkerOptions
    split : str
    argv : list of str
    models : sequence of str
        For the split of what their training left out.

    Attributes
    ----------
    prepared : PreparedDataset
    models : list of dict
        Those loaded so far, for ``eval.json``.
    failed : list of Failure
        Items that could not be measured.

    Raises
    ------
    UsageError
        `out` holds results.
    DatasetError
        No prepared dataset of this assay.
    """

    def __init__(
        self,
        assay: Assay,
        dataset: Path,
        out: Path,
        *,
        run: WorkerOptions,
        split: str,
        argv: list[str],
        models: Sequence[str] = (),
    ):
        self._began = time.monotonic()
        refuse_evaluation(out, overwrite=run.overwrite)
        self.assay, self.run = assay, run
        self.prepared = open_for_measuring(dataset, assay, split, models)
        self.models: list[dict[str, Any]] = []
        self.failed: list[Failure] = []
        self._device = pick_device(run.device)
        self._out = out
        self._facts: dict[str, Any] = {
            "assay": assay.name,
            "dataset": {"path": str(dataset), **self.prepared.info},
            "split": split,
            "argv": argv,
            "overwrite": run.overwrite,
        }

    def load(self, models: Sequence[str]) -> LoadedModels:
        """Load the models to measure, as `cellscope.engine.loading.load_models` does."""
        loaded = load_models(self.assay, models, self._device)
        self.models += [record for record in loaded.records if record not in self.models]
        return loaded

    def measure(
        self, rows: pd.DataFrame, loaded: LoadedModels, read_item: ReadItem, conclude: Conclude, *, window: int
    ) -> dict[str, Any]:
        """Take items through the assay's stages.

        Parameters
        ----------
        rows : DataFrame
            Rows of ``items.csv``.
        loaded : LoadedModels
            From `load`.
        read_item : callable
            See `ReadItem`.
        conclude : callable
            A finished subject -> whatever the evaluation wants of it, in place of the assay's own ``conclude``.
        window : int
            Subjects alive at once.

        Returns
        -------
        dict
            Item -> what `conclude` gave, in the order of `rows`; without those that failed.

        Raises
        ------
        CellscopeError
            No item could be measured.
        """
        found: dict[str, Any] = {}
        failed: list[Failure] = []
        count = self.run.num_workers or 0
        workers = Workers(self.assay, count, total=len(rows), start_now=count > 0)
        outcomes = run_subjects(
            self.assay,
            _read_ahead(rows, lambda row: read_item(row, loaded.cards)),
            loaded.modules,
            run=self.run,
            device=self._device,
            dtype=pick_precision(self.run.precision, self._device),
            window=window,
            conclude=conclude,
            workers=workers,
        )
        with contextlib.closing(workers):
            for number, outcome in enumerate(outcomes, 1):
                if isinstance(outcome, Failure):
                    show_traceback(outcome.error)
                    print(f"{outcome.name}: {error_line(outcome.error)}", file=sys.stderr, flush=True)
                    failed.append(outcome)
                else:
                    found[outcome.subject.name] = outcome.result
                if number % SAID_EVERY == 0 and not self.run.quiet:
                    print(f"{self.assay.name} eval: {number} of {len(rows)}", file=sys.stderr, flush=True)
        if failed and not found:
            raise CellscopeError(f"no item could be measured; {failed[0].name}: {error_line(failed[0].error)}")
        self.failed += failed
        return found

    def write(self, **found: Any) -> int:
        """Write everything down and give the exit code.

        `found` is what `write_evaluation` takes besides what is known already.
        """
        failed = {failure.name: error_line(failure.error) for failure in self.failed}
        seconds = time.monotonic() - self._began
        write_evaluation(self._out, **self._facts, models=self.models, failed=failed, seconds=seconds, **found)
        return EXIT_PARTIAL if failed else EXIT_OK


def _read_ahead(rows: pd.DataFrame, read_item: Callable[[Any], Subject]) -> Iterator[Subject | Failure]:
    """Read items in threads, a few ahead, in order; one that cannot be read fails alone."""

    def read(row: Any) -> Subject | Failure:
        try:
            return read_item(row)
        except Exception as error:
            return Failure(str(row.id), error)

    pool = ThreadPoolExecutor(READERS, thread_name_prefix="read")
    waiting: deque[Future[Subject | Failure]] = deque()
    try:
        for row in rows.itertuples():
            waiting.append(pool.submit(read, row))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


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
        facts = read_card(locate(name)).training
        fold = facts.get("fold")
        if fold is None:
            raise UsageError(f"{name} was not trained with --fold; --split folds takes models of a cross-validation")
        if fold in by_fold:
            raise UsageError(f"{name} and {by_fold[fold]} both left out fold {fold}; give one model per fold")
        if CHOSEN_ON not in facts:
            print(
                f"warning: {name} comes from a version that chose weights on the fold left out: its figures are "
                "favoured; train it again",
                file=sys.stderr,
            )
        by_fold[int(fold)] = name
    if missing := [str(fold) for fold in range(count) if fold not in by_fold]:
        raise UsageError(f"no model left out fold {', '.join(missing)}; give one -m per fold")
    for fold in range(count):
        yield Job(fold, _some(prepared.in_fold(fold), limit), [by_fold[fold]])


def _some(rows: pd.DataFrame, limit: int | None) -> pd.DataFrame:
    if not limit:
        return rows
    return rows.iloc[np.unique(np.linspace(0, len(rows) - 1, limit).round().astype(int))]


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
