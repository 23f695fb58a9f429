"""Cell divisions in ``cellscope review``: a gallery of filmstrips, each called by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellscope.assays.mitosis.assay import ASSAY, MOST_STRIPS, cut, summary_of
from cellscope.assays.mitosis.report.figures import Strip, draw_filmstrip, draw_order, strip_rows
from cellscope.assays.mitosis.sequences.inputs import KINDS, MOVIE, PART, SEQUENCE, load, movie_of
from cellscope.assays.mitosis.sequences.names import abnormal_classes
from cellscope.assays.mitosis.sequences.state import State
from cellscope.engine.assay import Assay, Result, Subject
from cellscope.io.inputs import stem
from cellscope.io.open import MAX_PIXELS
from cellscope.io.read import read
from cellscope.review.called import UNSURE, CalledState, called_assay, called_objects
from cellscope.review.protocol import Edit, Original, Review

if TYPE_CHECKING:
    from cellscope.review.opened import OpenRun

FILMSTRIP = ".filmstrip.png"


def corrected(original: Original, edits: Sequence[Edit]) -> Assay:
    """Give the assay that changes the rows of a sequence or movie."""
    return called_assay(ASSAY, original, edits, part=PART, kinds=KINDS, known=(), conclude=conclude)


def conclude(subject: Subject[CalledState]) -> Result:
    """Write the rows and the counts; the filmstrip stays."""
    table, card = subject.state.table, subject.cards[PART]
    return Result(table, summary_of(table, abnormal_classes(card.classes, card.training)))


def show(subject: Subject[CalledState]) -> dict[str, Any]:
    """Give the browser the calls of a sequence or movie."""
    objects = called_objects(subject.state.table)
    if subject.kind == SEQUENCE:
        return {"objects": objects, "facts": [("call", one["class"]) for one in objects]}
    counts = [(name, sum(one["class"] == name for one in objects)) for name in (*subject.cards[PART].classes, UNSURE)]
    return {"objects": objects, "facts": [("divisions", len(objects)), *counts]}


def classes(models: Mapping[str, Any]) -> Sequence[str]:
    """Give the model's classes, and that a person is unsure."""
    return (*models[PART]["classes"], UNSURE)


def picture(run: OpenRun, image: str, label: int) -> np.ndarray:
    """Give the filmstrip of one division: (h, w, 3) uint8, as ``predict`` drew it, or drawn now from the movie."""
    rows = run.original(image).rows
    index = rows["label"].tolist().index(label)
    card = run.loaded().cards[PART]
    abnormal = rows["class"].isin(abnormal_classes(card.classes, card.training))
    place = draw_order(rows["review"].tolist(), abnormal.tolist()).index(index)
    if place < MOST_STRIPS:
        return _page(run.out / f"{stem(image)}{FILMSTRIP}")[strip_rows(place)]
    return _drawn(run, image, index, bool(abnormal[index]))


@lru_cache(maxsize=2)
def _page(path: Path) -> np.ndarray:
    return read(path).pixels[..., :3]


def _drawn(run: OpenRun, image: str, index: int, abnormal: bool) -> np.ndarray:
    subject = _cut(run, image)
    state, minutes = subject.state, (movie_of(subject).interval_s or 0) / 60
    strip = Strip(state.shown[index], state.frames[index], "", abnormal, review=False, pixel_size_um=state.pixel)
    return draw_filmstrip([strip], "", minutes)[strip_rows(0)]


@lru_cache(maxsize=1)
def _cut(run: OpenRun, image: str) -> Subject[State]:
    """Cut all divisions out of a movie once more."""
    subject: Subject[State] = run.subject(image, ASSAY, run.read_image(image))
    load(subject, MAX_PIXELS)
    cut(subject)
    return subject


REVIEW = Review(
    originals={SEQUENCE: (FILMSTRIP,), MOVIE: ()},
    page={SEQUENCE: "gallery", MOVIE: "gallery"},
    corrected=corrected,
    show=show,
    classes=classes,
    tools=("class", "confirm"),
    reads_image=False,
    picture=picture,
)
