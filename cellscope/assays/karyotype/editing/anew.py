"""Assign a corrected cell anew: what a person fixed is held fast, and the rest follows, its probability too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from cellscope.assays.karyotype.cell.assignment import NEVER, UNASSIGNED, assign_cell
from cellscope.assays.karyotype.cell.calibration import Calibration, margins_of
from cellscope.assays.karyotype.cell.choice import LEAVING_OUT, LEAVING_OUT_BESIDE, MARKER, cell_evidence
from cellscope.assays.karyotype.cell.chromosomes import Cell, Chromosome, judge
from cellscope.assays.karyotype.cell.document import SEEN, keep_fixed
from cellscope.assays.karyotype.cell.sizes import odd_sizes
from cellscope.assays.karyotype.cell.trust import Trust
from cellscope.assays.karyotype.classes import CLASSES
from cellscope.assays.karyotype.detect.pairs import joined
from cellscope.models.card import ModelCard

LEAST = 1e-9
"""Probabilities of a ``karyotype.json`` have six decimals; less than this is not told from nothing."""
CERTAIN = 20.0
"""Log odds that what a person outlined or fixed is one whole chromosome."""
KNOWN = 1e-4
"""Probabilities of a draft have four decimals."""


@dataclass(frozen=True)
class Rules:
    """How a run assigned its cells.

    Attributes
    ----------
    aneuploidy_cost, review_below : float
        Options of ``predict``.
    learnt : bool
        Whether the detector's model knows how to choose among candidates of this stain.
    calibration : Calibration
    trust : Trust
    """

    aneuploidy_cost: float
    review_below: float
    learnt: bool
    calibration: Calibration
    trust: Trust

    @classmethod
    def of(cls, cards: Mapping[str, ModelCard], *, aneuploidy_cost: float, review_below: float, bright: bool) -> Rules:
        """Read the model cards, by part; that of the detector may be missing."""
        detect = dict(cards["detect"].thresholds) if "detect" in cards else {}
        learnt = joined(detect, bright=bright)
        thresholds = cards["classify"].thresholds | (margins_of(detect) if learnt else {})
        trust = Trust.of(detect) if learnt else Trust()
        return cls(aneuploidy_cost, review_below, learnt, Calibration.of(thresholds), trust)


def assign_anew(cell: Cell, before: Cell, outlined: Collection[int], rules: Rules) -> None:
    """Assign the chromosomes that nobody fixed again, beside those that a person did; `cell` is changed.

    Which objects are chromosomes is the person's: none is left out and none comes back. The draft's probability
    follows as the regression of `Trust` says, from what it was: by the margins, and by the departures that no person
    fixed. What a person fixed is right, so that it nears 1 as fewer are open, and is 1 once none is.

    Parameters
    ----------
    cell : Cell
        With the person's changes; every chromosome with probabilities.
    before : Cell
        As ``predict`` left it.
    outlined : collection of int
        Labels of shapes that a person made.
    rules : Rules
    """
    if not cell.chromosomes:
        return
    fixed = [is_fixed(one) for one in cell.chromosomes]
    classes, margins = _assigned(cell, fixed, outlined, rules)
    _, were = _assigned(before, [False] * len(before.chromosomes), (), rules)
    known = {
        one.label: (one.class_, one.confidence, margin) for one, margin in zip(before.chromosomes, were, strict=True)
    }
    for one, sure, class_, margin in zip(cell.chromosomes, fixed, classes, margins, strict=True):
        if sure:
            continue
        one.class_, one.confidence = class_, rules.calibration.confidence(float(margin))
        name, confidence, least = known.get(one.label, ("", 0.0, 0.0))
        if name == class_ and margin >= least - 1e-6:  # no less sure than before, whatever was rounded in the file
            one.confidence = max(one.confidence, confidence)
    areas = np.array([one.detection.area for one in cell.chromosomes], float)
    for one, odd in zip(cell.chromosomes, odd_sizes(cell.classes, areas), strict=True):
        one.odd_size = float(odd)
    judge(cell.chromosomes, cell.shape, rules.review_below)
    for one in cell.chromosomes:
        if is_fixed(one) and one.class_ != UNASSIGNED:
            keep_fixed(one)
    if rules.trust.weights is not None and before.probability is not None:
        doubts = _doubt(cell, margins), _doubt(before, were)
        cell.probability = _probability(cell, before, doubts, rules.trust.weights)


def is_fixed(chromosome: Chromosome) -> bool:
    """Tell whether a person said what a chromosome is; turning it says nothing."""
    return bool(set(chromosome.edited) - SEEN)


def _assigned(cell: Cell, fixed: list[bool], outlined: Collection[int], rules: Rules) -> tuple[list[str], np.ndarray]:
    """Give each chromosome its class and margin; of fixed ones those are their own, and certain."""
    if not cell.chromosomes:
        return [], np.zeros(0)
    areas = np.array([one.detection.area for one in cell.chromosomes], float)
    evidence = cell_evidence(np.log(np.maximum([one.probabilities for one in cell.chromosomes], LEAST)), areas)
    sure = [one.label in outlined or known for one, known in zip(cell.chromosomes, fixed, strict=True)]
    scores = np.clip([one.detection.score for one in cell.chromosomes], KNOWN, 1 - KNOWN)
    odds = np.where(sure, CERTAIN, logit(scores))
    named = np.array(
        [not known or one.class_ != UNASSIGNED for one, known in zip(cell.chromosomes, fixed, strict=True)]
    )
    for row, (one, known) in enumerate(zip(cell.chromosomes, fixed, strict=True)):
        if known and one.class_ != UNASSIGNED:
            evidence[row] = -NEVER
            evidence[row, CLASSES.index(one.class_)] = 0.0
    cost = rules.aneuploidy_cost + (LEAVING_OUT_BESIDE if rules.learnt else 0.0)
    nowhere = cost + MARKER + LEAVING_OUT_BESIDE if rules.learnt else cost + LEAVING_OUT
    found = assign_cell(evidence[named], aneuploidy_cost=cost, unassigned_cost=nowhere)
    margins = np.full(len(areas), CERTAIN)
    margins[named] = found.margins
    if rules.learnt:  # as `choose` does: a chromosome may be called otherwise, or be none
        margins[named] = _margins(evidence[named], found.classes, cost, LEAVING_OUT_BESIDE + odds[named])
    margins[fixed] = CERTAIN
    classes = [one.class_ for one in cell.chromosomes]
    for place, class_ in zip(np.flatnonzero(named), found.classes, strict=True):
        classes[place] = class_
    return classes, margins


def _margins(evidence: np.ndarray, classes: list[str], cost: float, leaving: np.ndarray) -> np.ndarray:
    """Give by how much the cell's cost rises when each has not the class given; below 0 where it would fall."""
    free = assign_cell(evidence, aneuploidy_cost=cost, unassigned_cost=leaving)
    margins = free.margins.copy()
    for row, (class_, best) in enumerate(zip(classes, free.classes, strict=True)):
        if class_ != best and class_ != UNASSIGNED:
            held, staying = evidence.copy(), leaving.copy()
            held[row], staying[row] = -NEVER, NEVER
            held[row, CLASSES.index(class_)] = evidence[row, CLASSES.index(class_)]
            margins[row] = free.cost - assign_cell(held, aneuploidy_cost=cost, unassigned_cost=staying).cost
    return margins


