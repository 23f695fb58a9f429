"""Classes for a whole cell at once: two of each autosome and XX or XY expected, departures at a stated cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from cellscope.assays.karyotype.classes import CLASSES

UNASSIGNED = "unassigned"
MAX_COPIES = 6
SEXES = ({"X": 2, "Y": 0}, {"X": 1, "Y": 1})


@dataclass(frozen=True)
class Assignment:
    """What each chromosome of a cell was called.

    Attributes
    ----------
    classes : list of str
        One of the 24, or ``unassigned``.
    cost : float
        Negative log evidence plus the costs of departures.
    """

    classes: list[str]
    cost: float


def assign_cell(
    log_probabilities: np.ndarray, *, aneuploidy_cost: float, unassigned_cost: float | None = None
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
    unassigned_cost : float, optional
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
    best: Assignment | None = None
    for sex in SEXES:
        columns, extra = [], []
        for index, name in enumerate(CLASSES):
            expected = sex.get(name, 2)
            for copy in range(MAX_COPIES):
                columns.append(index)
                # A missing expected copy costs as much as a surplus one: filling it earns the cost back.
                extra.append(-aneuploidy_cost if copy < expected else aneuploidy_cost)
        cost = -log_probabilities[:, columns] + np.array(extra)
        # One private place each for chromosomes that fit nowhere.
        nowhere = np.full((count, count), np.inf)
        np.fill_diagonal(nowhere, unassigned_cost)
        full = np.hstack([cost, nowhere])
        rows, chosen = linear_sum_assignment(full)
        total = float(full[rows, chosen].sum())
        if best is None or total < best.cost:
            names = [CLASSES[columns[place]] if place < len(columns) else UNASSIGNED for place in chosen]
            best = Assignment(names, total)
    assert best is not None
    return best


def most_probable(log_probabilities: np.ndarray) -> Assignment:
    """Give each chromosome its most probable class, without looking at the others."""
    if len(log_probabilities) == 0:
        return Assignment([], 0.0)
    chosen = log_probabilities.argmax(1)
    return Assignment([CLASSES[index] for index in chosen], float(-log_probabilities.max(1).sum()))
