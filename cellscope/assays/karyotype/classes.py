"""The 24 human chromosomes: names, order and karyogram groups."""

from __future__ import annotations

import re
from collections.abc import Iterable

from cellscope.errors import DatasetError

CLASSES: tuple[str, ...] = (*map(str, range(1, 23)), "X", "Y")

#: Denver groups by size and centromere position, in karyogram order.
GROUPS: dict[str, tuple[str, ...]] = {
    "A": ("1", "2", "3"),
    "B": ("4", "5"),
    "C": ("6", "7", "8", "9", "10", "11", "12"),
    "D": ("13", "14", "15"),
    "E": ("16", "17", "18"),
    "F": ("19", "20"),
    "G": ("21", "22"),
    "sex": ("X", "Y"),
}

_GROUPED = re.compile(r"(?P<group>[a-g])[ _-]?(?P<name>\d{1,2}|[xy])")
_PREFIXES = ("chromosome", "clase", "class", "chr")
#: The sex chromosomes by the group that they look like.
_SEX = {"c": ("X",), "g": ("Y",)}


def parse_class(name: str) -> str | None:
    """Read a chromosome's name as data sets write it; None where it is no chromosome of the 24.

    >>> parse_class("clase7"), parse_class("23"), parse_class("chrX"), parse_class("unlabelled")
    ('7', 'X', 'X', None)
    >>> parse_class("A1"), parse_class("D-13"), parse_class("CX"), parse_class("A4")
    ('1', '13', 'X', None)
    """
    text = name.strip().lower()
    for prefix in _PREFIXES:
        text = text.removeprefix(prefix).strip(" _-")
    text = {"23": "x", "24": "y"}.get(text, text)
    grouped = _GROUPED.fullmatch(text)
    if grouped and grouped["name"].upper() in (*GROUPS[grouped["group"].upper()], *_SEX.get(grouped["group"], ())):
        text = grouped["name"]
    if text.isdigit():
        text = str(int(text))
    return text.upper() if text.upper() in CLASSES else None


def refuse_from_zero(names: Iterable[str], where: str) -> None:
    """Refuse numbers from 0 to 23: read as they stand, every chromosome would be the one before it.

    A 0 beside X and Y, or beside 24, is a class of its own for what is unknown.

    Raises
    ------
    DatasetError
    """
    plain = {name.strip().lower() for name in names}
    for prefix in _PREFIXES:
        plain = {name.removeprefix(prefix).strip(" _-") for name in plain}
    if "0" in plain and "1" in plain and not plain & {"x", "y", "24"}:
        raise DatasetError(
            f"{where}: the classes are numbers from 0, so that 1 would be chromosome 2; name them 1 to 22, X and Y"
        )
