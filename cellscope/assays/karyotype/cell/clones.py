"""Several cells of one case: modal count, clones by the usual rule, draft mosaic karyotype. Tables in and out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from scipy.special import betaincinv

from cellscope.assays.karyotype.cell.evidence import from_text, of_draft
from cellscope.assays.karyotype.cell.iscn import AUTOSOMES, draft_iscn
from cellscope.assays.karyotype.cell.modal import modal_karyotype
from cellscope.assays.karyotype.classes import CLASSES
from cellscope.engine.assay import RunSummary
from cellscope.engine.predict.grouping import COLUMN
from cellscope.metrics.intervals import wilson

#: Cells that must show the same change before it is a clone's (ISCN): a loss happens in preparation more easily.
CELLS_FOR_GAIN, CELLS_FOR_LOSS = 2, 3
EXPECTED = 46


@dataclass(frozen=True)
class Change:
    """A gain or loss of copies of one chromosome against the case's normal complement.

    Attributes
    ----------
    name : str
        ``1`` to ``22``, ``X`` or ``Y``.
    copies : int
        Above 0 for a gain.
    """

    name: str
    copies: int

    @property
    def needed(self) -> int:
        """Cells that must share it."""
        return CELLS_FOR_GAIN if self.copies > 0 else CELLS_FOR_LOSS

    def __str__(self) -> str:
        """Write it as ISCN writes one: ``+21``, ``-7,-7``."""
        return ",".join([("+" if self.copies > 0 else "-") + self.name] * abs(self.copies))


@dataclass
class Case:
    """What the cells of one case came to.

    Attributes
    ----------
    sex : str
        ``XX`` or ``XY``: the complement that changes are counted against.
    modal_count : int or None
    counts : dict of int to int
        Chromosomes in a cell -> cells, usable or not.
    clones : list of (draft, changes, cells)
        The largest first, the normal one last.
    tally : dict of Change to list of str
        Every change and the cells that show it.
    non_clonal : list of str
        Cells that depart from the normal complement by changes that too few cells share: neither normal nor a clone.
    unusable : list of str
        Incomplete cells, which are not in `clones` and `tally`.
    """

    sex: str
    modal_count: int | None
    counts: dict[int, int]
    clones: list[tuple[str, tuple[Change, ...], list[str]]] = field(default_factory=list)
    tally: dict[Change, list[str]] = field(default_factory=dict)
    non_clonal: list[str] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)

    @property
    def usable(self) -> int:
        """Cells that were compared."""
        return sum(len(cells) for _, _, cells in self.clones) + len(self.non_clonal)

    @property
    def mosaic_draft(self) -> str:
        """The draft karyotype, cells in brackets (``mos 47,XX,+21[5]/46,XX[15]``), or that there is no clone."""
        if not self.usable:
            return "no clone; no usable cell"
        if not self.clones:
            return f"no clone; 0 of {self.usable} cells read as 46,{self.sex}"
        lines = "/".join(f"{draft}[{len(cells)}]" for draft, _, cells in self.clones)
        return f"mos {lines}" if len(self.clones) > 1 else lines

    @property
    def departing(self) -> int:
        """Cells with a change that is not clonal, whatever they share with others."""
        return len({name for change, names in self.tally.items() if not self.is_clonal(change) for name in names})

    def is_clonal(self, change: Change) -> bool:
        """Tell whether enough cells share a change."""
        return len(self.tally[change]) >= change.needed


def analyse_case(cells: Mapping[str, Sequence[str]], unusable: Sequence[str] = ()) -> Case:
    """Find the clones of one case.

    Two cells with the same gain, or three with the same loss, make a clone. What fewer cells show is not clonal: such a
    cell belongs to the clone of its other changes, and if it has no others to none. It is not normal.

    Parameters
    ----------
    cells : mapping
        Cell -> the class of each of its chromosomes; what is not among the 24 is counted and else ignored.
    unusable : sequence of str
        Cells that are too incomplete to be compared.
    """
    counts = dict(sorted(Counter(len(classes) for classes in cells.values()).items()))
    modal = min(counts, key=lambda count: (-counts[count], abs(count - EXPECTED))) if counts else None
    usable = {name: Counter(classes) for name, classes in cells.items() if name not in set(unusable)}
    # One Y may be a mistake, and a Y may be lost: the case has one when a third of its cells do.
    with_y = sum(found["Y"] > 0 for found in usable.values())
    sex = "XY" if with_y and 3 * with_y >= len(usable) else "XX"
    case = Case(sex, modal, counts, unusable=[name for name in cells if name in set(unusable)])
    shown = {name: _changes(found, sex) for name, found in usable.items()}
    for name, changes in shown.items():
        for change in changes:
            case.tally.setdefault(change, []).append(name)
    members: dict[tuple[Change, ...], list[str]] = {}
    for name, changes in shown.items():
        clonal = tuple(change for change in changes if case.is_clonal(change))
        if changes and not clonal:
            case.non_clonal.append(name)
        else:
            members.setdefault(clonal, []).append(name)
    for changes, names in sorted(members.items(), key=lambda item: (not item[0], -len(item[1]), str(item[0]))):
        case.clones.append((_draft(changes, sex), changes, names))
    return case


def _normal(sex: str) -> Counter[str]:
    return Counter({**dict.fromkeys(AUTOSOMES, 2), "X": sex.count("X"), "Y": sex.count("Y")})


def _changes(found: Mapping[str, int], sex: str) -> tuple[Change, ...]:
    normal = _normal(sex)
    listed = ((name, found.get(name, 0) - normal[name]) for name in (*CLASSES[22:], *AUTOSOMES))
    return tuple(Change(name, copies) for name, copies in listed if copies)


def _draft(changes: Sequence[Change], sex: str) -> str:
    classes = _normal(sex)
    for change in changes:
        classes[change.name] += change.copies
    return draft_iscn(classes.elements(), most=None)


def excluded_mosaicism(cells: int, departing: int = 0) -> float | None:
    """Give the share of a second cell line that this many cells exclude with 95 % certainty.

    Hook (1977) for cells that all agree, the exact binomial limit (Clopper and Pearson 1934) where some depart: each of
    these may be the second line.

    >>> round(excluded_mosaicism(20), 2), round(excluded_mosaicism(20, 1), 2)
    (0.14, 0.22)
    """
    if departing >= cells:
        return None
    return float(betaincinv(departing + 1, cells - departing, 0.95))


def _headline(metaphases: pd.DataFrame) -> list[tuple[str, Any]]:
    """Give the commonest draft karyotypes, each with its cells."""
    drafts = Counter(metaphases["iscn_draft"].dropna().astype(str)).most_common()
    if len(metaphases) == 1 and drafts:
        return [("draft karyotype", drafts[0][0])]
    return [(f"cells {draft}", count) for draft, count in drafts[:3] if count > 1]


def _evidence(
    metaphases: pd.DataFrame, objects: pd.DataFrame, classes: Mapping[str, list[str]]
) -> dict[str, dict[str, float]]:
    """Give what each cell says of gains and losses; its draft, where it is corrected or the models do not tell."""
    changed: set[str] = set()
    if "corrected" in objects:
        changed = set(objects.loc[objects["corrected"].astype(str) == "True", "image"])
    texts = metaphases["evidence"].fillna("").astype(str) if "evidence" in metaphases else [""] * len(metaphases)
    said = {}
    for name, text in zip(metaphases["image"], texts, strict=True):
        own = [str(one) for one in classes.get(name, [])]
        said[str(name)] = from_text(text) if text else of_draft(own, corrected=name in changed)
    return said


def summarise(images: pd.DataFrame, objects: pd.DataFrame, _options: Any, _cards: Any) -> RunSummary:
    """Make the tables of a run with ``--group-by``: cases, clones and changes; nothing without groups.

    Parameters
    ----------
    images, objects : DataFrame
        As in ``images.csv`` and ``objects.csv``.
    """
    metaphases = images[(images["status"] == "ok") & (images["kind"] == "metaphase")]
    if COLUMN not in images:
        return RunSummary(headline=_headline(metaphases))
    classes = {name: list(group) for name, group in objects.groupby("image")["class"]} if len(objects) else {}
    waiting = objects.groupby("image")["review"].sum() if len(objects) else pd.Series(dtype=int)
    said = _evidence(metaphases, objects, classes)
    cases, clones, changes = [], [], []
    for group, rows in metaphases.groupby(COLUMN, sort=False):
        cells = {str(name): [str(one) for one in classes.get(name, [])] for name in rows["image"]}
        drafts = dict(zip(rows["image"], rows["iscn_draft"].fillna("").astype(str), strict=True))
        unusable = [name for name in cells if not cells[name] or drafts[name].endswith(",inc")]
        case = analyse_case(cells, unusable)
        usable = case.usable
        modal = modal_karyotype([said[name] for name in cells if name not in set(unusable)])
        cases.append(
            {
                "group": group,
                "cells": len(cells),
                "usable_cells": usable,
                "chromosomes_to_review": int(sum(waiting.get(name, 0) for name in cells)),
                "modal_count": case.modal_count,
                "counts": " ".join(f"{count}:{number}" for count, number in case.counts.items()),
                "sex": case.sex if usable else "",
                "mosaic_draft": case.mosaic_draft,
                "excluded_mosaicism": excluded_mosaicism(usable, case.departing) if len(case.clones) == 1 else None,
                "non_clonal_cells": len(case.non_clonal),
                "modal_karyotype": "" if modal is None else modal.karyotype,
                "modal_probability": None if modal is None else round(modal.probability, 4),
            }
        )
        for draft, shared, names in case.clones:
            low, high = wilson(len(names), usable)
            clones.append(
                {
                    "group": group,
                    "iscn_draft": draft,
                    "changes": " ".join(map(str, shared)),
                    "cells": len(names),
                    "share": len(names) / usable,
                    "share_low": low,
                    "share_high": high,
                    "images": ";".join(names),
                }
            )
        for change, names in sorted(case.tally.items(), key=lambda item: -len(item[1])):
            changes.append(
                {
                    "group": group,
                    "change": str(change),
                    "cells": len(names),
                    "needed": change.needed,
                    "clonal": case.is_clonal(change),
                    "images": ";".join(names),
                }
            )
    warnings = ["Drafts from counts alone: a person confirms every cell before a clone is reported."] if cases else []
    cells_apart = sum(case["non_clonal_cells"] for case in cases)
    if cells_apart:
        told = "; ".join(f"{one['group']} {one['non_clonal_cells']}" for one in cases if one["non_clonal_cells"])
        cells_are = "1 cell is" if cells_apart == 1 else f"{cells_apart} cells are"
        warnings.append(f"{cells_are} in no clone and not normal: too few share their changes ({told}).")
    return RunSummary(
        tables={
            "cases": pd.DataFrame(cases),
            "clones": pd.DataFrame(clones, columns=[*CLONES]),
            "changes": pd.DataFrame(changes, columns=[*CHANGES]),
        }
        if cases
        else {},
        warnings=warnings,
        headline=[(f"case {case['group']}", case["mosaic_draft"]) for case in cases[:3]],
    )


CLONES = ("group", "iscn_draft", "changes", "cells", "share", "share_low", "share_high", "images")
CHANGES = ("group", "change", "cells", "needed", "clonal", "images")
