"""How large each chromosome is beside the others of its cell: evidence that the classifier's fitted views leave out."""

from __future__ import annotations

import numpy as np

from cellscope.assays.karyotype.classes import CLASSES

#: Natural log of a class's mask area against the cell's mean class, and its spread. Measured by
#: ``benchmarks/karyotype_sizes.py`` on the training split of `docs/models.md`: Q-band, G-band and DAPI agree within
#: the spread, because the areas follow the chromosomes' lengths in base pairs.
LOG_AREA = np.array(
    [
        0.774, 0.738, 0.569, 0.500, 0.459, 0.407, 0.322, 0.220, 0.146, 0.153, 0.147, 0.146,
        -0.055, -0.117, -0.136, -0.275, -0.326, -0.347, -0.635, -0.559, -0.913, -0.809, 0.267, -0.674,
    ]
)  # fmt: skip
SPREAD = np.array(
    [
        0.060, 0.063, 0.063, 0.065, 0.062, 0.063, 0.064, 0.060, 0.066, 0.060, 0.067, 0.062,
        0.074, 0.067, 0.073, 0.080, 0.088, 0.064, 0.119, 0.078, 0.145, 0.134, 0.067, 0.144,
    ]
)  # fmt: skip
#: Masks found are less exact than those drawn: the spread is taken this much wider.
WIDER = 1.5
#: Share of masks that are anything (two chromosomes as one, a piece), and over how wide a range of log area.
ODD, ODD_RANGE = 0.02, 3.0
#: Sizes and bands are not independent evidence; the weight is the best of 0.5 and 1 on the validation split.
WEIGHT = 0.5
#: With fewer chromosomes the cell's own scale is not known well enough.
FEWEST = 10
ROUNDS = 3


def size_evidence(log_probabilities: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Weigh the classes by how well a chromosome's area fits, beside the others of its cell.

    The cell's scale is the median of what each chromosome says of it under its present probabilities, and both are
    refined in turn.

    Parameters
    ----------
    log_probabilities : (N, 24) float
        The classifier's.
    areas : (N,) float
        Pixels, all of one cell at one magnification.

    Returns
    -------
    (N, 24) float
        Log likelihood of the area under each class, weighted by `WEIGHT`; zeros with fewer than `FEWEST` chromosomes.
    """
    if len(areas) < FEWEST:
        return np.zeros_like(log_probabilities)
    log_area = np.log(np.maximum(areas, 1.0))
    belief, evidence = log_probabilities, np.zeros_like(log_probabilities)
    for _ in range(ROUNDS):
        scale = cell_scale(belief, log_area)
        z = (log_area[:, None] - scale - LOG_AREA) / (WIDER * SPREAD)
        fits = (1 - ODD) * np.exp(-0.5 * z**2) / (WIDER * SPREAD * np.sqrt(2 * np.pi))
        evidence = np.log(fits + ODD / ODD_RANGE)
        belief = log_probabilities + evidence
    return WEIGHT * evidence


def cell_scale(belief: np.ndarray, log_area: np.ndarray) -> float:
    """Log area of a cell's mean class: the median over its chromosomes.

    Parameters
    ----------
    belief : (N, 24) float
        Log probabilities, not necessarily normalised.
    log_area : (N,) float
    """
    weights = np.exp(belief - belief.max(1, keepdims=True))
    weights /= weights.sum(1, keepdims=True)
    return float(np.median(log_area - weights @ LOG_AREA))


def odd_sizes(classes: list[str], areas: np.ndarray) -> np.ndarray:
    """Measure how far each chromosome's area is from what its class leads to expect in this cell.

    Parameters
    ----------
    classes : list of N str
        Names that are not among the 24 are left out.
    areas : (N,) float

    Returns
    -------
    (N,) float
        In standard deviations, positive for too large; 0 where it cannot be told.
    """
    odd = np.zeros(len(classes))
    known = np.array([i for i, name in enumerate(classes) if name in CLASSES], int)
    if len(known) < FEWEST:
        return odd
    index = np.array([CLASSES.index(classes[i]) for i in known])
    gap = np.log(np.maximum(np.asarray(areas, float)[known], 1.0)) - LOG_AREA[index]
    odd[known] = (gap - np.median(gap)) / (WIDER * SPREAD[index])
    return odd
