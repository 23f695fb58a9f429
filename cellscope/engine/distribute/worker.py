"""In a worker process: load the models once, do tasks one at a time."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

import cellscope
from cellscope.engine.device import available_cpus, pick_device, pick_precision
from cellscope.engine.distribute.tasks import Divided, Facts, Order, Task, TaskResult
from cellscope.engine.loading import load_models
from cellscope.engine.predict.book import ListBook
from cellscope.engine.predict.job import Machine
from cellscope.engine.predict.read import use_granted_cpus
from cellscope.engine.predict.road import go_through
from cellscope.engine.predict.workers import Workers, usual_count
from cellscope.engine.progress import RunProgress
from cellscope.errors import CellscopeError, error_line, show_traceback

if TYPE_CHECKING:
    from cellscope.engine.assay import Pieces, Subject

_lock = threading.Lock()
"""One task at a time: networks that are listened to, and the working directory, are the process's."""


class Bench:
    """What a process keeps from task to task of a run.

    Parameters
    ----------
    order
        The run.
    device
        In place of the one that the run's options name.

    Raises
    ------
    CellscopeError
        This process has another version or other models than the one that gives the tasks, or does not see its files.
    """

    def __init__(self, order: Order, device: str | None):
        self.order = order
        _check_alike(order)
        job = order.job
        self.place = pick_device(device or job.run.device)
        dtype = pick_precision(job.run.precision, self.place)
        torch.manual_seed(job.run.seed)
        np.random.seed(job.run.seed)  # noqa: NPY002 - for third-party code that still draws from the global generator
        loaded = load_models(job.assay, order.models, self.place)
        found = {record["part"]: record["sha256"] for record in loaded.records}
        if found != order.hashes:
            raise CellscopeError(f"{_here()} has other models than the computer that gives the work; install the same")
        self.machine = Machine(loaded, self.place, dtype)
        self.workers = Workers(job.assay, self._helpers(), total=order.share, start_now=bool(job.run.num_workers))
        precision = str(dtype or torch.float32).removeprefix("torch.")
        self.facts = Facts(socket.gethostname(), os.getpid(), str(self.place), precision, use_granted_cpus())
        self._opened: tuple[Subject, Pieces] | None = None

    def _helpers(self) -> int:
        """Return how many processes may help this one: by themselves only beside a GPU, which they keep busy."""
        if multiprocessing.current_process().daemon:  # such a process may start none
            return 0
        if self.order.job.run.num_workers is not None:
            return self.order.job.run.num_workers
        return 0 if self.place.type == "cpu" else usual_count(available_cpus(), networks_here=False)

    def do(self, task: Task) -> TaskResult:
        """Do a task."""
        job = self.order.job
        book = ListBook(job.parts)
        opened = None
        if task.pieces and self._opened is not None and [self._opened[0].name] == task.images:
            opened = [self._opened[0]]
            opened[0].seconds = 0.0
        divided = go_through(
            job,
            task.inputs,
            self.machine,
            book,
            workers=self.workers,
            progress=RunProgress(0, label="", quiet=True),
            only=task.pieces,
            shared=task.pieces != (),
            opened=opened,
            divide=None if job.assay.large is None else self._divide,
        )
        result = TaskResult(self.facts, book.recorded)
        for each in divided:
            missing = tuple(each.store.missing)
            result.divided.append(Divided(each.subject.name, each.store.total, missing, each.subject.seconds))
        return result

    def _divide(self, subject: Subject) -> Pieces | None:
        """Divide a subject once for all the tasks that do pieces of it, which mostly come one after another."""
        if self._opened is not None and self._opened[0] is subject:
            return replace(self._opened[1], close=lambda: None)
        assert self.order.job.assay.large is not None
        pieces = self.order.job.assay.large.divide(subject)
        if pieces is None:
            return None
        self.close()
        self._opened = subject, pieces
        return replace(pieces, close=lambda: None)

    def close(self) -> None:
        """Close the subject that is open."""
        if self._opened is not None:
            self._opened[1].close()
            self._opened = None


_bench: list[Bench] = []
"""Of the last order; one."""


def do(order: Order, task: Task, device: str | None = None) -> TaskResult:
    """Do a task of a run: what a scheduler calls.

    Parameters
    ----------
    order
        The run; what was loaded for it is kept in this process until a task of another run comes.
    task
        The inputs.
    device
        In place of the one that the run's options name.

    Raises
    ------
    CellscopeError
        Nothing more can be done: no room to write, or this process is not like the one that gives the tasks.
    """
    with _lock:
        try:
            with _working_in(order.folder):
                if not _bench or _bench[0].order.id != order.id:
                    for old in _bench:
                        old.close()
                        old.workers.close()
                    _bench[:] = [Bench(order, device)]
                return _bench[0].do(task)
        except CellscopeError as error:
            raise CellscopeError(str(error)) from None
        except Exception as error:  # some survive pickling badly, and the user reads one line
            show_traceback(error)
            raise CellscopeError(f"{_here()}: {error_line(error)}") from None


def _check_alike(order: Order) -> None:
    if cellscope.__version__ != order.version:
        raise CellscopeError(f"{_here()} has cellscope {cellscope.__version__}, not {order.version}; install the same")
    token = order.job.parts / order.token
    try:
        same = token.read_text() == order.id
    except OSError:
        same = False
    if not same:
        raise CellscopeError(
            f"{_here()} does not see {order.job.out.absolute()}: OUT and inputs must lie in folders that all computers"
            " share"
        )


@contextlib.contextmanager
def _working_in(folder: str) -> Iterator[None]:
    before = Path.cwd()
    try:
        os.chdir(folder)
    except OSError as error:
        raise CellscopeError(f"{_here()} does not see {folder}: {error.strerror}; start in a shared folder") from None
    try:
        yield
    finally:
        os.chdir(before)


def _here() -> str:
    return f"the worker on {socket.gethostname()}"
