"""Who does tasks: what a pool of worker processes can do, and the one of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from cellscope.engine.distribute.start import begin
from cellscope.engine.distribute.tasks import Order, Task, TaskResult
from cellscope.errors import CellscopeError

FAILED_STARTS = 3
"""A place whose process ends so often before it has done anything is given up."""


class Lost(Exception):
    """The process that did a task is gone.

    Attributes
    ----------
    times
        How often that happened to the task.
    """

    def __init__(self, times: int = 1):
        super().__init__(times)
        self.times = times


class Pool(Protocol):
    """Worker processes, here or elsewhere.

    Attributes
    ----------
    expected
        How many tasks will be done at once, when all are there.
    """

    expected: int

    def places(self) -> int:
        """Return how many tasks can be done at once, now."""

    def submit(self, order: Order, task: Task) -> Future:
        """Begin a task; the future holds a `TaskResult`, `Lost`, or a CellscopeError that ends the run."""

    def tend(self) -> str:
        """Look after the processes; called again and again. It may return a line for the user.

        Raises
        ------
        CellscopeError
            There is nobody left to wait for.
        """

    def close(self) -> None:
        """End the processes; what they are doing is dropped."""


@dataclass(frozen=True)
class Slot:
    """A device of this machine, with the CPUs and threads of the process that uses it."""

    device: str
    cpus: tuple[int, ...]
    threads: int


class _Place:
    """One process at a time for one slot."""

    def __init__(self, slot: Slot):
        self.slot = slot
        self.executor: ProcessPoolExecutor | None = None
        self.process: Future | None = None
        self.busy = False
        self.failed_starts = 0

    def submit(self, order: Order, task: Task) -> Future:
        if self.executor is None:
            # Never fork: this process has threads, and maybe a GPU context, that a child could not use. Not from a
            # server either: libraries would count their threads there.
            self.executor = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
            self.process = self.executor.submit(begin, self.slot.cpus, self.slot.threads)
        return self.executor.submit(_do, order, task, self.slot.device)

    def close(self) -> None:
        executor, self.executor = self.executor, None
        if executor is None or self.process is None:
            return
        executor.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(Exception):  # it never began, or is gone
            os.kill(self.process.result(timeout=10), signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
        executor.shutdown(wait=True)


class LocalPool:
    """A process for each of some devices of this machine.

    Parameters
    ----------
    slots
        The devices; a CPU may come several times.
    """

    def __init__(self, slots: list[Slot]):
        self.expected = len(slots)
        self._places = [_Place(slot) for slot in slots]

    def places(self) -> int:
        """Return how many tasks can be done at once."""
        return len(self._places)

    def submit(self, order: Order, task: Task) -> Future:
        """Begin a task in a process that is free."""
        place = next(place for place in self._places if not place.busy)
        place.busy = True
        outer: Future = Future()
        try:
            inner = place.submit(order, task)
        except BrokenExecutor as error:  # it died a moment ago, with nothing to do
            self._end(place, outer, error)
            return outer
        inner.add_done_callback(lambda done: self._end(place, outer, done.exception(), done))
        return outer

    def _end(self, place: _Place, outer: Future, error: BaseException | None, inner: Future | None = None) -> None:
        place.busy = False
        if isinstance(error, BrokenExecutor):
            began = place.process is not None and place.process.done() and place.process.exception() is None
            place.failed_starts = 0 if began else place.failed_starts + 1
            place.executor = None
            outer.set_exception(Lost())
        elif error is not None:
            outer.set_exception(error)
        elif inner is not None:
            place.failed_starts = 0
            outer.set_result(inner.result())

    def tend(self) -> str:
        """Give up places where no process stays alive.

        Raises
        ------
        CellscopeError
            That is true of all of them.
        """
        self._places = [place for place in self._places if place.failed_starts < FAILED_STARTS]
        if not self._places:
            raise CellscopeError("worker processes end before they begin: is there memory for them? Give fewer devices")
        return ""

    def close(self) -> None:
        """End the processes."""
        for place in self._places:
            place.close()


def _do(order: Order, task: Task, device: str) -> TaskResult:
    from cellscope.engine.distribute.worker import do  # what is heavy is imported once the threads are bound

    return do(order, task, device)
