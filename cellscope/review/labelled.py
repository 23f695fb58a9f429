"""Assays whose objects lie in a label image: the stage that carries out a person's edits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from cellscope.engine.assay import Assay, Result, Subject
from cellscope.errors import InputError
from cellscope.imaging.label_edits import EditedLabels, edit_labels
from cellscope.review.protocol import Edit, Original
from cellscope.review.stage import edited_assay

LABELS = ".labels.tif"
More = Mapping[str, Callable[[EditedLabels, Mapping[str, Any]], None]]


def labelled_assay(
    base: Assay,
    original: Original,
    edits: Sequence[Edit],
    *,
    state: Callable[[], Any],
    conclude: Callable[[Subject], Result],
    more: More | None = None,
) -> Assay:
    """Give the assay that takes an image through edits of its label image; no network runs.

    Parameters
    ----------
    base : Assay
    original, edits
        As for `Review.corrected`.
    state : callable
        The assay's state, with the fields ``edited`` (`EditedLabels`) and ``original`` (`Original`) besides.
    conclude : callable
        Gives what ``predict`` would have.
    more : mapping, optional
        The assay's own edits.
    """
    change = partial(_change, original, edits, more)
    return edited_assay(base, change, part=base.parts[0], kinds=base.inputs.kinds, state=state, conclude=conclude)


def _change(original: Original, edits: Sequence[Edit], more: More | None, subject: Subject) -> list[np.ndarray]:
    """Carry out the edits; no item for a network."""
    labels = original.artefacts[LABELS]
    if labels.shape != (subject.image.height, subject.image.width):
        raise InputError(f"{subject.name}: the image is not of the size of its label image; was it replaced?")
    subject.state.edited, subject.state.original = edit_labels(labels, edits, more), original
    return []
