"""File names and messages of other programs, made safe for a one-line message. Imports nothing heavy."""

from __future__ import annotations

import re
from pathlib import Path

_NAMES = re.compile(r"\b(?:[\w.]+\.)?[A-Z]\w*(?:Error|Exception|Warning)\b:? ?")

_STARTS = frozenset("=+-@\t\r")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|-")


def no_formula(cell: str) -> str:
    """Give the text of a table's cell such that no spreadsheet takes it for a formula: with an apostrophe before it.

    See OWASP, "CSV Injection". Numbers stay as they are, and so does what has its apostrophe.

    >>> no_formula("=1+1"), no_formula("-2.5e-3"), no_formula("-2+3"), no_formula("a=b"), no_formula("'=1+1")
    ("'=1+1", '-2.5e-3', "'-2+3", 'a=b', "'=1+1")
    """
    return f"'{cell}" if cell[:1] in _STARTS and cell and not _NUMBER.fullmatch(cell) else cell


def from_cell(cell: str) -> str:
    """Give the text that `no_formula` made a cell of.

    >>> from_cell("'=1+1"), from_cell("'a'")
    ('=1+1', "'a'")
    """
    return cell[1:] if cell[:1] == "'" and no_formula(cell[1:]) != cell[1:] else cell


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
