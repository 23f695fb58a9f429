"""Karyotypes in ``cellscope review``: what a person can change in a metaphase, and classes of single chromosomes."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cellscope.assays.karyotype.assay import ASSAY
from cellscope.assays.karyotype.cell.assignment import UNASSIGNED
from cellscope.assays.karyotype.cell.chromosomes import Cell, Chromosome
from cellscope.assays.karyotype.classes import CLASSES, GROUPS
from cellscope.assays.karyotype.detect.inputs import CHROMOSOME, METAPHASE
from cellscope.assays.karyotype.editing.anew import is_fixed
from cellscope.assays.karyotype.editing.rerender import RenderState, is_corrected, render_assay
from cellscope.assays.karyotype.karyogram.drawing import ROWS, pictures, vector_karyogram
from cellscope.engine.assay import Assay, Result, Subject
from cellscope.errors import InputError
from cellscope.imaging.polygons import outline, rings
from cellscope.imaging.propose import propose_mask
from cellscope.imaging.tone import normalise_tone
from cellscope.io.write import encode_png
from cellscope.review.called import CalledState, called_assay, called_objects
from cellscope.review.protocol import Edit, Original, Review

ORIGINAL, PDF = ".karyotype.json", ".karyogram.pdf"
TALLEST = 240
"""Height of long chromosomes in the browser, pixels: twice what it shows, for dense displays."""


def corrected(original: Original, edits: Sequence[Edit]) -> Assay:
    """Give the assay that takes a cell through its edits; those that the report's editor made come first."""
    if original.summary["kind"] == CHROMOSOME:
        return called_assay(
            ASSAY, original, edits, part="classify", kinds=(CHROMOSOME,), known=classes({}), conclude=conclude_single
        )
    document = dict(original.artefacts[ORIGINAL])
    document["edits"] = [*document.get("edits", []), *edits]
    return render_assay({original.image: document}, anew=True)


def conclude_single(subject: Subject[CalledState]) -> Result:
    """Write the row of a single chromosome."""
    return Result(subject.state.table, {"n_chromosomes": 1})


def show(subject: Subject[Any]) -> dict[str, Any]:
    """Give the browser a cell: chromosomes with outline, picture and reasons, the draft, the rows of the karyogram."""
    if subject.kind == CHROMOSOME:
        objects = called_objects(subject.state.table)
        return {"objects": objects, "facts": [("class", one["class"]) for one in objects]}
    cell = subject.state.cell
    views = pictures(cell, subject.state.grey, TALLEST)
    return {
        "objects": [_shown(one, views[one.label]) for one in cell.chromosomes],
        "left_out": [{"outline": rings(outline(one.mask, _offset(one.bbox)))} for one in cell.left_out],
        "rows": [[{"group": name, "classes": GROUPS[name]} for name in row] for row in ROWS],
        "facts": [
            ("draft", cell.iscn_draft),
            *_probability(subject),
            ("chromosomes", len(cell.chromosomes)),
            *(("flag", flag.replace("_", " ")) for flag in cell.flags),
        ],
        "width": cell.shape[1],
        "height": cell.shape[0],
        "dark": cell.bright_on_dark,
    }


def _probability(subject: Subject[RenderState]) -> list[tuple[str, str]]:
    """Give how probable the draft is, if what a person fixed is right."""
    known, fixed = subject.state.cell.probability, [is_fixed(one) for one in subject.state.cell.chromosomes]
    if known is None:
        return []
    return [("probability", f"{known:.2f}; {sum(fixed)} of {len(fixed)} fixed")]


