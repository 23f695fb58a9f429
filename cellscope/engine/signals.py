"""SIGINT and SIGTERM ask a run to stop; it then saves what is done."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from cellscope.errors import EXIT_INTERRUPTED, EXIT_TERMINATED


class StopSignals:
    """While in this context, the first SIGINT or SIGTERM is only noted; a second SIGINT raises KeyboardInterrupt.

    Outside the main thread, where Python allows no handlers, it does nothing.

    Attributes
    ----------
    received
        The signal noted, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = self.received or number

    @property
    def exit_code(self) -> int:
        """The exit code that goes with the signal."""
        return EXIT_TERMINATED if self.received == signal.SIGTERM else EXIT_INTERRUPTED
