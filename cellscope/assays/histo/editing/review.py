"""Nuclei of H&E images in ``cellscope review``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cellscope.assays.histo.assay import ASSAY, IMAGE, SLIDE
from cellscope.assays.histo.classes import PART
from cellscope.assays.histo.editing import slide
from cellscope.assays.histo.measure.rois import COLUMN as ROI
from cellscope.assays.histo.measure.rois import names_at
from cellscope.assays.histo.measure.rows import measure_nuclei
from cellscope.assays.histo.nuclei.postprocess import Nuclei
from cellscope.assays.histo.slides.joining import with_rows
from cellscope.assays.histo.slides.stage import rgb_of
from cellscope.assays.histo.slides.state import State
from cellscope.engine.assay import Assay, Result, Subject, probability_columns
from cellscope.imaging.label_edits import EditedLabels
from cellscope.imaging.shown_labels import complete_outline, shown_objects, tell_rows, typical_area
from cellscope.imaging.stain import stains
from cellscope.review.labelled import LABELS, labelled_assay
from cellscope.review.protocol import Edit, Original, Review

USUAL_AREA = 350.0
"""Of a nucleus where there is none to compare with, pixels."""
KEPT = ("shifted_grid_dice", "shifted_grid_count")


@dataclass(eq=False, repr=False)
class EditedState(State):
    """An image with a person's changes."""

    edited: EditedLabels = field(init=False)
    original: Original = field(init=False)


def corrected(original: Original, edits: Sequence[Edit]) -> Assay:
    """Give the assay that takes an image through its edits."""
    if original.summary.get("kind") == SLIDE:
        return slide.corrected(original, edits)
    return labelled_assay(ASSAY, original, edits, state=EditedState, conclude=conclude)


def conclude(subject: Subject[EditedState]) -> Result:
    """Write everything that ``predict`` writes, from the corrected nuclei."""
    edited, original = subject.state.edited, subject.state.original
    names = subject.cards[PART].classes
    nuclei = nuclei_of(edited, original, names)
    table = measure_nuclei(
        rgb_of(subject), nuclei, names, subject.image.pixel_size_um, review_below=subject.options.review_below
    )
    regions = subject.state.regions
    if regions is not None:
        table[ROI] = names_at(regions, *(table[f"centroid-{axis}"].to_numpy(float) for axis in (0, 1)))
    tell_rows(table, edited)
    result = with_rows(subject, edited.labels, table)
    result.summary |= {name: original.summary.get(name) or None for name in KEPT}
    return result


def nuclei_of(edited: EditedLabels, original: Original, names: Sequence[str]) -> Nuclei:
    """Give the corrected nuclei the probabilities of the network.

    What the network did not see, and what a person gave another type, has probability 1 of that type.
    """
    score = np.ones(edited.used, np.float32)
    probabilities = np.zeros((edited.used, len(names)), np.float32)
    probabilities[:, 0] = 1.0
    at = original.rows["label"].to_numpy(int) - 1
    score[at] = original.rows["score"].to_numpy(float)
    columns = list(probability_columns(names))
    if columns:
        probabilities[at] = original.rows[columns].to_numpy(float)
    for label in sorted(edited.origin):  # a piece is of the type of what it was cut from
        probabilities[label - 1] = probabilities[edited.origin[label] - 1]
    for label, said in edited.told.items():
        if said.get("class") in names:
            probabilities[label - 1] = np.eye(len(names))[list(names).index(said["class"])]
    return Nuclei(edited.labels, probabilities, score)


def show(subject: Subject[Any]) -> dict[str, Any]:
    """Give the browser an image: its nuclei with their types, and how many there are of each."""
    if isinstance(subject.state, slide.OutlinedState):
        return slide.show(subject)
    names = subject.cards[PART].classes
    objects = shown_objects(subject.state.edited, subject.state.original.rows, names[0])
    counts = [(name, sum(one["class"] == name for one in objects)) for name in names]
    return {
        "objects": objects,
        "facts": [("nuclei", len(objects)), *(counts if len(names) > 1 else ())],
        "width": subject.image.width,
        "height": subject.image.height,
    }


def complete(subject: Subject[EditedState], edit: Edit) -> Edit:
    """Outline the nucleus at a place, by its haematoxylin."""
    edited = subject.state.edited
    if edit.get("do") != "add" or "points" in edit:
        return edit
    signal = stains(rgb_of(subject))[..., 0]
    return complete_outline(edit, edited, signal, typical_area(edited.labels, USUAL_AREA))


def classes(models: Mapping[str, Any]) -> Sequence[str]:
    """Give the model's types."""
    return tuple(models[PART]["classes"])


REVIEW = Review(
    originals={IMAGE: (LABELS,), SLIDE: ()},
    beside={SLIDE: slide.GEOJSON},
    page={IMAGE: "objects"},
    corrected=corrected,
    show=show,
    classes=classes,
    tools=("class", "confirm", "join", "split", "outline", "add", "remove"),
    complete=complete,
    outlined=True,
)
