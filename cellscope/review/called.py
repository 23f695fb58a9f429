"""Assays whose objects are rows of a table: the stage that carries out the classes that a person gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from cellscope.engine.assay import Assay, Result, Subject
from cellscope.errors import InputError
from cellscope.review.protocol import Edit, Original
from cellscope.review.stage import edited_assay

UNSURE = "unsure"
"""What a person says who cannot tell the class."""
REASON = "a person is unsure"
"""The reason for review of such an object."""


@dataclass(eq=False, repr=False)
class CalledState:
    """The rows of an image with what a person said."""

    table: pd.DataFrame = field(init=False)


def called_assay(
    base: Assay,
    original: Original,
    edits: Sequence[Edit],
    *,
    part: str,
    kinds: tuple[str, ...],
    known: Sequence[str],
    conclude: Callable[[Subject], Result],
) -> Assay:
    """Give the assay that changes the rows of an image; no network runs.

    Parameters
    ----------
    base : Assay
    original, edits
        As for `Review.corrected`.
    part, kinds, conclude
        As for `edited_assay`; the rows are in ``state.table``.
    known : sequence of str
        Classes that a person can give; none for those of the model, and `UNSURE`.
    """
    change = partial(_change, original, edits, part, tuple(known))
    return edited_assay(base, change, part=part, kinds=kinds, state=CalledState, conclude=conclude)


def _change(
    original: Original, edits: Sequence[Edit], part: str, known: tuple[str, ...], subject: Subject[CalledState]
) -> list[np.ndarray]:
    """Carry out the edits; no item for a network."""
    subject.state.table = call_rows(original.rows, edits, known or (*subject.cards[part].classes, UNSURE))
    return []


def call_rows(rows: pd.DataFrame, edits: Sequence[Edit], known: Sequence[str]) -> pd.DataFrame:
    """Give rows the classes that a person said.

    Parameters
    ----------
    rows : DataFrame
        ``label``, ``class``, ``score``, ``review``, and ``reasons`` where the assay gives them; not changed.
    edits : sequence of mapping
        ``class`` (``label``, ``class``), ``confirm`` (``label`` or ``labels``).
    known : sequence of str
        Classes. A row that a person says `UNSURE` of keeps its class, is to be reviewed, and says why.

    Returns
    -------
    DataFrame
        With ``corrected``.

    Raises
    ------
    InputError
        An edit or a class that is not known; no such row.
    """
    table = rows.copy()
    table["corrected"] = rows["corrected"].eq(True) if "corrected" in rows else False
    if "reasons" in table or UNSURE in known:
        given = table["reasons"] if "reasons" in table else pd.Series("", table.index)
        table["reasons"] = given.fillna("").astype(str)
    for edit in edits:
        at = table["label"].isin(edit.get("labels") or [edit.get("label")])
        if not at.any():
            raise InputError(f"{edit.get('do')}: there is no {edit.get('label')}")
        named = edit.get("class")
        if edit.get("do") not in ("class", "confirm") or (edit["do"] == "class" and named not in known):
            raise InputError(f"{edit.get('do')} {named or ''}: the classes are {', '.join(known)}")
        unsure = edit["do"] == "class" and named == UNSURE
        if edit["do"] == "class" and not unsure:
            table.loc[at, "class"] = named
        table.loc[at, ["corrected", "review"]] = [True, unsure]
        if "reasons" in table:
            table.loc[at, "reasons"] = REASON if unsure else ""
        table.loc[at, "score"] = rows.loc[at, "score"] if unsure else 1.0
    return table


def called_objects(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Give rows as the browser shows them.

    Parameters
    ----------
    table : DataFrame
        From `call_rows`; with ``frame`` and centroid where objects lie in a movie.
    """
    objects = []
    for row in table.to_dict("records"):
        reasons = str(row.get("reasons") or "") if isinstance(row.get("reasons"), str) else ""
        told = [] if row["corrected"] else [f"network: score {row['score']:.2f}"]
        if pd.notna(row.get("frame")):
            told.append(f"frame {row['frame']:.0f}, row {row['centroid-0']:.0f}, column {row['centroid-1']:.0f}")
        objects.append(
            {
                "label": int(row["label"]),
                "class": UNSURE if reasons == REASON else str(row["class"]),
                "review": bool(row["review"]),
                "reasons": reasons.split("; ") if reasons else [],
                "corrected": bool(row["corrected"]),
                "outline": [],
                "notes": told,
            }
        )
    return objects
