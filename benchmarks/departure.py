"""How much speaks for a chromosome too many, or one too few, in a cell: the evidence behind a count other than 46."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellscope.assays.karyotype.cell.assignment import UNASSIGNED, assign_cell
from cellscope.assays.karyotype.classes import CLASSES

#: A cost of departures that no evidence reaches: the cell is then arranged as a normal one.
FORBIDDING = 200.0
#: Nats that an empty place of a normal cell counts: about what the surest chromosome counts for a gain.
EMPTY = 6.0


@dataclass(frozen=True)
class Departure:
    """Evidence in nats; about 0 where it is as likely as not, negative where a normal cell explains all.

    Attributes
    ----------
    gain : float
        Of the surest chromosome that a normal cell has no place for.
    loss : float
        Of the emptiest place of a normal cell: `EMPTY` for each place that nothing fills, else how weak the weakest
        is that fills one.
    """

    gain: float
    loss: float

    @property
    def either(self) -> float:
        """The stronger of the two: the score by which cells are flagged."""
        return max(self.gain, self.loss)


def departure(evidence: np.ndarray, leaving_out: np.ndarray) -> Departure:
    """Weigh a cell against a normal one.

    Parameters
    ----------
    evidence : (N, 24) float
        Log probabilities, as `assign_cell` takes them.
    leaving_out : (N,) float
        Cost in nats of taking each for no chromosome.
    """
    if not len(evidence):
        return Departure(-np.inf, 46 * EMPTY)
    normal = assign_cell(evidence, aneuploidy_cost=FORBIDDING, unassigned_cost=leaving_out)
    placed = np.array([name != UNASSIGNED for name in normal.classes])
    spare = leaving_out + evidence.max(1)
    gain = float(spare[~placed].max()) if not placed.all() else -float(np.abs(leaving_out).max())
    index = [CLASSES.index(name) for name, is_placed in zip(normal.classes, placed, strict=True) if is_placed]
    weakest = float((leaving_out[placed] + evidence[placed, index]).min()) if index else 0.0
    empty = max(46 - int(placed.sum()), 0)
    return Departure(gain, EMPTY * empty if empty else -weakest)
