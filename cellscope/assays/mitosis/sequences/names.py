"""What a sequence's file name says: date, cell line, dose, position, frames."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DOSE = re.compile(r"(?<![A-Za-z0-9.])(?P<dose>\d+(?:\.\d+)?)\s?Gy(?![A-Za-z])", re.IGNORECASE)
_POSITION = re.compile(r"(?<![A-Za-z0-9])(?P<position>[pP]\d+(?:-\d+)?)(?![A-Za-z0-9])")
_DATE = re.compile(r"(?<!\d)(?P<date>\d{6}|\d{8})(?!\d)")
_FRAMES = re.compile(r"_(?P<first>\d+)(?:[_-](?P<last>\d+))?_*$")
_NO_LINE = re.compile(r"[A-Za-z]?|nd2|.*\.nd2|\d+")


@dataclass(frozen=True)
class Facts:
    """What is known of a sequence; empty text where nothing is.

    Attributes
    ----------
    line, date, position : str
    dose : str
        In gray, as written.
    frames : str
        First and last frame in the movie it was cut from, ``90-101``.
    """

    line: str = ""
    dose: str = ""
    position: str = ""
    date: str = ""
    frames: str = ""

    @property
    def group(self) -> str:
        """What must stay together in a split: date, cell line, dose and position of the movie."""
        return "_".join(part or "unknown" for part in (self.date, self.line, self.dose, self.position))


def parse_name(stem: str) -> Facts:
    """Read a file name such as ``A_160930.nd2_PC3_4Gy_p2_532_543`` or ``8Gy_p3-2_260-271``.

    Parameters
    ----------
    stem : str
        The name without its suffix.

    Returns
    -------
    Facts
        The cell line is the part just before the dose, unless that is a date or a single letter.
    """
    dose, position, date = _DOSE.search(stem.replace("_", " ")), _POSITION.search(stem.replace("_", " ")), None
    before = stem[: dose.start()] if dose else stem
    date = _DATE.search(before)
    line = ""
    if dose:
        words = [word for word in before.split("_") if word]
        line = words[-1] if words and not _NO_LINE.fullmatch(words[-1]) else ""
    frames = _FRAMES.search(stem[position.end() :]) if position else None
    spoken = "-".join(filter(None, [frames["first"], frames["last"]])) if frames else ""
    return Facts(
        line=line,
        dose=dose["dose"] if dose else "",
        position=position["position"].lower() if position else "",
        date=date["date"] if date else "",
        frames=spoken,
    )
