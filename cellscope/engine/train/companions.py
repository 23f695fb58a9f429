"""The other processes of a data-parallel training: where one is lost, all end, and one of them says so.

A process that waits for a lost one waits long, or for ever: NCCL gives up after ten minutes and more. Lightning looks
at the processes it started every five seconds and kills all, itself included, without a word.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from lightning.pytorch.plugins.environments import LightningEnvironment

from cellscope.errors import EXIT_FAILED, CellscopeError

PERIOD = 0.3
"""Seconds between two looks."""

LAUNCHER = "CELLSCOPE_LAUNCHER"
"""Variable that tells the processes of a training which one started them."""

_BROKEN = (
    "connection closed by peer",
    "connection reset by peer",
    "connection refused",
    "broken pipe",
    "socket timeout",
)


class Companions:
    """Watches the processes of a training on this computer while it is entered.

    The first process looks at those that it started; the others look whether it still lives. Under a batch system,
    which starts and ends the processes itself, there is nothing to look at.

    Parameters
    ----------
    trainer : lightning.Trainer
        Of several processes.
    advice : callable
        Gives what to do, for the line that is said.
    """

    def __init__(self, trainer: Any, advice: Callable[[], str]):
        self._trainer, self._advice = trainer, advice
        self._over = threading.Event()
        self._local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        if not self._local_rank:
            os.environ[LAUNCHER] = str(os.getpid())  # for the processes that are started

    def __enter__(self) -> Companions:
        if self._trainer.world_size > 1 and not self._by_others():
            threading.Thread(target=self._watch, daemon=True, name="companions").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or not self._is_broken(error):
            self._over.set()

    def _is_broken(self, error: BaseException) -> bool:
        """Tell whether an error says that the connection to another process broke."""
        return self._trainer.world_size > 1 and any(words in str(error).lower() for words in _BROKEN)

    def explain(self, error: BaseException) -> CellscopeError | None:
        """Give the error to raise where `error` says that the connection to another process broke; else None.

        A process that the watch finds dead meanwhile ends this one here.
        """
        if not self._is_broken(error):
            return None
        if not self._by_others():
            time.sleep(10 * PERIOD)
        self._over.set()
        return CellscopeError(f"the connection to another process of the training is lost; {self._advice()}")

    def _by_others(self) -> bool:
        """Tell whether not Lightning started the processes, but a batch system."""
        return not isinstance(self._trainer.strategy.cluster_environment, LightningEnvironment)

    def _watch(self) -> None:
        while not self._over.wait(PERIOD):
            if (lost := self._lost()) is None:
                continue
            if lost:
                line = f"error: {lost}; {self._advice()}\n"
                sys.stderr.write(line)
                sys.stderr.flush()
            for process in self._started():
                process.kill()
            os._exit(EXIT_FAILED)

    def _started(self) -> list[subprocess.Popen[bytes]]:
        """Give the processes that this one started; the others started none."""
        return list(getattr(self._trainer.strategy.launcher, "procs", []))

    def _lost(self) -> str | None:
        """Say which process is lost; an empty text where another process says it, None where all live."""
        if self._local_rank:
            if str(os.getppid()) == os.environ.get(LAUNCHER, str(os.getppid())):
                return None
            return "the first process of the training was killed" if self._local_rank == 1 else ""
        for rank, process in enumerate(self._started(), 1):
            code = process.poll()
            if code is not None and code < 0:
                return f"process {rank + 1} of {self._trainer.world_size} of the training was killed (signal {-code})"
            if code:
                return ""  # it has said why
        return None
