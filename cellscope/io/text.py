"""File names and messages of other programs, made safe for a one-line message. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path


def one_line(text: str | Path) -> str:
    """Text without line ends: control characters and the undecodable bytes of file names are escaped."""
    escaped = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))
    return escaped.encode("utf-8", "backslashreplace").decode("utf-8")
