"""What the assays' ``eval`` share: taking items through the assay's stages, from refusal to the files written."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

import cellscope
from cellscope.engine.device import pick_device, pick_precision
from cellscope.engine.eval.compare import Measures, compare_all, numbers_of, read_others
from cellscope.engine.eval.jobs import open_for_measuring
from cellscope.engine.eval.parts import Parts, is_evaluation
from cellscope.engine.eval.report import check_same, refuse_evaluation, write_evaluation
from cellscope.engine.eval.store import Kept
from cellscope.engine.eval.verdicts import with_verdicts
from cellscope.engine.loading import LoadedModels, load_models
from cellscope.engine.predict.outcome import Failure
from cellscope.engine.predict.shards import tables_folder
from cellscope.engine.predict.stages import run_subjects
from cellscope.engine.predict.workers import Workers
from cellscope.engine.provenance import plain
from cellscope.errors import EXIT_OK, EXIT_PARTIAL, CellscopeError, UsageError, error_line, show_traceback
from cellscope.models.card import ModelCard
from cellscope.models.file import sha256
from cellscope.models.registry import locate

if TYPE_CHECKING:
    from cellscope.engine.assay import Assay, Subject
    from cellscope.engine.familiarity.judge import Verdict
    from cellscope.engine.predict.step import Conclude
    from cellscope.io.prepared import PreparedDataset
    from cellscope.options.common import ShardOptions


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
    run : ShardOptions
    options : dataclass
        The assay's own.
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
    failed : dict
        Items that could not be measured, and why.

    Raises
    ------
    UsageError
        `out` holds results, or items of another evaluation; a folder of `compare` holds no evaluation of the assay; a
        shard is to be compared.
    NothingToDo
        ``--skip-existing``, and `out` holds this evaluation already.
    DatasetError
        No prepared dataset of this assay.
    """

    def __init__(
        self,
        assay: Assay,
        dataset: Path,
        out: Path,
        *,
        run: ShardOptions,
        options: Any,
        split: str,
        argv: list[str],
        models: Sequence[str] = (),
        compare: Sequence[Path] = (),
    ):
        self._began = time.monotonic()
        if compare and run.shard:
            raise UsageError(
                "--compare needs all items: give it without --shard, with --skip-existing, to join the shards"
            )
        kept = run.skip_existing or run.overwrite
        refuse_evaluation(out, overwrite=kept)
        folder = tables_folder(out, run.shard_pair)
        if is_evaluation(folder) and not kept:
            raise UsageError(f"{folder} already holds measured items; give --skip-existing or --overwrite")
        self.assay, self.run = assay, run
        self.prepared = open_for_measuring(dataset, assay, split, models)
        self._others = read_others(compare, assay.name, str(self.prepared.info.get("hash")))
        self.models: list[dict[str, Any]] = []
        self._verdicts: dict[str, Verdict | None] = {}
        self._judged = False
        self.failed: dict[str, str] = {}
        self._device = pick_device(run.device)
        self._out = out
        self._facts: dict[str, Any] = {
            "assay": assay.name,
            "dataset": {"path": str(dataset), **self.prepared.info},
            "split": split,
            "argv": argv,
            "overwrite": kept,
            "identity": _identity(assay, self.prepared, split, models, options, run),
        }
        if run.skip_existing and not is_evaluation(out):
            check_same(out, self._facts["identity"], again=bool(compare))
        about = {"assay": assay.name, "dataset": str(dataset.resolve()), "split": split, "argv": argv}
        about |= {"models": [_absolute(name) for name in models], "options": plain(options), "run": plain(run)}
        self._parts = Parts(out, run, about, self._facts["identity"])

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
            Item -> what `conclude` gave, in the order of `rows`; without those that failed. Of a shard nothing: it goes
            to disk for `cellscope merge`, and the evaluation ends with `end_shard`.

        Raises
        ------
        CellscopeError
            No item could be measured.
        """
        names = [str(name) for name in rows["id"]]
        part = self._parts.begin(names)
        items: dict[str, Kept] = {}
        for index, name in self._parts.mine(list(enumerate(names))):
            if (item := self._parts.known(part, index, name)) is not None:
                items[name] = item
        mine = set(self._parts.mine(names))
        left = rows[[name in mine and name not in items for name in names]]
        for item in self._measured(left, loaded, read_item, conclude, window):
            self._parts.keep(part, item)
            items[item.name] = replace(item, result=None) if self.run.shard else item
        failed = {name: items[name].error for name in names if name in items and items[name].error}
        if failed and len(failed) == len(items):
            name, error = next(iter(failed.items()))
            raise CellscopeError(f"no item could be measured; {name}: {error}")
        self.failed |= failed
        self._verdicts |= {name: item.verdict for name, item in items.items() if not item.error}
        if self.run.shard:
            return {}
        return {name: items[name].result for name in names if name in items and name not in failed}

    def _measured(
        self, rows: pd.DataFrame, loaded: LoadedModels, read_item: ReadItem, conclude: Conclude, window: int
    ) -> Iterator[Kept]:
        """Take items through the stages, and say how far it is."""
        if rows.empty:
            return
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
                    line = error_line(outcome.error)
                    print(f"{outcome.name}: {line}", file=sys.stderr, flush=True)
                    yield Kept(outcome.name, error=line)
                else:
                    yield Kept(outcome.subject.name, outcome.result, loaded.judge(outcome.subject))
                if number % SAID_EVERY == 0 and not self.run.quiet:
                    print(f"{self.assay.name} eval: {number} of {len(rows)}", file=sys.stderr, flush=True)

    def end_shard(self) -> int:
        """End the evaluation of a shard, whose items are on disk, and give the exit code."""
        self._parts.close_shard(self._facts["argv"], self.failed)
        return EXIT_PARTIAL if self.failed else EXIT_OK

    def write(self, *, measures: Measures = numbers_of, **found: Any) -> int:
        """Write everything down and give the exit code.

        Parameters
        ----------
        measures : callable
            What is compared with other evaluations, see `cellscope.engine.eval.compare.Measures`.
        **found
            What `write_evaluation` takes besides what is known already.
        """
        failed = self.failed
        if self._others:
            items = self.prepared.items
            compared = compare_all(
                found["per_image"], self._others, measures,
                groups=dict(zip(items["id"], items["group"], strict=True)), seed=self.run.seed, quiet=self.run.quiet,
            )  # fmt: skip
            found["tables"] = {**found.get("tables", {}), **compared}
        if self._judged:
            found["per_image"] = with_verdicts(found["per_image"], self._verdicts)
        seconds = time.monotonic() - self._began
        write_evaluation(self._out, **self._facts, models=self.models, failed=failed, seconds=seconds, **found)
        self._parts.close(failed=bool(failed))
        return EXIT_PARTIAL if failed else EXIT_OK


def _identity(
    assay: Assay, prepared: PreparedDataset, split: str, models: Sequence[str], options: Any, run: ShardOptions
) -> dict[str, Any]:
    """Give what two evaluations must share for their items to be the same; built-in models go with the version."""
    hashes = [name if name in assay.weightless else sha256(locate(name)) for name in models]
    return {
        "dataset": prepared.hash,
        "split": split,
        "limit": run.limit,
        "models": hashes,
        "version": cellscope.__version__,
        "options": plain(options),
    }


def _absolute(name: str) -> str:
    """Give a model's path from anywhere; a name stays."""
    return str(Path(name).resolve()) if Path(name).exists() else name


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
