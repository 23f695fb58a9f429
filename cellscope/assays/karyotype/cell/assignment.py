"""Classes for a whole cell at once: two of each autosome and XX or XY expected, departures at a stated cost."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from cellscope.assays.karyotype.classes import CLASSES

UNASSIGNED = "unassigned"
MAX_COPIES = 6
SEXES = ({"X": 2, "Y": 0}, {"X": 1, "Y": 1})
#: Stands for "cannot be"; infinite costs would make `linear_sum_assignment` refuse a cell.
NEVER = 1e6


@dataclass(frozen=True)
class Assignment:
    """What each chromosome of a cell was called.

    Attributes
    ----------
    classes : list of str
        One of the 24, or ``unassigned``.
    cost : float
        Negative log evidence plus the costs of departures.
    margins : (N,) float
        By how much the cell's cost rises when a chromosome may not have the class it was given, everything else being
        arranged anew: the log odds of that class against all others, as far as this cell can tell.
    """

    classes: list[str]
    cost: float
    margins: np.ndarray = field(default_factory=lambda: np.zeros(0))


def assign_cell(
    log_probabilities: np.ndarray, *, aneuploidy_cost: float, unassigned_cost: float | np.ndarray | None = None
) -> Assignment:
    """Find the classes of a cell's chromosomes that explain it best.

    Minimises the sum of ``-log p`` plus `aneuploidy_cost` for every copy by which a class departs from what is
    expected (two of each autosome, XX or XY, whichever costs less). The cost of copies is convex, so this is a linear
    assignment of chromosomes to copies: the expected copies are cheap, the others dear. A third copy stays a third
    copy when its evidence against every other class is stronger than the cost.

    Parameters
    ----------
    log_probabilities : (N, 24) float
        Natural logarithms, classes in the order of `CLASSES`.
    aneuploidy_cost : float
        In nats; 0 gives the most probable class of each chromosome.
    unassigned_cost : float or (N,) float, optional
        In nats: a chromosome whose every place costs more is left unassigned. By default the aneuploidy cost plus 3.

    Returns
    -------
    Assignment
    """
    count = len(log_probabilities)
    if count == 0:
        return Assignment([], 0.0)
    if unassigned_cost is None:
        unassigned_cost = aneuploidy_cost + 3.0
    tables = [_costs(log_probabilities, sex, aneuploidy_cost, unassigned_cost) for sex in SEXES]
    solved = [_solve(table) for table in tables]
    best = int(np.argmin([total for total, _ in solved]))
    total, chosen = solved[best]
    margins = np.empty(count)
    for row, place in enumerate(chosen):
        margins[row] = min(_without(table, row, place) for table in tables) - total
    places = 24 * MAX_COPIES
    names = [CLASSES[place // MAX_COPIES] if place < places else UNASSIGNED for place in chosen]
    return Assignment(names, total, margins)


def _costs(
    log_probabilities: np.ndarray, sex: dict[str, int], aneuploidy_cost: float, unassigned_cost: float | np.ndarray
) -> np.ndarray:
    """Cost of every chromosome in every place: `MAX_COPIES` places a class, then one private place each for nowhere."""
    count = len(log_probabilities)
    expected = np.array([sex.get(name, 2) for name in CLASSES])
    # A missing expected copy costs as much as a surplus one: filling it earns the cost back.
    copies = np.where(np.arange(MAX_COPIES) < expected[:, None], -aneuploidy_cost, aneuploidy_cost)
    placed = np.repeat(-log_probabilities, MAX_COPIES, axis=1) + copies.ravel()
    nowhere = np.full((count, count), NEVER)
    np.fill_diagonal(nowhere, unassigned_cost)
    return np.hstack([np.minimum(placed, NEVER), nowhere])


def _solve(table: np.ndarray) -> tuple[float, np.ndarray]:
    rows, chosen = linear_sum_assignment(table)
    return float(table[rows, chosen].sum()), chosen


def _without(table: np.ndarray, row: int, place: int) -> float:
    """Cost of the best cell in which chromosome `row` is not of the class that `place` belongs to."""
    places = 24 * MAX_COPIES
    barred = slice(place, place + 1)
    if place < places:
        first = place - place % MAX_COPIES
        barred = slice(first, first + MAX_COPIES)
    kept = table[row, barred].copy()
    table[row, barred] = NEVER
    total, _ = _solve(table)
    table[row, barred] = kept
    return total


def most_probable(log_probabilities: np.ndarray) -> Assignment:
    """Give each chromosome its most probable class, whatever the others are."""
    if len(log_probabilities) == 0:
        return Assignment([], 0.0)
    chosen = log_probabilities.argmax(1)
    best = np.sort(log_probabilities, axis=1)
    margins = log_probabilities.max(1) - np.logaddexp.reduce(best[:, :-1], axis=1)
    return Assignment([CLASSES[index] for index in chosen], float(-log_probabilities.max(1).sum()), margins)
