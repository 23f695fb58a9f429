"""A division that a table names, and the numbers of such a table."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from cellscope.errors import UsageError
from cellscope.io.text import one_line


@dataclass(frozen=True)
class Event:
    """A division to look at.

    Attributes
    ----------
    frame : int
        The first frame in which the cell is divided (or failed to be), from 0.
    y, x : float
        Row and column, pixels.
    size : float or None
        Side of the square that holds it, pixels.
    source : str
        Where it was said, for messages: ``line 3``, ``track 12``.
    image : str
        The movie it is in, as the table names it; empty for whichever movie is read.
    track, spot : str
        What the tracking program calls the track and the spot that divides; empty where the table does not say.
    class_ : str
        What a person called it; empty where nobody did.
    """

    frame: int
    y: float
    x: float
    size: float | None = None
    source: str = ""
    image: str = ""
    track: str = ""
    spot: str = ""
    class_: str = ""


def table_number(path: Path, where: str, name: str, text: str | None) -> float:
    """Read a number of a table; UsageError names the place where it is none."""
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        point = "; write decimals with a point" if "," in (text or "") else ""
        raise UsageError(f"{one_line(path)}, {where}: {name} is {one_line(text or '')!r}, not a number{point}")
    return value
