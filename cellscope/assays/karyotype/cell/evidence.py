"""What one cell says of gained and lost chromosomes beside its draft: log likelihoods, for several cells of a case.

A draft counts a chromosome or it does not; a true gain is often left out of it, for one cell alone is not sure enough.
The evidence for it stays, and that of several cells adds up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from cellscope.assays.karyotype.cell.iscn import AUTOSOMES
from cellscope.assays.karyotype.classes import CLASSES

#: Log likelihood ratio that a copy is there = slope x (value - zero), by which copy it is: from logistic regressions on
#: unedited validation cells and the same with a chromosome of another cell added or one taken out, all gains together.
#: `benchmarks/karyotype_cases.py fit`, which takes each copy apart, comes on 75 validation cells with the built-in
#: networks to slopes of 0.46 to 0.58, 0.73 for the first Y; repeat it when one of the networks changes.
SLOPE, FIRST_Y_SLOPE = 0.52, 0.73
THIRD, SECOND = -1.78, 0.3
SECOND_X, THIRD_X, FIRST_Y, SECOND_Y = 0.35, -2.13, -0.27, -1.3
#: No cell says more than this, in nats: what is wrong in a cell is often wrong altogether.
MOST = 4.0
#: The same of a cell of which the draft alone is known, with a change shown and not: half of the true changes are in
#: drafts, and so are 0.02 of false ones.
SHOWN, NOT_SHOWN = float(np.log(0.5 / 0.02)), float(np.log(0.5 / 0.98))
#: The same of a cell that a person has corrected.
CERTAIN = float(np.log(0.98 / 0.02))
#: Sex chromosomes that are compared: normal ones first.
SEXES = ("XX", "XY", "X", "XXX", "XXY", "XYY")
CHANGES = tuple(f"{sign}{name}" for sign in "+-" for name in AUTOSOMES)


def best_copies(values: np.ndarray, classes: Sequence[str | None]) -> np.ndarray:
    """Rank what may be a copy of each class.

    Parameters
    ----------
    values : (N, 24) float
        Log odds of each candidate being a whole chromosome beside those taken, plus the evidence for each class.
    classes : sequence of str or None
        What the candidates were called; None for those left out, which may be a copy of any class.

    Returns
    -------
    (24, 3) float
        Of each class the three highest values; those that are not there are -30.
    """
    ranked = np.full((len(CLASSES), 3), -30.0)
    for number, name in enumerate(CLASSES):
        own = [index for index, class_ in enumerate(classes) if class_ is None or class_ == name]
        best = np.sort(values[own, number])[::-1][:3]
        ranked[number, : len(best)] = best
    return ranked


def weigh_copies(copies: np.ndarray) -> dict[str, float]:
    """Weigh single gains and losses, and sex chromosomes, by what a cell shows.

    Parameters
    ----------
    copies : (24, 3) float
        From `best_copies`.

    Returns
    -------
    dict
        ``+21`` and so on -> log likelihood ratio against two copies, within `MOST`; each of `SEXES` -> log likelihood
        beside the likeliest of them, 0 to minus `MOST`.
    """
    found = {}
    for number, name in enumerate(AUTOSOMES):
        found[f"+{name}"] = float(np.clip(SLOPE * (copies[number, 2] - THIRD), -MOST, MOST))
        found[f"-{name}"] = float(np.clip(SLOPE * (SECOND - copies[number, 1]), -MOST, MOST))
    x, y = copies[CLASSES.index("X")], copies[CLASSES.index("Y")]
    of_x = (0.0, SLOPE * (x[1] - SECOND_X), SLOPE * (x[2] - THIRD_X))
    of_y = (FIRST_Y_SLOPE * (y[0] - FIRST_Y), SLOPE * (y[1] - SECOND_Y))
    sexes = {sex: sum(of_x[: sex.count("X")]) + sum(of_y[: sex.count("Y")]) for sex in SEXES}
    highest = max(sexes.values())
    return found | {sex: float(max(value - highest, -MOST)) for sex, value in sexes.items()}


def as_text(found: Mapping[str, float]) -> str:
    """Write what is above the least, the highest first; sex chromosomes before the others.

    >>> as_text({"+21": 2.84, "-13": -4.0, "XX": 0.0, "XXX": -1.26})
    'XX:0.0 XXX:-1.3 +21:2.8'
    """
    # a cell of a table that began with a sign would be taken for a formula
    listed = sorted(found.items(), key=lambda item: (item[0] not in SEXES, -item[1]))
    return " ".join(f"{change}:{value:.1f}" for change, value in listed if value > -MOST + 0.05)


def from_text(text: str) -> dict[str, float]:
    """Read what `as_text` wrote; what is not there has the least value.

    >>> from_text("XX:0.0 +21:2.8")["+21"], from_text("XX:0.0 +21:2.8")["XY"]
    (2.8, -4.0)
    """
    found = dict.fromkeys((*CHANGES, *SEXES), -MOST)
    for part in text.split():
        change, _, value = part.rpartition(":")
        if change in found:
            found[change] = float(np.clip(float(value), -MOST, MOST))
    return found


def of_draft(classes: Sequence[str], *, corrected: bool) -> dict[str, float]:
    """Give the same of a cell by what its chromosomes were called alone."""
    counts = Counter(classes)
    shown, not_shown = (CERTAIN, -CERTAIN) if corrected else (SHOWN, NOT_SHOWN)
    found = {f"+{name}": shown if counts[name] > 2 else not_shown for name in AUTOSOMES}
    found |= {f"-{name}": shown if counts[name] < 2 else not_shown for name in AUTOSOMES}
    own = "X" * counts["X"] + "Y" * counts["Y"]
    return found | {sex: 0.0 if sex == own else -shown for sex in SEXES}
