"""The draft numerical karyotype: counts per class as ISCN writes them. Always a draft, never a diagnosis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from cellscope.assays.karyotype.classes import CLASSES

AUTOSOMES = CLASSES[:22]
DIPLOID = range(35, 58)
"""Totals that ISCN reads against the diploid set (35 to 57)."""


def sex_chromosomes(classes: Iterable[str]) -> str:
    """Write the sex chromosomes found, X before Y; ``?`` where there is none."""
    counts = Counter(classes)
    return "X" * counts["X"] + "Y" * counts["Y"] or "?"


def draft_iscn(classes: Iterable[str], *, most: int | None = 4) -> str:
    """Write a cell's counts as a numerical karyotype.

    Unassigned chromosomes count towards the total and stand as ``+mar`` (of unknown origin). More than `most`
    departures are not a karyotype but an incomplete metaphase: the total is then given with ``inc``. A total that ISCN
    would read as haploid or triploid says that changes are against the diploid set (``<2n>``).

    Parameters
    ----------
    classes : iterable of str
        One per chromosome: the 24 names or ``unassigned``.
    most : int or None
        None writes all departures, however many: for what several cells share.

    Examples
    --------
    >>> draft_iscn([*map(str, range(1, 23))] * 2 + ["X", "Y", "21"])
    '47,XY,+21'
    >>> draft_iscn([*map(str, range(1, 23))] * 2 + ["X"])
    '45,X'
    >>> draft_iscn([])
    '0'
    """
    listed = list(classes)
    counts = Counter(listed)
    if not listed:
        return "0"
    parts = [str(len(listed)), sex_chromosomes(listed)]
    changes = []
    for name in AUTOSOMES:
        difference = counts[name] - 2
        changes += ([f"+{name}"] if difference > 0 else [f"-{name}"]) * abs(difference)
    unknown = len(listed) - sum(counts[name] for name in CLASSES)
    if unknown:
        changes.append("+mar" if unknown == 1 else f"+{unknown}mar")
    if most is not None and len(changes) > most:
        return ",".join([*parts, "inc"])
    if len(listed) not in DIPLOID:
        parts[0] += "<2n>"
    return ",".join(parts + changes)
