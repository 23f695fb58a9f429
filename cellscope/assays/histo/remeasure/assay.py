"""``cellscope histo measure``: the assay without its network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellscope.assays.histo.assay import ASSAY, doubt_pixel_size
from cellscope.assays.histo.assay import load as load_regions
from cellscope.assays.histo.classes import PART, PIXEL_SIZE_UM, UNTYPED
from cellscope.assays.histo.nuclei.postprocess import Nuclei
from cellscope.assays.histo.slides.joining import result_of
from cellscope.assays.histo.slides.state import State
from cellscope.engine.assay import Assay, Result, Subject
from cellscope.engine.measure import GIVEN, Partners, load_given, measure, no_network
from cellscope.errors import InputError
from cellscope.io.annotations.given import Given, is_outlines, outlines_of
from cellscope.io.annotations.outline import Outline
from cellscope.io.wsi import Slide
from cellscope.models.card import ModelCard

if TYPE_CHECKING:
    from cellscope.assays.histo.options import MeasureOptions
    from cellscope.engine.predict.session import RunOutcome
    from cellscope.options.common import RunOptions

NO_TYPE = ("nucleus", "nuclei", "cell", "cells")
"""Classes that name no type, where there is no other."""

UNKNOWN = "unclassified"
"""The type of a nucleus without one among others that have one."""

PROBABILITY = "p_"


@dataclass(eq=False, repr=False)
class GivenState(State):
    """An image on its way: the nuclei that were given."""

    given: Given = field(init=False)
    notes: list[str] = field(default_factory=list)


def work(
    source: Path, arguments: list[str], out: Path, *, run: RunOptions, options: MeasureOptions, models: list[str],
    argv: list[str],
) -> RunOutcome:  # fmt: skip
    """Measure given nuclei, see `cellscope.engine.measure.measure`."""
    return measure(ASSAY, measuring, source, arguments, out, run=run, options=options, argv=argv)


def measuring(partners: Partners, source: Path) -> Assay:
    """Make the assay that measures the nuclei of these files; its types are those that the files name."""
    files = sorted({path for path, _ in partners.values() if is_outlines(path)})
    classes = types_of(outline for path in files for outline in _readable(path))
    card = ModelCard.weightless("histo", PART, GIVEN, classes, pixel_size_um=PIXEL_SIZE_UM)
    return replace(
        ASSAY,
        stages=(),
        state=GivenState,
        inputs=replace(ASSAY.inputs, load=partial(load, partners, source)),
        build=no_network,
        conclude=conclude,
        large=None,
        layers={},
        weightless={GIVEN: card},
    )


def types_of(outlines: Iterable[Outline]) -> tuple[str, ...]:
    """Give the types of outlined nuclei: those with a probability in the order of their model, then by name."""
    named: set[str] = set()
    ordered: dict[str, None] = {}
    nameless = False
    for outline in outlines:
        ordered |= dict.fromkeys(name for name in outline.measured if name.startswith(PROBABILITY))
        if outline.class_:
            named.add(outline.class_)
        nameless |= not outline.class_
    known = [name.removeprefix(PROBABILITY) for name in ordered]
    if not known and all(name.lower() in NO_TYPE for name in named):
        return UNTYPED
    rest = [UNKNOWN] if nameless and UNKNOWN not in named else []
    return (*known, *sorted(named - set(known)), *rest)


def _readable(path: Path) -> list[Outline]:
    try:
        return outlines_of(path)
    except InputError:
        return []  # said when its turn comes


def load(partners: Partners, source: Path, subject: Subject[GivenState], max_pixels: int) -> None:
    """Read the nuclei of an image and its regions.

    Raises
    ------
    InputError
        They cannot be read or do not fit, or the image is a slide.
    """
    if isinstance(subject.image, Slide):
        raise InputError(f"{subject.name}: slides cannot be measured as a whole; export the regions as images")
    load_regions(subject, max_pixels)
    subject.state.given, subject.state.notes = load_given(partners, source, subject, binary=subject.options.binary)


def conclude(subject: Subject[GivenState]) -> Result:
    """Measure the given nuclei; `score` and ``p_<class>`` are what their file holds, or empty."""
    doubt_pixel_size(subject)
    given, classes = subject.state.given, subject.cards[PART].classes
    columns = [given.values(f"{PROBABILITY}{name}")[1:] for name in classes]
    places = {name: place for place, name in enumerate(classes)}
    fallback = places.get(UNKNOWN, 0)
    named = np.full(len(columns[0]), fallback)
    for label, name in given.classes.items():
        named[label - 1] = places.get(name, fallback)
    nuclei = Nuclei(given.labels, np.stack(columns, 1), given.values("score")[1:], named)
    result = result_of(subject, nuclei)
    result.warnings[:0] = subject.state.notes
    return result
