"""The way of inputs from their files to their artefacts: read, through the stages, written, taken down."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from cellscope.engine.predict.book import Book
from cellscope.engine.predict.job import Job, Machine
from cellscope.engine.predict.outcome import Failure
from cellscope.engine.predict.piece_store import PieceStores
from cellscope.engine.predict.pieces import Divided, PieceCollector, PieceReader
from cellscope.engine.predict.read import Reader
from cellscope.engine.predict.recorder import PendingFiles, Recorder
from cellscope.engine.predict.stages import run_subjects
from cellscope.io.inputs import Input

if TYPE_CHECKING:
    from cellscope.engine.assay import Pieces, Subject
    from cellscope.engine.predict.workers import Workers
    from cellscope.engine.progress import RunProgress

WRITERS = 2
"""Threads that encode and write artefacts while the networks go on."""


def go_through(
    job: Job,
    inputs: Sequence[Input],
    machine: Machine,
    book: Book,
    *,
    workers: Workers,
    progress: RunProgress,
    stop: Callable[[], bool] = lambda: False,
    only: Collection[int] | None = None,
    shared: bool = False,
    opened: Iterable[Subject] | None = None,
    divide: Callable[[Subject], Pieces | None] | None = None,
) -> list[Divided]:
    """Do inputs; each is taken down as soon as its files are written.

    Parameters
    ----------
    job, machine
        The run and its models.
    inputs
        In order.
    book
        Takes down what becomes of them.
    workers, progress, stop
        As for `run_subjects` and `PieceCollector`.
    only, shared
        Of inputs that are divided, do no more than these pieces, and do not join them; see `PieceCollector` and
        `PieceStore`.
    opened
        The inputs, read before.
    divide
        In place of the assay's own.

    Returns
    -------
    list of Divided
        With `only`, the inputs that were divided and whose pieces here are done.

    Raises
    ------
    CellscopeError
        There is no room to write to OUT.
    """
    assay, loaded = job.assay, machine.loaded
    paths = {entry.image: str(entry.path.absolute()) for entry in inputs}
    writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="write")
    recorder = Recorder(
        assay,
        loaded.cards,
        job.out,
        book,
        writers,
        paths=paths,
        scenes={entry.image: entry.scene for entry in inputs},
        judge=loaded.judge,
    )
    stores = PieceStores(job.parts, paths=paths, identity=job.identity, shared=shared)
    collector = PieceCollector(job.out, stores, writers, progress=progress, workers=workers, only=only)
    reader = Reader(assay, inputs, run=job.run, options=job.options, cards=loaded.cards)
    pieces = PieceReader(assay, reader if opened is None else opened, collector, divide)
    sizes = [job.run.batch_size or stage.batch_size for stage in assay.stages]
    outcomes = run_subjects(
        assay,
        iter(pieces),
        loaded.modules,
        run=job.run,
        device=machine.device,
        dtype=machine.dtype,
        window=2 * max([2, *sizes]),
        workers=workers,
        stop=stop,
        taps=loaded.taps,
    )
    pending: deque[PendingFiles] = deque()
    with contextlib.ExitStack() as stack:
        stack.callback(writers.shutdown, wait=True)
        stack.callback(reader.close)
        stack.callback(pieces.close)
        for outcome in outcomes:
            whole = collector.collect(outcome)
            if isinstance(whole, Failure):
                recorder.fail(whole)
            elif whole is not None:
                pending.append(recorder.begin(whole.subject, whole.result))
            del outcome, whole  # not kept alive while the next one is awaited
            pending.extend(recorder.begin_joined(divided) for divided in collector.whole())
            while pending and (len(pending) > WRITERS or pending[0].future.done()):
                recorder.finish(pending.popleft())
        pending.extend(recorder.begin_joined(divided) for divided in collector.whole())
        while pending:
            recorder.finish(pending.popleft())
    return collector.seen
