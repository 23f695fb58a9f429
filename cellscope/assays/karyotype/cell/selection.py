"""Which of the candidates make up a cell: the most probable set, found exactly by a small integer programme."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from cellscope.assays.karyotype.classes import CLASSES

#: Natural log of how much less likely than its likeliest class a class may be to come into question.
LEAST = 10.0
#: What speaks less than this against two together, in nats, changes nothing.
LITTLE = 0.05
#: What speaks more than this against two together rules them out: rows that make the programme tighter.
MUCH = 6.0
#: Share of the log posterior by which the set found may fall short of the best: some hundredths of a nat.
GAP = 1e-4
#: Nodes of the search after which the best cell found so far is taken; a limit in seconds would make results depend on
#: the load of the machine.
NODE_LIMIT = 5000
X, Y = CLASSES.index("X"), CLASSES.index("Y")


@dataclass(frozen=True)
class Costs:
    """What departures cost, in nats.

    Attributes
    ----------
    aneuploidy : float
        Each copy by which a class departs from two, or from XX or XY, whichever is nearer.
    leaving_out : float
        Leaving out what is as likely one whole chromosome as not; its log odds add to it.
    marker : float
        A chromosome of no class.
    """

    aneuploidy: float
    leaving_out: float
    marker: float


def select(
    evidence: np.ndarray, certain: np.ndarray, pairs: np.ndarray, together: np.ndarray, costs: Costs
) -> tuple[np.ndarray, np.ndarray]:
    """Choose the candidates that together explain the cell best.

    Maximised is the log posterior: of each candidate taken, its log odds of being one whole chromosome and the evidence
    for the class it is given; of each two taken, what speaks against both; less the costs of departures from a normal
    cell. Solved by branch and bound (`scipy.optimize.milp`).

    Parameters
    ----------
    evidence : (N, 24) float
        Log probabilities of the classes.
    certain : (N,) float
        Log odds that each is one whole chromosome, if none that conflicts with it is taken.
    pairs : (M, 2) int
    together : (M,) float
        What is added to the log posterior when both of a pair are taken, 0 or less: one found twice or in pieces.
    costs : Costs

    Returns
    -------
    taken : (N,) bool
    placed : (N,) int
        Index of the class; -1 where there is none.
    """
    placed = np.full(len(evidence), -1)
    taken = np.zeros(len(evidence), bool)
    # What does not pay even where a copy is missing and nothing conflicts is in no best cell.
    worth = certain + np.maximum(evidence.max(1, initial=-np.inf) + costs.leaving_out + costs.aneuploidy, -costs.marker)
    live = np.flatnonzero(worth > 0)
    if not len(live):
        return taken, placed
    number = np.full(len(evidence), -1)
    number[live] = np.arange(len(live))
    apart = (together < -LITTLE) & (number[pairs] >= 0).all(1)
    within = _solve(evidence[live], certain[live], number[pairs[apart]], together[apart], costs)
    taken[live], placed[live] = within
    return taken, placed


def _solve(
    evidence: np.ndarray, certain: np.ndarray, pairs: np.ndarray, together: np.ndarray, costs: Costs
) -> tuple[np.ndarray, np.ndarray]:
    """Solve `select` for candidates that all come into question."""
    count = len(evidence)
    placed = np.full(count, -1)
    rows, classes = np.nonzero(evidence >= evidence.max(1, keepdims=True) - LEAST)
    hard = together < -MUCH
    soft, together = pairs[~hard], together[~hard]
    named, joint, kinds = len(rows), len(soft), len(CLASSES)
    # Variables: candidate in class, candidate as a marker, both of a pair, surplus and missing copies, male.
    marker, both = named, named + count
    over, under, male = both + joint, both + joint + kinds, both + joint + 2 * kinds
    cost = np.concatenate(
        [
            -(evidence[rows, classes] + certain[rows] + costs.leaving_out),
            costs.marker - certain,
            -together,
            np.full(2 * kinds, costs.aneuploidy),
            [0.0],
        ]
    )
    owner = np.concatenate([rows, np.arange(count)])
    entries: list[tuple[np.ndarray, np.ndarray, float]] = []
    groups = [*np.arange(count)[:, None], *_cliques(pairs[hard], count), *soft]
    for number, members in enumerate(groups):
        variables = np.flatnonzero(np.isin(owner, members))
        entries.append((np.full(len(variables), number), variables, 1.0))
    first = len(groups)
    entries.append((first - joint + np.arange(joint), both + np.arange(joint), -1.0))
    kind = np.arange(kinds)
    entries += [(first + classes, np.arange(named), 1.0)]
    entries += [(first + kind, over + kind, -1.0), (first + kind, under + kind, 1.0)]
    entries += [(np.array([first + X]), np.array([male]), 1.0), (np.array([first + Y]), np.array([male]), -1.0)]
    expected = np.full(kinds, 2.0)
    expected[Y] = 0.0
    matrix = coo_array(
        (
            np.concatenate([np.full(len(at), value) for at, _, value in entries]),
            (np.concatenate([at for at, _, _ in entries]), np.concatenate([one for _, one, _ in entries])),
        ),
        shape=(first + kinds, male + 1),
    ).tocsc()
    low = np.concatenate([np.full(first, -np.inf), expected])
    high = np.concatenate([np.ones(first), expected])
    whole = np.ones(male + 1)
    whole[both:male] = 0  # they follow from the others
    upper = np.ones(male + 1)
    upper[over:male] = np.inf
    found = milp(
        cost,
        integrality=whole,
        bounds=Bounds(0.0, upper),
        constraints=LinearConstraint(matrix, low, high),
        options={"node_limit": NODE_LIMIT, "mip_rel_gap": GAP},
    )
    if found.x is None:
        raise RuntimeError(f"the choice of a cell's chromosomes has no solution: {found.message}")
    is_named = found.x[:named] > 0.5
    placed[rows[is_named]] = classes[is_named]
    taken = (placed >= 0) | (found.x[marker : marker + count] > 0.5)
    return taken, placed


def _cliques(pairs: np.ndarray, count: int) -> list[np.ndarray]:
    """Cover pairs of which one at most may be taken by groups of which one at most may be."""
    beside = np.eye(count, dtype=bool)
    beside[pairs[:, 0], pairs[:, 1]] = beside[pairs[:, 1], pairs[:, 0]] = True
    open_ = np.triu(beside, 1)
    groups = []
    for a, b in pairs.tolist():
        if not open_[min(a, b), max(a, b)]:
            continue
        group = [a, b]
        for other in np.flatnonzero(beside[a] & beside[b]).tolist():
            if other not in group and beside[other, group].all():
                group.append(other)
        open_[np.ix_(group, group)] = False
        groups.append(np.array(group))
    return groups
