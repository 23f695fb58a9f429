"""Worker processes for the parts of a stage that are not a network, where they pay; else this process does the work."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from multiprocessing.connection import wait
from typing import Any

from cellscope.engine.assay import Assay, Subject
from cellscope.engine.predict.step import Conclude, Step, advance
from cellscope.errors import InputError, error_line, show_traceback
from cellscope.io.text import reason

WORTH_SECONDS = 30.0
"""Worker processes take 4 to 18 s to start (each imports the assay); start them only when they save clearly more."""

MAX_WORKERS = 8
"""Worker processes at most, unless the user says otherwise."""

NETWORK_CPUS = 2
"""CPUs that a network without a GPU keeps busy: workers beside it on two CPUs gained nothing, at 0.8 GiB each."""


def usual_count(cpus: int, *, networks_here: bool) -> int:
    """Return how many worker processes a run may start where the user does not say.

    Parameters
    ----------
    cpus : int
        CPUs that this process may use.
    networks_here : bool
        Networks run on these CPUs, too, and not on a GPU.
    """
    free = cpus - NETWORK_CPUS if networks_here else cpus
    return min(MAX_WORKERS, max(free, 0)) if cpus > 1 else 0


class Workers:
    """Run `advance` here or in worker processes.

    Parameters
    ----------
    assay
        The assay; pickled to the workers.
    count
        Processes at most; 0 keeps all work in this process.
    total
        Subjects to come, for the estimate.
    start_now
        Start the processes with the first job. Otherwise work starts here, is timed, and moves to processes only when
        the time they would save exceeds `WORTH_SECONDS`.
    """

    def __init__(self, assay: Assay, count: int, *, total: int = 0, start_now: bool = False):
        self.assay = assay
        self.count = count
        self.total = total
        self.start_now = start_now
        self.concluded = 0
        self.spent = 0.0
        self.pool: ProcessPoolExecutor | None = None

    def submit(self, subject: Subject, number: int, outputs: list[Any], conclude: Conclude | None = None) -> Future:
        """Start `advance` for a subject. The future holds a `Step` or the assay's exception."""
        if self.count and (self.pool is not None or self.start_now or self.pays()):
            try:
                if self.pool is None:
                    self.pool = _start(self.assay, self.count)
                return self.pool.submit(_remote, subject, number, outputs, conclude)
            except BrokenExecutor:  # a process died a moment ago
                self.give_up()
            except (OSError, EOFError) as error:  # no memory, process or file is left to start them
                self.give_up(f"worker processes cannot be started ({reason(error)})")
        future: Future = Future()
        try:
            step = advance(self.assay, subject, number, outputs, conclude)
        except Exception as error:
            self.concluded += 1
            future.set_exception(error)
        else:
            self.spent += step.seconds
            self.concluded += step.done
            future.set_result(step)
        return future

    def expect(self, count: int) -> None:
        """Count on that many more subjects: pieces of one that was divided."""
        self.total += count

    def pays(self) -> bool:
        """Tell whether processes would save more than `WORTH_SECONDS`, judging by the subjects done so far."""
        if self.concluded < 2:
            return False
        left = self.spent / self.concluded * (self.total - self.concluded)
        return left * (1 - 1 / (self.count + 1)) > WORTH_SECONDS

    def give_up(self, why: str = "a worker process died") -> None:
        """Do without worker processes from now on; most often one of them was killed for want of memory."""
        pool, count = self.pool, self.count
        self.pool, self.count = None, 0
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=False)
        if count:
            print(f"cellscope: {why}; continuing without worker processes", file=sys.stderr)

    def close(self) -> None:
        """Stop the processes; work not begun is dropped."""
        if self.pool is not None:
            self.pool.shutdown(wait=True, cancel_futures=True)
            self.pool = None


_ASSAY: list[Assay] = []
"""In a worker process: the one assay it serves."""


def _start(assay: Assay, count: int) -> ProcessPoolExecutor:
    # Never fork: this process has threads, and maybe a GPU context, that a child could not use.
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    return ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(assay,))


def _begin(assay: Assay) -> None:
    """Set up a worker process: one thread, signals left to the parent, gone when the parent is gone."""
    _ASSAY[:] = [assay]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for name, single in (("torch", "set_num_threads"), ("cv2", "setNumThreads")):
        if name in sys.modules:  # loaded with the assay, if it uses it
            getattr(sys.modules[name], single)(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _remote(subject: Subject, number: int, outputs: list[Any], conclude: Conclude | None) -> Step:
    try:
        return advance(_ASSAY[0], subject, number, outputs, conclude)
    except Exception as error:
        show_traceback(error)
        # Some exceptions survive pickling badly and would take the pool down: send the line that the user will read.
        raise InputError(error_line(error)) from None
