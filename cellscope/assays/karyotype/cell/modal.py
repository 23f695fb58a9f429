"""The karyotype that the cells of a case have, with its probability, from what each cell says of gains and losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cellscope.assays.karyotype.cell.evidence import CHANGES, SEXES
from cellscope.assays.karyotype.cell.iscn import AUTOSOMES, draft_iscn

#: Before any cell is seen: a normal karyotype; one change in all cells; one in a share of the cells. The last two are
#: divided among the changes. Meant for cases of which a change is suspected, and chosen on generated cases of
#: validation cells: a change that is overlooked costs more than one that a person finds not to be there.
NORMAL, CONSTITUTIONAL, MOSAIC = 0.6, 0.35, 0.05
#: A lost autosome beside a gained one: before birth it is hardly ever compatible with life, and a chromosome not found
#: is the commonest error.
LOST = 0.01
#: Share of the cells in which nothing of a change is to be seen, though it is there.
MISSED = 0.3
#: Shares of the cells that a mosaic's changed line may have, alike before.
SHARES = np.arange(0.1, 0.95, 0.1)
#: What the sex chromosomes of a case with one change may be, by those of its normal line.
OTHERS = {"XX": ("X", "XXX"), "XY": ("X", "XXY", "XYY")}
#: Of 45,X, which either line may have lost, one is enough.
TWICE = ("XY", "X")


@dataclass(frozen=True)
class Modal:
    """The most probable karyotype of a case.

    Attributes
    ----------
    karyotype : str
        ``46,XX``, ``47,XY,+21``, ``mos 45,X/46,XX``.
    probability : float
        Among normal ones and those with one gained or lost chromosome, mosaic or not.
    """

    karyotype: str
    probability: float


def modal_karyotype(cells: Sequence[Mapping[str, float]]) -> Modal | None:
    """Find the most probable karyotype of a case.

    By Bayes' theorem, from the product of the cells' likelihoods, as if they were independent of one another: errors
    that all cells of a case share are not in it. In a mosaic each cell is of either line.

    Parameters
    ----------
    cells : sequence of mapping
        What `evidence.weigh_copies` gives, one per cell.

    Returns
    -------
    Modal or None
        None without cells.
    """
    if not cells:
        return None
    said = {name: np.array([cell[name] for cell in cells]) for name in (*CHANGES, *SEXES)}
    found = posterior(said)
    best = max(found, key=lambda name: found[name])
    return Modal(best, found[best])


def posterior(said: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Give the probability of every karyotype that is compared.

    Parameters
    ----------
    said : mapping
        Each of `evidence.CHANGES` and `evidence.SEXES` -> (cells,) float, in nats.
    """
    logs: dict[str, float] = {}
    for sex, others in OTHERS.items():
        base = float(said[sex].sum())
        ratios = {(change, sex): said[change] for change in CHANGES}
        ratios |= {("", other): said[other] - said[sex] for other in others}
        weights = {key: LOST if key[0].startswith("-") else 1.0 for key in ratios}
        whole = np.log(len(OTHERS) * sum(weights.values()))
        logs[_written("", sex)] = base + np.log(NORMAL / len(OTHERS))
        for (change, own), seen in ratios.items():
            name, each = _written(change, own), whole - np.log(weights[change, own])
            ratio = np.logaddexp(np.log(MISSED), np.log1p(-MISSED) + seen)
            mixed = np.log((1 - SHARES)[:, None] + SHARES[:, None] * np.exp(ratio)).sum(1)
            partly = np.logaddexp.reduce(mixed) - np.log(len(SHARES))
            logs[f"mos {name}/{_written('', sex)}"] = base + np.log(MOSAIC) - each + partly
            if (sex, own) != TWICE:
                logs[name] = base + np.log(CONSTITUTIONAL) - each + float(ratio.sum())
    values = np.array(list(logs.values()))
    shares = np.exp(values - np.logaddexp.reduce(values))
    return dict(zip(logs, shares.tolist(), strict=True))


def _written(change: str, sex: str) -> str:
    classes = [*AUTOSOMES, *AUTOSOMES, *sex]
    if change.startswith("+"):
        classes.append(change[1:])
    elif change:
        classes.remove(change[1:])
    return draft_iscn(classes)
