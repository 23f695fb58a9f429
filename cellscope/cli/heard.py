"""What a command says on stderr, listened to: ``--json`` lists the warnings."""

from __future__ import annotations

import io
from typing import Any, TextIO


class Heard(io.TextIOBase):
    """A stream that passes everything on and remembers the lines that warn.

    Parameters
    ----------
    stream : TextIO
        Where it goes.
    """

    def __init__(self, stream: TextIO):
        self.stream, self._rest, self._found = stream, "", dict[str, int]()

    def write(self, text: str) -> int:
        """Pass text on."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            before, mark, after = line.rpartition("warning: ")
            if mark and (not before or before.endswith(": ")):
                told = before + after
                self._found[told] = self._found.get(told, 0) + 1
        return self.stream.write(text)

    def flush(self) -> None:
        """Write what waits."""
        self.stream.flush()

    def isatty(self) -> bool:
        """Tell whether the stream is a terminal."""
        return self.stream.isatty()

    def fileno(self) -> int:
        """Give the stream's file number."""
        return self.stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of the stream."""
        return self.stream.encoding

    def listed(self) -> list[dict[str, Any]]:
        """Give the warnings as ``--json`` has them, each line once."""
        return [{"warning": line, "images": 0, "example": ""} for line in self._found]
