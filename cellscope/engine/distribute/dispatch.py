"""Who does what next: tasks to a pool, largest first; what is lost is done again, by another worker if there is one."""

from __future__ import annotations

import heapq
import itertools
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from typing import Any

from cellscope.engine.distribute.pool import Lost, Pool
from cellscope.engine.distribute.tasks import Divided, Facts, Order, Task, TaskResult
from cellscope.engine.predict.book import JournalBook, Recorded, failed
from cellscope.engine.predict.outcome import Failure
from cellscope.engine.predict.piece_store import store_name
from cellscope.engine.predict.tables import text
from cellscope.engine.progress import RunProgress
from cellscope.errors import CellscopeError
from cellscope.io.inputs import Input

TRIES = 3
"""Times that an input, or a piece of one, may take its worker down; then it has failed."""

TICK = 0.5
"""Seconds between looks at signals and at the pool."""

SEEN = 10.0
"""Seconds that a file of another computer may take to be seen here: network file systems keep lists of names."""

PIECES = 4
"""Pieces of a task at most."""


@dataclass
class Used:
    """What did the work.

    Attributes
    ----------
    facts
        Of every process that has done a task.
    """

    facts_seen: dict[tuple[str, int], Facts] = field(default_factory=dict)

    def see(self, facts: Facts) -> None:
        """Note a process."""
        self.facts_seen[facts.host, facts.process] = facts

    def facts(self) -> dict[str, Any]:
        """Return what ``run.json`` says of device, precision and threads."""
        if not self.facts_seen:
            return {}
        found = list(self.facts_seen.values())
        return {
            "device": ", ".join(sorted({each.device for each in found})),
            "precision": ", ".join(sorted({each.precision for each in found})),
            "threads": max(each.threads for each in found),
        }


@dataclass
class _Slide:
    """An input whose pieces are under way."""

    entry: Input
    size: int
    waiting: set[int]
    seconds: float = 0.0


class Dispatcher:
    """Hand out tasks until all inputs are done.

    Parameters
    ----------
    order
        The run.
    pool
        Does the tasks.
    book, progress
        Where results are written down, and counted.
    stop
        Asked all the time; once true, nothing more is done.
    """

    def __init__(self, order: Order, pool: Pool, book: JournalBook, progress: RunProgress, *, stop: Callable[[], bool]):
        self.order = order
        self.pool = pool
        self.book = book
        self.progress = progress
        self.stop = stop
        self.used = Used()
        self._queue: list[tuple[int, int, Task]] = []
        self._numbers = itertools.count()
        self._running: dict[Future, Task] = {}
        self._lost: dict[tuple[str, tuple[int, ...] | None], int] = {}
        self._slides: dict[str, _Slide] = {}
        self._given_up: set[str] = set()

    def run(self, tasks: Iterable[Task]) -> Used:
        """Do tasks.

        Raises
        ------
        CellscopeError
            Nothing more can be done: no room to write, no worker, workers that do not share the files.
        """
        for task in tasks:
            self._put(task)
        while (self._queue or self._running) and not self.stop():
            while self._queue and len(self._running) < self.pool.places():
                task = heapq.heappop(self._queue)[2]
                if task.images[0] not in self._given_up:
                    self._running[self.pool.submit(self.order, task)] = task
            if not self._running:  # nobody is there to work
                time.sleep(TICK)
            done, _ = wait(self._running, timeout=TICK, return_when=FIRST_COMPLETED)
            for future in done:
                self._collect(self._running.pop(future), future)
            if line := self.pool.tend():
                self.progress.note(line)
        return self.used

    def _put(self, task: Task) -> None:
        heapq.heappush(self._queue, (-task.size, next(self._numbers), task))

    def _collect(self, task: Task, future: Future) -> None:
        try:
            result: TaskResult = future.result()
        except Lost as lost:
            self._again(task, lost.times)
            return
        self.used.see(result.facts)
        for recorded in result.recorded:
            self._write(recorded)
        for divided in result.divided:
            self._go_on(task, divided)

    def _again(self, task: Task, times: int) -> None:
        """Have a lost task done again, in the smallest units: one of several took the others with it."""
        if len(task.inputs) > 1:
            for entry in task.inputs:
                self._put(replace(task, inputs=(entry,)))
            return
        if task.pieces and len(task.pieces) > 1:
            for number in task.pieces:
                self._put(replace(task, pieces=(number,)))
            return
        [entry] = task.inputs
        key = (entry.image, task.pieces)
        self._lost[key] = self._lost.get(key, 0) + times
        if self._lost[key] < TRIES:
            self._put(task)
            return
        error = CellscopeError(
            f"the worker process was lost {self._lost[key]} times, most often for want of memory or time; "
            "give each more, or do this input alone"
        )
        self._write(failed(Failure(entry.image, error), str(entry.path.absolute()), entry.scene))

    def _write(self, recorded: Recorded) -> None:
        entry = recorded.entry
        if entry.image in self._given_up or entry.image in self.book.done:
            return  # another piece failed before, or it was done twice
        slide = self._slides.pop(entry.image, None)
        if slide is not None:
            seconds = float(entry.row.get("seconds") or 0) + slide.seconds
            entry.row["seconds"] = text(round(seconds, 3))
        if entry.status == "failed":
            self._given_up.add(entry.image)
            if slide is not None and slide.waiting:
                self.progress.give_up(entry.image)
        else:
            self._wait_for(entry.outputs)
        self.book.write(recorded)
        if slide is not None and entry.status == "ok":
            shutil.rmtree(self.order.job.parts / store_name(entry.image), ignore_errors=True)

    def _wait_for(self, outputs: Iterable[str]) -> None:
        """See that the files that a worker wrote are here.

        Raises
        ------
        CellscopeError
            They do not come.
        """
        until = time.monotonic() + SEEN
        for name in outputs:
            path = self.order.job.out / name
            while not path.is_file():
                if time.monotonic() > until:
                    raise CellscopeError(f"{path}: a worker wrote it, but it is not here; OUT must be a shared folder")
                time.sleep(0.1)

    def _go_on(self, task: Task, divided: Divided) -> None:
        """Hand out the pieces of an input that was divided; when all are done, have them joined."""
        image = divided.image
        if image in self._given_up or image in self.book.done:
            return
        slide = self._slides.get(image)
        if slide is None:
            slide = self._begin(task, divided)
        slide.seconds += divided.seconds
        for number in set(task.pieces or ()) & slide.waiting:
            slide.waiting.remove(number)
            self.progress.step(window_of=image)
        if not slide.waiting:
            self._put(Task((slide.entry,), None, slide.size))

    def _begin(self, task: Task, divided: Divided) -> _Slide:
        entry = next(entry for entry in task.inputs if entry.image == divided.image)
        size = max(task.size, 1)
        slide = self._slides[divided.image] = _Slide(entry, size, set(divided.missing))
        self.progress.divide(divided.image, divided.count, done=divided.count - len(divided.missing))
        most = max(1, min(PIECES, len(divided.missing) // (8 * max(1, self.pool.places()))))
        for first in range(0, len(divided.missing), most):
            self._put(Task((entry,), divided.missing[first : first + most], size))
        return slide