def _probability(cell: Cell, before: Cell, doubts: tuple[float, float], weights: tuple[float, ...]) -> float:
    """Move the draft's probability by the change of doubt and of departures, and lift it by what a person fixed.

    -log(probability) is a sum: of what margins say, which `doubts` already give without the fixed ones, and of what no
    margin shows. Every chromosome bears the same share of that, and of fixed ones it is gone.
    """
    assert before.probability is not None
    by_doubt, _, by_departure, _ = weights
    fixed = [one.class_ for one in cell.chromosomes if is_fixed(one)]
    departures = _departures(cell.classes, fixed) - _departures(before.classes, [])
    doubt, was_doubt = doubts
    was = float(logit(np.clip(before.probability, KNOWN, 1 - KNOWN)))
    unseen = was - by_doubt * was_doubt + by_departure * departures  # were no margin small
    wrong, wrong_unseen = (float(np.logaddexp(0, -odds)) for odds in (unseen + by_doubt * doubt, unseen))
    return float(np.exp(wrong_unseen * len(fixed) / len(cell.chromosomes) - wrong))


def _doubt(cell: Cell, margins: np.ndarray) -> float:
    """Give minus the log probability that no chromosome with a class is wrong, as `trust.measure` does."""
    named = [class_ != UNASSIGNED for class_ in cell.classes]
    return float(np.logaddexp(0, -margins[named]).sum())


def _departures(classes: list[str], fixed: list[str]) -> int:
    """Count the copies by which a cell departs from a normal one, without surplus copies that a person all fixed.

    >>> _departures(["21"] * 3, ["21"] * 3) - _departures(["21"] * 3, [])
    -1
    """
    counts, sure = Counter(classes), Counter(fixed)

    def off(name: str, expected: int) -> int:
        return abs(counts[name] - expected) - min(max(sure[name] - expected, 0), max(counts[name] - expected, 0))

    sexes = (off("X", 2) + off("Y", 0), off("X", 1) + off("Y", 1))
    return sum(off(name, 2) for name in CLASSES[:22]) + min(sexes) + counts[UNASSIGNED] - sure[UNASSIGNED]