def _shown(one: Chromosome, view: np.ndarray) -> dict[str, Any]:
    known = np.isfinite(one.probabilities).all()
    best: list[int] = one.probabilities.argsort()[::-1][:3].tolist() if known else []
    return {
        "label": one.label,
        "class": one.class_,
        "review": one.review,
        "reasons": one.reasons,
        "corrected": is_corrected(one),
        "score": round(one.detection.score, 3),
        "confidence": round(one.confidence, 3),
        "alternatives": [[CLASSES[i], round(float(one.probabilities[i]), 3)] for i in best],
        "outline": rings(outline(one.detection.mask, _offset(one.detection.bbox))),
        "view": "data:image/png;base64," + base64.b64encode(encode_png(view)).decode("ascii"),
        "size": [view.shape[1], view.shape[0]],
    }


def _offset(bbox: np.ndarray) -> tuple[int, int]:
    return int(bbox[1]), int(bbox[0])


def complete(subject: Subject[RenderState], edit: Edit) -> Edit:
    """Give an ``add`` at a place the outline of what lies there, a ``confirm`` the classes, a ``flip`` which way.

    What the detector found and the cell left out comes first; else the threshold of the neighbourhood.

    Raises
    ------
    InputError
        Nothing stands out there.
    """
    if subject.kind == CHROMOSOME:
        return edit
    cell = subject.state.cell
    if edit.get("do") == "confirm":  # the classifier may name a new shape otherwise another time
        known = {one.label: one.class_ for one in cell.chromosomes}
        labels = [label for label in edit.get("labels") or [edit.get("label")] if label in known]
        return {"do": "confirm", "labels": labels, "classes": [known[label] for label in labels]}
    if edit.get("do") == "flip":
        up = next((one.short_arm_up for one in cell.chromosomes if one.label == edit.get("label")), None)
        return {**edit, "short_arm_up": up is False}
    if edit.get("do") != "add" or "points" in edit:
        return edit
    x, y = (float(value) for value in edit["point"])
    for index, one in enumerate(cell.left_out):
        x0, y0, x1, y1 = map(int, one.bbox)
        if x0 <= x < x1 and y0 <= y < y1 and one.mask[int(y) - y0, int(x) - x0]:
            return {"do": "restore", "index": index}
    mask = propose_mask(*_signal(subject, cell, (x, y)))
    if mask is None:
        raise InputError("no chromosome stands out there; draw its outline")
    rest = {name: value for name, value in edit.items() if name != "point"}
    return {**rest, "points": max(rings(outline(mask)), key=len)}


def _signal(
    subject: Subject[RenderState], cell: Cell, point: tuple[float, float]
) -> tuple[np.ndarray, tuple[float, float], np.ndarray, float]:
    normalised, _ = normalise_tone(subject.state.grey, bright_on_dark=cell.bright_on_dark)
    taken = np.zeros(cell.shape, bool)
    for one in cell.chromosomes:
        x0, y0, x1, y1 = map(int, one.detection.bbox)
        taken[y0:y1, x0:x1] |= one.detection.mask
    areas = [one.detection.area for one in cell.chromosomes]
    typical = float(np.median(areas)) if areas else cell.shape[0] * cell.shape[1] / 1000
    return normalised, point, taken, typical


def sheet(subject: Subject[Any]) -> tuple[str, bytes]:
    """Give the karyogram as a PDF of one page; InputError for a single chromosome."""
    if subject.kind == CHROMOSOME:
        raise InputError(f"{subject.name}: a single chromosome has no karyogram")
    state, ideograms = subject.state, subject.options.ideograms
    return PDF, vector_karyogram(state.cell, state.grey, title=subject.name, form="pdf", ideograms=ideograms)


def classes(_cards: Mapping[str, Any]) -> Sequence[str]:
    """Give the classes that a person can name."""
    return (*CLASSES, UNASSIGNED)


REVIEW = Review(
    originals={METAPHASE: (ORIGINAL,), CHROMOSOME: ()},
    page={METAPHASE: "karyotype", CHROMOSOME: "gallery"},
    corrected=corrected,
    show=show,
    classes=classes,
    tools=("class", "confirm", "flip", "turn", "join", "split", "outline", "add", "remove"),
    parts=("classify",),
    complete=complete,
    sheet=sheet,
)
