"""From candidates to a cell's chromosomes: what is taken, what it is called, how sure each call is."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cellscope.assays.karyotype.cell.assignment import UNASSIGNED, assign_cell, most_probable
from cellscope.assays.karyotype.cell.selection import Costs, select
from cellscope.assays.karyotype.cell.sizes import size_evidence
from cellscope.assays.karyotype.classes import CLASSES

#: What fits no place and is less certain than this (log odds) is left out: a piece or debris rather than a marker
#: chromosome.
CERTAIN = 0.0
#: Cost in nats of leaving out what is as likely one whole chromosome as not; its log odds add to it.
LEAVING_OUT = 3.0
#: The same where the odds are those of a candidate beside the others, learnt with `detect.pairs`; departures cost as
#: much more, so that a surplus chromosome needs log odds of the aneuploidy cost, and an empty place is filled down to
#: minus that less twice this. Chosen on cells held back, and on the same with a chromosome taken out or added.
LEAVING_OUT_BESIDE = 1.0
#: By how many nats a chromosome of no class costs more than a surplus one of some class.
MARKER = 2.0


@dataclass(frozen=True, eq=False)
class Plausible:
    """How likely the candidates of a cell are whole chromosomes, each alone and two together.

    Attributes
    ----------
    certain : (N,) float
        Log odds that each is one whole chromosome, if none that conflicts with it is.
    pairs : (M, 2) int
    together : (M,) float
        Log odds, 0 or less, that are added to those of either of a pair when the other one is taken.
    """

    certain: np.ndarray
    pairs: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), int))
    together: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def beside(self, taken: np.ndarray) -> np.ndarray:
        """Give the log odds of each when those of `taken`, (N,) bool, are chromosomes: (N,) float."""
        odds = self.certain.astype(float).copy()
        for side, other in ((0, 1), (1, 0)):
            np.add.at(odds, self.pairs[:, side], self.together * taken[self.pairs[:, other]])
        return odds


@dataclass(frozen=True, eq=False)
class Choice:
    """What is made of the candidates of a cell.

    Attributes
    ----------
    classes : list of str or None
        One of the 24, ``unassigned``, or None where the candidate is left out.
    margins : (N,) float
        See `Assignment`.
    odds : (N,) float or None
        Log odds that each is one whole chromosome beside those taken; None where nothing is known of it.
    gains : (M,) float
        Of those left out: by how much the log posterior would rise if one were taken as a surplus chromosome.
    """

    classes: list[str | None]
    margins: np.ndarray
    odds: np.ndarray | None = None
    gains: np.ndarray = field(default_factory=lambda: np.zeros(0))


def cell_evidence(log_probabilities: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Join the classifier's evidence with that of the sizes: (N, 24) log probabilities, for `assign_cell`."""
    evidence = log_probabilities + size_evidence(log_probabilities, areas)
    return evidence - np.logaddexp.reduce(evidence, axis=1, keepdims=True)


def choose(
    log_probabilities: np.ndarray,
    areas: np.ndarray,
    *,
    assign: bool,
    aneuploidy_cost: float,
    plausible: Plausible | None,
) -> Choice:
    """Choose a cell's chromosomes among the candidates and name them.

    Parameters
    ----------
    log_probabilities : (N, 24) float
        The classifier's.
    areas : (N,) float
        Pixels.
    assign : bool
        False takes all and gives each its most probable class.
    aneuploidy_cost : float
        See `assign_cell`.
    plausible : Plausible or None
        None takes all.

    Returns
    -------
    Choice
    """
    count = len(areas)
    if not assign or not count:
        alone = most_probable(log_probabilities)
        return Choice(list(alone.classes), alone.margins, None if plausible is None else plausible.certain)
    evidence = cell_evidence(log_probabilities, areas)
    if plausible is None:
        all_of_them = assign_cell(evidence, aneuploidy_cost=aneuploidy_cost)
        return Choice(list(all_of_them.classes), all_of_them.margins)
    if not (plausible.together < 0).any():
        odds = plausible.certain
        found = assign_cell(evidence, aneuploidy_cost=aneuploidy_cost, unassigned_cost=LEAVING_OUT + odds)
        kept = [name if name != UNASSIGNED or odds[i] >= CERTAIN else None for i, name in enumerate(found.classes)]
        return Choice(kept, found.margins, odds)
    departing = aneuploidy_cost + LEAVING_OUT_BESIDE
    costs = Costs(departing, LEAVING_OUT_BESIDE, departing + MARKER)
    taken, placed = select(evidence, plausible.certain, plausible.pairs, plausible.together, costs)
    odds = plausible.beside(taken)
    classes: list[str | None] = [CLASSES[place] if place >= 0 else None for place in placed]
    named = np.flatnonzero(placed >= 0)
    for index in np.flatnonzero(taken & (placed < 0)):
        classes[index] = UNASSIGNED
    margins = np.zeros(count)
    # With the set fixed, what a chromosome could be called instead is an assignment, solved again for each.
    again = assign_cell(evidence[named], aneuploidy_cost=departing, unassigned_cost=LEAVING_OUT_BESIDE + odds[named])
    margins[named] = again.margins
    left = ~taken
    gains = odds[left] + LEAVING_OUT_BESIDE + evidence[left].max(1, initial=-np.inf) - departing
    return Choice(classes, margins, odds, gains)
