"""What a sequence's file name says: date, cell line, dose, position, frames."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_DOSE = re.compile(r"(?<![A-Za-z0-9.])(?<!\d,)(?P<dose>\d+(?:[.,]\d+)?)\s?Gy(?![A-Za-z])", re.IGNORECASE)
_POSITION = re.compile(r"(?<![A-Za-z0-9])(?P<position>[pP]\d+(?:-\d+)?)(?![A-Za-z0-9])")
_DATE = re.compile(r"(?<!\d)(?P<date>\d{6}|\d{8})(?!\d)")
_FRAMES = re.compile(r"_(?P<first>\d+)(?:[_-](?P<last>\d+))?_*$")
_NO_LINE = re.compile(r"[A-Za-z]?|nd2|.*\.nd2|\d+")


_NORMAL = re.compile(r"(normal|regular|bipolar|negative|neg)([ _-]?(mitos[ie]s|divisions?))?", re.IGNORECASE)
_ABNORMAL = re.compile(r"(abnormal|aberrant|irregular|positive|pos)([ _-]?(mitos[ie]s|divisions?))?", re.IGNORECASE)
_KIND = re.compile(
    r"multi|tri|tetra|mono|lagging|bridge|misaligned|unaligned|polar|asymmetric|slippage|failed|death|catastrophe|fragment",
    re.IGNORECASE,
)
"""What kinds of abnormal divisions are called: where two classes are left, none of these is the normal one."""


def normal_class(classes: Sequence[str]) -> str | None:
    """Tell by its name which class is that of normal divisions; None where the names do not say.

    >>> normal_class(["multipolar", "normal"]), normal_class(["abnormal", "two"]), normal_class(["a", "b"])
    ('normal', 'two', None)
    >>> normal_class(["abnormal", "multipolar"])  # two kinds of abnormal ones
    """
    normal = [name for name in classes if _NORMAL.fullmatch(name)]
    if len(normal) == 1:
        return normal[0]
    others = [name for name in classes if not _ABNORMAL.fullmatch(name)]
    return others[0] if len(classes) == 2 and len(others) == 1 and not _KIND.search(others[0]) else None


def abnormal_classes(classes: Sequence[str], training: dict[str, Any]) -> frozenset[str]:
    """Give the classes of a model that count as abnormal: all but the normal one that its card states.

    Parameters
    ----------
    classes : sequence of str
    training : dict
        Of the model card. An older one states none: there the last class is the abnormal one.
    """
    normal = training.get("normal")
    return frozenset(classes) - {normal} if normal in classes else frozenset(classes[-1:])


@dataclass(frozen=True)
class Facts:
    """What is known of a sequence; empty text where nothing is.

    Attributes
    ----------
    line, date, position : str
    dose : str
        In gray, as written, with a point before decimals.
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
        dose=dose["dose"].replace(",", ".") if dose else "",
        position=position["position"].lower() if position else "",
        date=date["date"] if date else "",
        frames=spoken,
    )
