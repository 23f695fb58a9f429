"""``cellscope karyotype render``: draw a corrected cell again, through the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from cellscope.assays.karyotype.assay import ASSAY, metaphase_result
from cellscope.assays.karyotype.cell.assignment import UNASSIGNED
from cellscope.assays.karyotype.cell.calibration import Calibration
from cellscope.assays.karyotype.cell.choice import cell_evidence
from cellscope.assays.karyotype.cell.chromosomes import Cell, Chromosome
from cellscope.assays.karyotype.cell.document import SEEN, read_karyotype
from cellscope.assays.karyotype.classes import CLASSES
from cellscope.assays.karyotype.classify.stage import CPU_BATCH, classify, cut_out, tempered
from cellscope.assays.karyotype.classify.views import view_of
from cellscope.assays.karyotype.detect.inputs import METAPHASE
from cellscope.assays.karyotype.detect.state import State
from cellscope.assays.karyotype.editing.anew import Rules, assign_anew, is_fixed
from cellscope.assays.karyotype.editing.edits import apply_edits
from cellscope.assays.karyotype.options import PredictOptions
from cellscope.engine.assay import Assay, Result, Stage, Subject
from cellscope.errors import InputError
from cellscope.imaging.tone import normalise_tone, to_grey

ASSIGNED_BY = ("no_assignment", "aneuploidy_cost", "review_below")
NEW_SHAPE = "a new shape, named by the classifier"


@dataclass(eq=False, repr=False)
class RenderState(State):
    """A changed cell on its way: the cell, and what people changed."""

    cell: Cell = field(init=False)
    history: list[dict[str, Any]] = field(init=False)
    new: set[int] = field(default_factory=set)


def render_assay(documents: Mapping[str, Mapping[str, Any]], *, anew: bool = False) -> Assay:
    """Make the assay that draws changed cells anew: only pieces of a new shape are classified.

    Parameters
    ----------
    documents : mapping
        Image name -> contents of its ``karyotype.json``.
    anew : bool
        Assign the rest of a changed cell anew, beside what the person fixed. For who sees at once what that changes.
    """
    scored = partial(score_and_assign, documents) if anew else score_new
    return replace(
        ASSAY,
        stages=(
            Stage("classify", (METAPHASE,), 64, partial(cut_new, documents), classify, scored, cpu_batch=CPU_BATCH),
        ),
        state=RenderState,
        parts=("classify",),
        inputs=replace(ASSAY.inputs, kinds=(METAPHASE,), kind_of=always_metaphase),
        conclude=conclude,
    )


def always_metaphase(_image: Any) -> str:
    """Whatever its size, the image of a ``karyotype.json`` is a metaphase."""
    return METAPHASE


def cut_new(documents: Mapping[str, Mapping[str, Any]], subject: Subject[RenderState]) -> list[np.ndarray]:
    """Rebuild the cell with all changes made, and give the views of chromosomes that have a new shape."""
    document = apply_edits(documents[subject.name])
    cell = read_karyotype(document, review_below=subject.options.review_below)
    size = subject.image.height, subject.image.width
    if cell.shape != size:
        raise InputError(
            f"{subject.name}: the image is {size[1]} x {size[0]} pixels, its karyotype.json is of one of "
            f"{cell.shape[1]} x {cell.shape[0]}"
        )
    grey = to_grey(subject.image.pixels)
    subject.state.grey, subject.state.cell, subject.state.history = grey, cell, document["history"]
    new = _new_shapes(cell)
    subject.state.new = {one.label for one in new}
    if not new:
        return []
    normalised, _ = normalise_tone(grey, bright_on_dark=cell.bright_on_dark)
    settings = subject.cards["classify"].normalisation
    return [view_of(*cut_out(normalised, chromosome.detection), settings)[None] for chromosome in new]


def score_new(subject: Subject[RenderState], outputs: list[Any]) -> None:
    """Give new shapes their probabilities, and those of which a person said no class the best of those."""
    cell: Cell = subject.state.cell
    new = _new_shapes(cell)
    if not new:
        return
    scores = tempered(subject, outputs)
    known = np.array([chromosome.probabilities for chromosome in cell.chromosomes if chromosome not in new])
    areas = np.array([one.detection.area for one in (*new, *(c for c in cell.chromosomes if c not in new))], float)
    every = np.vstack([scores, np.log(np.maximum(known.reshape(-1, len(CLASSES)), 1e-9))])
    evidence = cell_evidence(every, areas)[: len(new)]
    calibration = Calibration.of(subject.cards["classify"].thresholds)
    for chromosome, own, with_size, (_, polarity) in zip(new, scores, evidence, outputs, strict=True):
        chromosome.probabilities = np.exp(own)
        if chromosome.short_arm_up is None and polarity is not None:
            chromosome.short_arm_up = calibration.short_arm_up(float(polarity))
        if chromosome.class_ == UNASSIGNED and not is_fixed(chromosome):
            chromosome.class_ = CLASSES[int(with_size.argmax())]
            chromosome.confidence = float(np.exp(with_size.max()))
            chromosome.reasons = [NEW_SHAPE]
            chromosome.review = True


def score_and_assign(
    documents: Mapping[str, Mapping[str, Any]], subject: Subject[RenderState], outputs: list[Any]
) -> None:
    """Name new shapes, and assign the cell anew if anything that was done says what its chromosomes are."""
    score_new(subject, outputs)
    state, default = subject.state, PredictOptions()
    given = {name: getattr(subject.options, name, getattr(default, name)) for name in ASSIGNED_BY}  # `render` has none
    if given["no_assignment"] or all(edit.get("do") in SEEN for edit in state.history):
        return
    before = read_karyotype(
        {name: value for name, value in documents[subject.name].items() if name != "edits"},
        review_below=given["review_below"],
    )
    rules = Rules.of(
        subject.cards,
        aneuploidy_cost=given["aneuploidy_cost"],
        review_below=given["review_below"],
        bright=state.cell.bright_on_dark,
    )
    unscored = {one.label for one in _new_shapes(before)}  # by the report's editor, whose file took the run's place
    before.chromosomes = [one for one in before.chromosomes if one.label not in unscored]
    unnamed = {one.label for one in state.cell.chromosomes if NEW_SHAPE in one.reasons}
    assign_anew(state.cell, before, state.new, rules)
    for one in state.cell.chromosomes:
        if one.label in unnamed:
            one.reasons, one.review = [NEW_SHAPE, *one.reasons], True


def conclude(subject: Subject[RenderState]) -> Result:
    """Write everything that ``predict`` writes, from the changed cell."""
    state = subject.state
    normalised, _ = normalise_tone(state.grey, bright_on_dark=state.cell.bright_on_dark)
    result = metaphase_result(subject, state.cell, normalised, history=state.history)
    result.objects["corrected"] = [is_corrected(one) for one in subject.state.cell.chromosomes]
    return result


def is_corrected(chromosome: Chromosome) -> bool:
    """Tell whether a person changed or confirmed a chromosome."""
    return bool(chromosome.edited) or NEW_SHAPE in chromosome.reasons


def _new_shapes(cell: Cell) -> list[Chromosome]:
    return [chromosome for chromosome in cell.chromosomes if not np.isfinite(chromosome.probabilities).all()]
