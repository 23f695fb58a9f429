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

SOON = 5.0
"""Less time left than this is not told, seconds."""


class RunProgress:
    """Count inputs as they are finished, and the windows of those that are worked on in pieces.

    The first line, or the bar, is there at once.

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
        self._windows: dict[str, list[int]] = {}  # input -> windows done, of
        self._counted = self._counted_done = 0  # windows in `total` and in `done`
        self._current = ""
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
        elif not self.quiet and self.total > 0:
            print(f"{self.label}: {self.total} to do", file=self.stream, flush=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
        elif not self.quiet and self.done > self._said_done:
            self._say()

    def step(self, *, failed: bool = False, window_of: str = "") -> None:
        """Count one input, or a window of the input with that name."""
        self.done += 1
        self.failed += failed
        self._current = window_of
        if window_of:
            self._counted_done += 1
            self._windows[window_of][0] += 1
        if self._bar:
            self._bar.update(self._task, completed=self.done, description=self.label + self._window())
        elif not self.quiet:
            waited = time.monotonic() - self._said
            tenth = self.done - self._said_done >= EVERY_FRACTION * self.total
            if waited >= EVERY_SECONDS or (tenth and waited >= AT_LEAST_SECONDS):
                self._say()

    def divide(self, name: str, count: int, *, done: int = 0) -> None:
        """Count the windows of an input too: it is worked on in `count` pieces, of which `done` are there already."""
        self._windows[name] = [done, count]
        self._more(count - done)
        self._current = name
        if self._bar:
            self._bar.update(self._task, description=self.label + self._window())
        elif not self.quiet and count > done:
            kept = f", {done} of them done before" if done else ""
            print(f"{self.label}: {name} has {count} windows{kept}", file=self.stream, flush=True)

    def give_up(self, name: str) -> None:
        """Count the windows of an input no more: it failed."""
        done, count = self._windows[name]
        self._more(done - count)

    def _more(self, count: int) -> None:
        self.total += count
        self._counted += count
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
        inputs = f"{self.done - self._counted_done} of {self.total - self._counted}"
        left = time_left(rate * (self.total - self.done))
        print(f"{self.label}: {inputs}{failed}{self._window()}, {rate:.2f} s each{left}", file=self.stream, flush=True)

    def _window(self) -> str:
        if not self._current:
            return ""
        done, count = self._windows[self._current]
        return f", {self._current}: window {done} of {count}"


def time_left(seconds: float) -> str:
    """Say how long something will take, in the unit that people use.

    >>> time_left(40), time_left(200), time_left(5000), time_left(1)
    (', about 40 s left', ', about 3 min left', ', about 1.4 h left', '')
    """
    if seconds < SOON:
        return ""
    if seconds < 90:
        return f", about {seconds:.0f} s left"
    return f", about {seconds / 60:.0f} min left" if seconds < 3600 else f", about {seconds / 3600:.1f} h left"
