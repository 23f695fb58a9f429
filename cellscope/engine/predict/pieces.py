"""Subjects too large to hold: cut into pieces, each kept on disk as soon as it is done, joined when all are.

Pieces go through the stages like subjects of their own, so batches, worker processes and memory bounds are those of
ordinary images. What is done of a subject survives a kill: ``--skip-existing`` goes on with what is missing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cellscope.engine.assay import Assay, Subject
from cellscope.engine.large import Pieces
from cellscope.engine.predict.artefacts import raise_if_full
from cellscope.engine.predict.outcome import Done, Failure
from cellscope.engine.predict.piece_store import PieceStore, PieceStores

if TYPE_CHECKING:
    from cellscope.engine.predict.workers import Workers
    from cellscope.engine.progress import RunProgress

AHEAD = 2
"""Pieces read ahead of the networks."""


@dataclass(eq=False)
class Divided:
    """A subject whose pieces are on their way.

    Attributes
    ----------
    subject
        The whole; its ``seconds`` are those of its pieces together.
    store
        What is done.
    numbers
        Pieces to do here.
    waiting
        How many of them are not yet done.
    writing
        Their files being written.
    failed
        A piece failed: the others are dropped.
    """

    subject: Subject
    store: PieceStore
    numbers: list[int]
    waiting: int
    writing: deque[Future] = field(default_factory=deque)
    failed: bool = False


class PieceCollector:
    """Keep the pieces of subjects as they are done, and say which subjects are whole.

    Parameters
    ----------
    out
        The run's OUT, for what is said when the disk is full.
    stores
        Where the pieces are kept.
    writers
        Writes the pieces.
    progress, workers
        Count pieces like inputs.
    only
        Do no more than these pieces, and do not join the subject: others do the rest. None: all that are missing.

    Attributes
    ----------
    seen
        With `only`: the subjects that were divided.
    """

    def __init__(
        self,
        out: Path,
        stores: PieceStores,
        writers: Executor,
        *,
        progress: RunProgress,
        workers: Workers,
        only: Collection[int] | None = None,
    ):
        self.out = out
        self.stores = stores
        self.writers = writers
        self.progress = progress
        self.workers = workers
        self.only = only
        self.seen: list[Divided] = []
        self._under_way: dict[str, Divided] = {}
        self._whole: deque[Divided] = deque()

    def begin(self, subject: Subject, count: int) -> Divided:
        """Note a subject that was divided, before its first piece is read."""
        store = self.stores.open(subject, count)
        numbers = [number for number in store.missing if self.only is None or number in self.only]
        divided = Divided(subject, store, numbers, len(numbers))
        self.progress.divide(subject.name, count, done=count - len(store.missing))
        self.workers.expect(divided.waiting)
        if divided.waiting:
            self._under_way[subject.name] = divided
        else:
            self._complete(divided)
        return divided

    def _complete(self, divided: Divided) -> None:
        (self._whole if self.only is None else self.seen).append(divided)

    def collect(self, outcome: Done | Failure) -> Done | Failure | None:
        """Keep a piece; pass on what is none. Of a subject's pieces that fail only the first is passed on.

        Raises
        ------
        CellscopeError
            There is no room to write to OUT.
        """
        if isinstance(outcome, Failure):
            return outcome if outcome.piece is None else self._fail(outcome)
        if outcome.subject.piece is None:
            return outcome
        divided = self._under_way.get(outcome.subject.name)
        if divided is None:
            return None  # another piece of it failed
        divided.subject.seconds += outcome.subject.seconds
        piece, features = outcome.subject.piece, outcome.subject.features
        divided.writing.append(self.writers.submit(divided.store.put, piece, outcome.result, features))
        divided.waiting -= 1
        self.progress.step(window_of=outcome.subject.name)
        try:
            # At most two wait to be written, so that a slow disk holds up the work and not the memory.
            while divided.writing and (not divided.waiting or len(divided.writing) > 2 or divided.writing[0].done()):
                divided.writing.popleft().result()
        except Exception as error:
            raise_if_full(error, self.out)
            return self._fail(Failure.of(outcome.subject, error))
        if not divided.waiting:
            self._complete(self._under_way.pop(outcome.subject.name))
        return None

    def _fail(self, failure: Failure) -> Failure | None:
        """Turn the first failure of a piece into that of its subject."""
        divided = self._under_way.pop(failure.name, None)
        if divided is None:
            return None
        divided.failed = True
        self.progress.give_up(failure.name)
        return Failure.of(divided.subject, failure.error)

    def whole(self) -> Iterator[Divided]:
        """Hand over the subjects whose pieces are all there."""
        while self._whole:
            yield self._whole.popleft()


class PieceReader:
    """Hand on subjects, and the pieces of those that the assay divides, read ahead by a thread.

    Parameters
    ----------
    assay
        The assay.
    subjects
        In order; what failed before is handed on.
    collector
        Gets what becomes of the pieces.
    divide
        In place of the assay's own.
    """

    def __init__(
        self,
        assay: Assay,
        subjects: Iterable[Subject | Failure],
        collector: PieceCollector,
        divide: Callable[[Subject], Pieces | None] | None = None,
    ):
        self.assay = assay
        self.subjects = subjects
        self.collector = collector
        self.divide = divide or (assay.large.divide if assay.large is not None else None)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="piece")

    def __iter__(self) -> Iterator[Subject | Failure]:
        for subject in self.subjects:
            if isinstance(subject, Failure) or self.divide is None:
                yield subject
                continue
            try:
                pieces = self.divide(subject)
            except Exception as error:
                yield Failure.of(subject, error)
                continue
            if pieces is None:
                yield subject
            else:
                yield from self._pieces(subject, pieces)
            del subject, pieces  # not kept alive while the next one is awaited

    def _pieces(self, subject: Subject, pieces: Pieces) -> Iterator[Subject | Failure]:
        divided = self.collector.begin(subject, pieces.count)
        numbers = deque(divided.numbers)
        ahead: deque[tuple[int, Future]] = deque()
        while (numbers or ahead) and not divided.failed:
            while numbers and len(ahead) <= AHEAD:
                number = numbers.popleft()
                ahead.append((number, self._pool.submit(pieces.read, number)))
            number, future = ahead.popleft()
            try:
                piece = [future.result()]
            except Exception as error:
                yield Failure(subject.name, error, kind=subject.kind, piece=number)
                break
            del future
            yield piece.pop()
        for _, future in ahead:
            future.cancel()
        self._pool.submit(pieces.close)

    def close(self) -> None:
        """Stop reading ahead."""
        self._pool.shutdown(wait=True, cancel_futures=True)
