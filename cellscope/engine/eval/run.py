"""What the assays' ``eval`` share: taking items through the assay's stages, from refusal to the files written."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pandas as pd

from cellscope.engine.device import pick_device, pick_precision
from cellscope.engine.eval.compare import Measures, compare_all, numbers_of, read_others
from cellscope.engine.eval.jobs import open_for_measuring
from cellscope.engine.eval.report import refuse_evaluation, write_evaluation
from cellscope.engine.eval.verdicts import with_verdicts
from cellscope.engine.loading import LoadedModels, load_models
from cellscope.engine.predict.outcome import Failure
from cellscope.engine.predict.stages import run_subjects
from cellscope.engine.predict.workers import Workers
from cellscope.errors import EXIT_OK, EXIT_PARTIAL, CellscopeError, error_line, show_traceback
from cellscope.models.card import ModelCard

if TYPE_CHECKING:
    from pathlib import Path

    from cellscope.engine.assay import Assay, Subject
    from cellscope.engine.familiarity.judge import Verdict
    from cellscope.engine.predict.step import Conclude
    from cellscope.options.common import WorkerOptions


READERS = 2
"""Threads that read items."""
AHEAD = 4
"""Items read ahead of the networks."""
SAID_EVERY = 50
"""Items between two lines of progress."""

ReadItem = Callable[[Any, Mapping[str, ModelCard]], "Subject"]
"""``read_item(row, cards)`` -> an item with its ``truth``, from its row of ``items.csv``; called in a thread, ahead."""


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
    compare : sequence of Path
        Folders of other evaluations of the same items.

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
        `out` holds results; a folder of `compare` holds no evaluation of the assay.
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
        compare: Sequence[Path] = (),
    ):
        self._began = time.monotonic()
        refuse_evaluation(out, overwrite=run.overwrite)
        self.assay, self.run = assay, run
        self.prepared = open_for_measuring(dataset, assay, split, models)
        self._others = read_others(compare, assay.name, str(self.prepared.info.get("hash")))
        self.models: list[dict[str, Any]] = []
        self._verdicts: dict[str, Verdict | None] = {}
        self._judged = False
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
        self._judged = self._judged or bool(loaded.judge)
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
            taps=loaded.taps,
        )
        with contextlib.closing(workers):
            for number, outcome in enumerate(outcomes, 1):
                if isinstance(outcome, Failure):
                    show_traceback(outcome.error)
                    print(f"{outcome.name}: {error_line(outcome.error)}", file=sys.stderr, flush=True)
                    failed.append(outcome)
                else:
                    found[outcome.subject.name] = outcome.result
                    self._verdicts[outcome.subject.name] = loaded.judge(outcome.subject)
                if number % SAID_EVERY == 0 and not self.run.quiet:
                    print(f"{self.assay.name} eval: {number} of {len(rows)}", file=sys.stderr, flush=True)
        if failed and not found:
            raise CellscopeError(f"no item could be measured; {failed[0].name}: {error_line(failed[0].error)}")
        self.failed += failed
        return found

    def write(self, *, measures: Measures = numbers_of, **found: Any) -> int:
        """Write everything down and give the exit code.

        Parameters
        ----------
        measures : callable
            What is compared with other evaluations, see `cellscope.engine.eval.compare.Measures`.
        **found
            What `write_evaluation` takes besides what is known already.
        """
        if self._others:
            items = self.prepared.items
            compared = compare_all(
                found["per_image"], self._others, measures,
                groups=dict(zip(items["id"], items["group"], strict=True)), seed=self.run.seed, quiet=self.run.quiet,
            )  # fmt: skip
            found["tables"] = {**found.get("tables", {}), **compared}
        failed = {failure.name: error_line(failure.error) for failure in self.failed}
        if self._judged:
            found["per_image"] = with_verdicts(found["per_image"], self._verdicts)
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
