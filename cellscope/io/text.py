"""File names and messages of other programs, made safe for a one-line message. Imports nothing heavy."""

from __future__ import annotations

import re
from pathlib import Path

_NAMES = re.compile(r"\b(?:[\w.]+\.)?[A-Z]\w*(?:Error|Exception|Warning)\b:? ?")


def one_line(text: str | Path) -> str:
    """Text without line ends: control characters and the undecodable bytes of file names are escaped."""
    escaped = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))
    return escaped.encode("utf-8", "backslashreplace").decode("utf-8")


def reason(error: BaseException, most: int = 120) -> str:
    """Give what another program's error says, on one line of at most `most` characters, without names of its classes.

    >>> reason(ValueError("TiffFileError: not a TIFF")), reason(KeyError())
    ('not a TIFF', 'no reason is given')
    """
    said = _NAMES.sub("", " ".join(one_line(str(error)).split())).strip(" :")
    return (said if len(said) <= most else said[: most - 3] + "...") or "no reason is given"
