"""``cellscope nucleus-seg measure``: the assay without its network."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellscope.assays.nucleus_seg.assay import ASSAY, result_of, typical_diameter
from cellscope.assays.nucleus_seg.classes import CLASSES
from cellscope.assays.nucleus_seg.segment.instances import Nuclei
from cellscope.assays.nucleus_seg.segment.state import State
from cellscope.assays.nucleus_seg.segment.subject import PART, rgb_of
from cellscope.engine.assay import Assay, Result, Subject
from cellscope.engine.measure import GIVEN, Partners, load_given, measure, no_network
from cellscope.errors import InputError
from cellscope.imaging.smear import has_colour
from cellscope.io.annotations.given import Given, read_whole
from cellscope.io.inputs import stem
from cellscope.io.text import one_line
from cellscope.models.card import ModelCard

if TYPE_CHECKING:
    from cellscope.assays.nucleus_seg.options import MeasureOptions
    from cellscope.engine.predict.session import RunOutcome
    from cellscope.options.common import RunOptions

CELLS = ".cells.tif"


@dataclass(eq=False, repr=False)
class GivenState(State):
    """An image on its way: the nuclei that were given."""

    given: Given = field(init=False)
    cells: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)


def work(
    source: Path, arguments: list[str], out: Path, *, run: RunOptions, options: MeasureOptions, models: list[str],
    argv: list[str],
) -> RunOutcome:  # fmt: skip
    """Measure given nuclei, see `cellscope.engine.measure.measure`."""
    return measure(ASSAY, measuring, source, arguments, out, run=run, options=options, argv=argv)


def measuring(partners: Partners, source: Path) -> Assay:
    """Make the assay that measures the nuclei of these files."""
    card = ModelCard.weightless("nucleus-seg", PART, GIVEN, CLASSES)
    return replace(
        ASSAY,
        stages=(),
        state=GivenState,
        inputs=replace(ASSAY.inputs, load=partial(load, partners, source)),
        build=no_network,
        conclude=conclude,
        layers={},
        weightless={GIVEN: card},
    )


def load(partners: Partners, source: Path, subject: Subject[GivenState], max_pixels: int) -> None:
    """Read the nuclei of an image, and its cells: those of ``--cells``, or ``<stem>.cells.tif`` beside the nuclei.

    Raises
    ------
    InputError
    """
    options: MeasureOptions = subject.options
    state = subject.state
    state.given, state.notes = load_given(partners, source, subject, binary=options.binary)
    beside = partners[subject.name][0].parent / f"{Path(stem(subject.name)).name}{CELLS}"
    if options.cells is not None:
        path = options.cells if options.cells.is_file() else options.cells / f"{stem(subject.name)}{CELLS}"
        if not path.is_file():
            raise InputError(f"{one_line(subject.name)}: {one_line(path)} with its cells is not there")
        state.cells = read_whole(path, state.given.labels)
    elif beside.is_file():
        try:
            state.cells = read_whole(beside, state.given.labels)
        except InputError as error:
            state.notes.append(f"columns of cells are empty: {error}")


def conclude(subject: Subject[GivenState]) -> Result:
    """Measure the given nuclei; `score` is what their file holds, or empty."""
    state = subject.state
    state.colour = has_colour(rgb_of(subject))
    nuclei = Nuclei(state.given.labels, state.cells, state.given.values("score")[1:], 0)
    state.diameter = typical_diameter(nuclei)
    result = result_of(subject, nuclei)
    result.warnings[:0] = state.notes
    return result
