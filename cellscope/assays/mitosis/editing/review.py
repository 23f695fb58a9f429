"""Cell divisions in ``cellscope review``: a gallery of filmstrips, each called by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from cellscope.assays.mitosis.assay import ASSAY, summary_of
from cellscope.assays.mitosis.datasets.found import UNSURE as REASON
from cellscope.assays.mitosis.sequences.inputs import PART, SEQUENCE
from cellscope.assays.mitosis.sequences.names import abnormal_classes
from cellscope.engine.assay import Assay, Result, Stage, Subject
from cellscope.errors import InputError
from cellscope.review.protocol import Edit, Original, Review

FILMSTRIP = ".filmstrip.png"
UNSURE = "unsure"
KINDS = (SEQUENCE,)


@dataclass(eq=False, repr=False)
class EditedState:
    """The rows of a sequence with what a person said."""

    table: pd.DataFrame = field(init=False)


def corrected(original: Original, edits: Sequence[Edit]) -> Assay:
    """Give the assay that changes the rows of a sequence; the network does not run."""
    stage = Stage(PART, KINDS, 1, partial(change, original, edits), ASSAY.stages[0].forward, _finish)
    return replace(ASSAY, stages=(stage,), state=EditedState, conclude=conclude)


def change(original: Original, edits: Sequence[Edit], subject: Subject[EditedState]) -> list[np.ndarray]:
    """Carry out the edits; no item for a network.

    Raises
    ------
    InputError
        An edit or a class that is not known.
    """
    known = subject.cards[PART].classes
    table = original.rows.copy()
    table["corrected"] = False
    table["reasons"] = table["reasons"].fillna("").astype(str)
    for edit in edits:
        at = table["label"].isin(edit.get("labels") or [edit.get("label")])
        if not at.any():
            raise InputError(f"{edit.get('do')}: there is no {edit.get('label')}")
        if edit.get("do") == "class" and edit.get("class") in known:
            table.loc[at, "class"] = edit["class"]
        elif not (edit.get("do") == "confirm" or (edit.get("do") == "class" and edit.get("class") == UNSURE)):
            raise InputError(f"{edit.get('do')} {edit.get('class', '')}: a division is {', '.join(known)} or {UNSURE}")
        unsure = edit.get("class") == UNSURE
        table.loc[at, ["corrected", "review"]] = [True, unsure]
        table.loc[at, "reasons"] = REASON if unsure else ""
        table.loc[at, "score"] = original.rows.loc[at, "score"] if unsure else 1.0
    subject.state.table = table
    return []


def _finish(_subject: Subject, _outputs: list[Any]) -> None:
    return None


def conclude(subject: Subject[EditedState]) -> Result:
    """Write the rows and the counts; the filmstrip stays."""
    table, card = subject.state.table, subject.cards[PART]
    return Result(table, summary_of(table, abnormal_classes(card.classes, card.training)))


def show(subject: Subject[EditedState]) -> dict[str, Any]:
    """Give the browser the call of a sequence."""
    rows = subject.state.table.to_dict("records")
    objects = [
        {
            "label": int(row["label"]),
            "class": UNSURE if row["reasons"] == REASON else str(row["class"]),
            "review": bool(row["review"]),
            "reasons": [row["reasons"]] if row["reasons"] else [],
            "corrected": bool(row["corrected"]),
            "outline": [],
            "notes": [f"network: score {row['score']:.2f}"] if not row["corrected"] else [],
        }
        for row in rows
    ]
    return {"objects": objects, "facts": [("call", one["class"]) for one in objects]}


def classes(models: Mapping[str, Any]) -> Sequence[str]:
    """Give the model's classes, and that a person is unsure."""
    return (*models[PART]["classes"], UNSURE)


REVIEW = Review(
    originals={SEQUENCE: (FILMSTRIP,)},
    page={SEQUENCE: "gallery"},
    corrected=corrected,
    show=show,
    classes=classes,
    tools=("class", "confirm"),
    reads_image=False,
)
