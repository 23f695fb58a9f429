"""Who runs the parts of a stage that are not a network: this process, or worker processes where that pays."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

import numpy as np

from cellscope.engine.assay import Assay, Result, Subject
from cellscope.errors import CellscopeError, InputError

WORTH_SECONDS = 30.0
"""Worker processes take 4 to 18 s to start (each imports the assay); start them only when they save clearly more."""

MAX_WORKERS = 8
"""Worker processes at most, unless the user says otherwise."""

NETWORK_CPUS = 2
"""CPUs that a network without a GPU keeps busy: workers beside it on two CPUs gained nothing, at 0.8 GiB each."""


@dataclass
class Step:
    """Where a subject stands after `advance`: the items its next network wants, or its result."""

    step: int
    items: list[np.ndarray]
    result: Result | None
    state: dict[str, Any]
    seconds: float


def advance(assay: Assay, subject: Subject, step: int, outputs: list[Any]) -> Step:
    """Finish stage number `step` with its network's outputs, then cut the next stage or conclude.

    Parameters
    ----------
    step
        Index into ``assay.stages_of(subject.kind)`` of the stage whose network just ran; -1 at the start.
    outputs
        One per item of that stage.

    Returns
    -------
    Step
        Stages that cut no item are passed through, their ``finish`` called with an empty list.

    Raises
    ------
    Exception
        Whatever the assay raised.
    """
    start = time.perf_counter()
    stages = assay.stages_of(subject.kind)
    while True:
        if step >= 0:
            stages[step].finish(subject, outputs)
        step += 1
        if step == len(stages):
            result = assay.conclude(subject)
            if subject.piece is None:
                check_result(assay, subject, result)
            return Step(step, [], result, {}, time.perf_counter() - start)
        items = [np.ascontiguousarray(item, dtype=np.float32) for item in stages[step].cut(subject)]
        if wrong := next((item.shape for item in items if item.ndim != 3), None):
            raise ValueError(f"stage {stages[step].part!r} cut an item of shape {wrong}, not (C, H, W)")
        if items:
            return Step(step, items, None, subject.state, time.perf_counter() - start)
        outputs = []


def check_result(assay: Assay, subject: Subject, result: Result) -> None:
    """Refuse a result that would break the contract of ``objects.csv`` (DESIGN 4).

    Raises
    ------
    ValueError
        A missing column, a label that is not a positive integer or comes twice, or columns the assay did not declare.
    """
    if result.rows is not None:
        raise ValueError(f"{assay.name} gave rows that are made later, which only `join` may")
    needed = ["label", "class", "score", "review", *assay.classes_columns(subject.cards)]
    if lacking := [name for name in needed if name not in result.objects]:
        raise ValueError(f"{assay.name} gave objects without {', '.join(lacking)}")
    labels = result.objects["label"]
    if len(labels) and (labels.duplicated().any() or labels.astype(int).min() < 1):
        raise ValueError(f"{assay.name} gave labels that repeat or are not positive")
    unknown = [name for name in result.summary if name not in assay.summaries(subject.cards)]
    unknown += [name for name in result.tables if name not in assay.tables]
    if unknown:
        raise ValueError(f"{assay.name} gave {', '.join(unknown)}, which it does not declare")


def error_line(error: BaseException) -> str:
    """Return an error as one line: our own as they are, others with their type."""
    text = " ".join(str(error).split())
    if isinstance(error, CellscopeError):
        return text
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "not enough memory for this input; try a smaller --batch-size or a smaller image"
    return f"unexpected {type(error).__name__}: {text[:300]} (CELLSCOPE_DEBUG=1 shows where)"


def show_traceback(error: BaseException) -> None:
    """Print where a failure that was isolated came from, if ``CELLSCOPE_DEBUG=1`` asks for it."""
    if os.environ.get("CELLSCOPE_DEBUG") == "1":
        traceback.print_exception(type(error), error, error.__traceback__, file=sys.stderr)


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
    at_once
        Start the processes with the first job. Otherwise work starts here, is timed, and moves to processes only when
        the time they would save exceeds `WORTH_SECONDS`.
    """

    def __init__(self, assay: Assay, count: int, *, total: int = 0, at_once: bool = False):
        self.assay = assay
        self.count = count
        self.total = total
        self.at_once = at_once
        self.concluded = 0
        self.spent = 0.0
        self.pool: ProcessPoolExecutor | None = None

    def submit(self, subject: Subject, step: int, outputs: list[Any]) -> Future:
        """Start `advance` for a subject. The future holds a `Step` or the assay's exception."""
        if self.pool is None and self.count and (self.at_once or self.pays()):
            self.pool = _start(self.assay, self.count)
        if self.pool is not None:
            return self.pool.submit(_remote, subject, step, outputs)
        future: Future = Future()
        try:
            done = advance(self.assay, subject, step, outputs)
        except Exception as error:
            self.concluded += 1
            future.set_exception(error)
        else:
            self.spent += done.seconds
            self.concluded += done.result is not None
            future.set_result(done)
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

    def give_up(self) -> None:
        """Do without worker processes from now on (one of them was killed)."""
        if self.pool is not None:
            self.pool.shutdown(wait=False, cancel_futures=False)
            self.pool = None
            self.count = 0
            print("cellscope: a worker process died; going on without worker processes", file=sys.stderr)

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


def _remote(subject: Subject, step: int, outputs: list[Any]) -> Step:
    try:
        return advance(_ASSAY[0], subject, step, outputs)
    except Exception as error:
        show_traceback(error)
        # Some exceptions survive pickling badly and would take the pool down: send the line that the user will read.
        raise InputError(error_line(error)) from None
