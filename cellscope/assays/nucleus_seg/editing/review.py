"""Nuclei of blood cells in ``cellscope review``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from scipy import ndimage

from cellscope.assays.nucleus_seg.assay import ASSAY, IMAGE, SLIDE, result_of
from cellscope.assays.nucleus_seg.classes import CLASSES
from cellscope.assays.nucleus_seg.segment.instances import Nuclei
from cellscope.assays.nucleus_seg.segment.state import State
from cellscope.assays.nucleus_seg.segment.subject import rgb_of
from cellscope.engine.assay import Assay, Result, Subject
from cellscope.imaging.label_edits import EditedLabels
from cellscope.imaging.shown_labels import complete_outline, shown_objects, tell_rows, typical_area
from cellscope.review.labelled import LABELS, labelled_assay
from cellscope.review.protocol import Edit, Original, Review

CELLS = ".cells.tif"
USUAL_AREA = 900.0
"""Of a nucleus where there is none to compare with, pixels."""


@dataclass(eq=False, repr=False)
class EditedState(State):
    """An image with a person's changes."""

    edited: EditedLabels = field(init=False)
    original: Original = field(init=False)


def corrected(original: Original, edits: Sequence[Edit]) -> Assay:
    """Give the assay that takes an image through its edits."""
    return labelled_assay(ASSAY, original, edits, state=EditedState, conclude=conclude)


def conclude(subject: Subject[EditedState]) -> Result:
    """Write everything that ``predict`` writes, from the corrected nuclei."""
    edited, original = subject.state.edited, subject.state.original
    subject.state.colour = True
    diameter = original.summary.get("nucleus_diameter")
    subject.state.diameter = float(diameter) if diameter else None
    score = np.ones(edited.used)
    at = original.rows["label"].to_numpy(int)
    score[at - 1] = original.rows["score"].to_numpy(float)
    cells = original.artefacts.get(CELLS)
    nuclei = Nuclei(
        edited.labels, None if cells is None else cells_of(cells.astype(np.int32), edited), score,
        int(float(original.summary.get("n_dropped") or 0)),
    )  # fmt: skip
    return result_of(subject, nuclei, partial(tell_rows, edited=edited))


def cells_of(cells: np.ndarray, edited: EditedLabels) -> np.ndarray:
    """Give the cells that belong to the corrected nuclei.

    A cell without its nucleus is none any more; that of a nucleus which was split is shared out by distance; a nucleus
    lies in its own cell.

    Parameters
    ----------
    cells : (H, W) int32
    edited : EditedLabels
    """
    found = cells.copy()
    there = set(np.unique(edited.labels).tolist()) - {0}
    for label in set(np.unique(found).tolist()) - {0} - there:
        found[found == label] = edited.origin.get(label, 0) if edited.origin.get(label) in there else 0
    for owner in {edited.origin[label] for label in edited.origin if label in there} & there:
        family = [owner, *(label for label, source in edited.origin.items() if source == owner and label in there)]
        seeds = np.where(np.isin(edited.labels, family), edited.labels, 0)
        nearest = ndimage.distance_transform_edt(seeds == 0, return_distances=False, return_indices=True)
        inside = found == owner
        found[inside] = seeds[tuple(nearest)][inside]
    return np.where(edited.labels > 0, edited.labels, found)


def show(subject: Subject[EditedState]) -> dict[str, Any]:
    """Give the browser an image: its nuclei, and how many there are."""
    edited = subject.state.edited
    objects = shown_objects(edited, subject.state.original.rows, CLASSES[0])
    return {
        "objects": [{**one, "name": str(one["label"])} for one in objects],
        "facts": [("nuclei", len(objects))],
        "width": subject.image.width,
        "height": subject.image.height,
    }


def complete(subject: Subject[EditedState], edit: Edit) -> Edit:
    """Outline the nucleus at a place: what is darkest in green, as chromatin is."""
    edited = subject.state.edited
    signal = 255.0 - rgb_of(subject)[..., 1].astype(np.float32)
    return complete_outline(edit, edited, signal, typical_area(edited.labels, USUAL_AREA))


def classes(_models: Mapping[str, Any]) -> Sequence[str]:
    """Give the classes that a person can name."""
    return CLASSES


REVIEW = Review(
    originals={IMAGE: (LABELS,), SLIDE: (LABELS,)},
    beside={IMAGE: (CELLS,), SLIDE: (CELLS,)},
    page={IMAGE: "objects"},
    corrected=corrected,
    show=show,
    classes=classes,
    tools=("confirm", "join", "split", "outline", "add", "remove"),
    complete=complete,
    outlined=True,
)
