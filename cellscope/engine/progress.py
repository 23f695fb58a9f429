"""Progress on stderr: a bar on a terminal, occasional plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

EVERY_SECONDS = 10.0
EVERY_FRACTION = 0.1
AT_LEAST_SECONDS = 1.0
"""A plain line after ten seconds or a tenth of the work, but not more than one a second."""


class RunProgress:
    """Count inputs as they are finished.

    Parameters
    ----------
    total
        Inputs to come.
    label
        What is going on, e.g. ``karyotype predict``.
    quiet
        Show no progress; notes are shown all the same.
    stream
        Where to write; stderr unless given.
    """

    def __init__(self, total: int, *, label: str, quiet: bool = False, stream: TextIO | None = None):
        self.total = total
        self.label = label
        self.quiet = quiet
        self.stream = stream or sys.stderr
        self.done = 0
        self.failed = 0
        self._started = self._said = time.monotonic()
        self._said_done = 0
        self._bar: Progress | None = None
        if not quiet and total > 0 and self.stream.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            console = Console(file=self.stream)
            self._bar = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=False)
            self._task = self._bar.add_task(label, total=total)

    def __enter__(self) -> RunProgress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
        elif not self.quiet and self.done > self._said_done:
            self._say()

    def step(self, *, failed: bool = False) -> None:
        """Count one input."""
        self.done += 1
        self.failed += failed
        if self._bar:
            self._bar.update(self._task, completed=self.done)
        elif not self.quiet:
            waited = time.monotonic() - self._said
            tenth = self.done - self._said_done >= EVERY_FRACTION * self.total
            if waited >= EVERY_SECONDS or (tenth and waited >= AT_LEAST_SECONDS):
                self._say()

    def more(self, count: int) -> None:
        """Count on as many more: an input turned out to be worked on in pieces."""
        self.total += count
        if self._bar:
            self._bar.update(self._task, total=self.total)

    def note(self, line: str) -> None:
        """Write a line of its own, above the bar if there is one."""
        if self._bar:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line, file=self.stream, flush=True)

    def _say(self) -> None:
        self._said, self._said_done = time.monotonic(), self.done
        failed = f", {self.failed} failed" if self.failed else ""
        rate = (self._said - self._started) / max(1, self.done)
        print(f"{self.label}: {self.done} of {self.total}{failed}, {rate:.2f} s each", file=self.stream, flush=True)
