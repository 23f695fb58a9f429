"""How probable it is that the whole draft of a cell is right: every chromosome counted once and given its class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from cellscope.assays.karyotype.cell.assignment import UNASSIGNED
from cellscope.assays.karyotype.classes import CLASSES

#: What `measure` gives, in its order.
MEASURED = ("doubt", "spare", "departures")
#: Their weights and the offset in the thresholds of a detector's model card.
THRESHOLDS = tuple(f"bright_field_draft_{name}" for name in (*MEASURED, "offset"))


def measure(margins: np.ndarray, gains: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Measure what speaks against a draft.

    Parameters
    ----------
    margins : (N,) float
        Of the chromosomes taken, in nats: by how much the cell's posterior falls when one is given up or renamed.
    gains : (M,) float
        Of the candidates left out, in nats: by how much it would rise if one were taken as a surplus chromosome.
    classes : sequence of str
        Of the chromosomes taken.

    Returns
    -------
    (3,) float
        By `MEASURED`: minus the log probability that no chromosome taken is wrong, were they independent; the same of
        those left out; the copies by which the cell departs from a normal one.
    """
    counts = Counter(classes)
    sexes = (abs(counts["X"] - 2) + counts["Y"], abs(counts["X"] - 1) + abs(counts["Y"] - 1))
    departures = sum(abs(counts[name] - 2) for name in CLASSES[:22]) + min(sexes) + counts[UNASSIGNED]
    against = [float(np.logaddexp(0, -margins).sum()), float(np.logaddexp(0, gains).sum())]
    return np.array([*against, float(departures)])


@dataclass(frozen=True)
class Trust:
    """A logistic regression of "the draft is right" on `measure`, fitted on validation cells.

    Attributes
    ----------
    weights : tuple of 4 float, or None
        In the order of `THRESHOLDS`; None for a model whose card holds none.
    """

    weights: tuple[float, ...] | None = None

    @classmethod
    def of(cls, thresholds: Mapping[str, float]) -> Trust:
        """Read `THRESHOLDS` of a detector's model card."""
        if not all(name in thresholds for name in THRESHOLDS):
            return cls()
        return cls(tuple(thresholds[name] for name in THRESHOLDS))

    def probability(self, margins: np.ndarray, gains: np.ndarray, classes: Sequence[str]) -> float | None:
        """Give the probability that the draft is right, None where it is not known; parameters as for `measure`."""
        if self.weights is None or not len(classes):
            return None
        return float(expit(measure(margins, gains, classes) @ np.array(self.weights[:-1]) + self.weights[-1]))
