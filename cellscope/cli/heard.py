"""What a command says on stderr, listened to: ``--json`` lists the warnings, ``--log-file`` keeps every line."""

from __future__ import annotations

import datetime
import io
from pathlib import Path
from typing import Any, TextIO

from cellscope.errors import UsageError


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


class Logged(io.TextIOBase):
    """A stream that passes everything on and appends every line, with its time, to a file.

    It is never a terminal: a bar that moves would fill the file.

    Parameters
    ----------
    stream : TextIO
        Where it goes.
    path : Path
        The file; its folder is made.

    Raises
    ------
    UsageError
        The file cannot be written.
    """

    def __init__(self, stream: TextIO, path: Path):
        self.stream, self._rest = stream, ""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "a", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115 - for the command
        except OSError as error:
            raise UsageError(f"--log-file {path}: cannot be written ({error.strerror})") from None

    def write(self, text: str) -> int:
        """Pass text on."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self.note(line)
        return self.stream.write(text)

    def note(self, line: str) -> None:
        """Write a line to the file alone."""
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        self._file.write(f"{now} {line}\n")
        self._file.flush()

    def flush(self) -> None:
        """Write what waits."""
        self.stream.flush()

    def fileno(self) -> int:
        """Give the stream's file number."""
        return self.stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of the stream."""
        return self.stream.encoding

    def close(self) -> None:
        """Write the last line, and close the file; the stream stays open."""
        if self._rest:
            self.note(self._rest)
        self._file.close()
