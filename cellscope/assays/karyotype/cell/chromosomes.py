"""One metaphase after both networks: its chromosomes, named, oriented, measured and flagged."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import expit

from cellscope.assays.karyotype.cell.assignment import UNASSIGNED
from cellscope.assays.karyotype.cell.calibration import Calibration
from cellscope.assays.karyotype.cell.choice import Plausible, cell_evidence, choose
from cellscope.assays.karyotype.cell.evidence import best_copies, weigh_copies
from cellscope.assays.karyotype.cell.iscn import draft_iscn, sex_chromosomes
from cellscope.assays.karyotype.cell.sizes import odd_sizes
from cellscope.assays.karyotype.cell.trust import Trust
from cellscope.assays.karyotype.classes import CLASSES
from cellscope.assays.karyotype.classify.upright import main_axis
from cellscope.assays.karyotype.detect.detections import Detection, overlap

EXPECTED = 46
#: Of candidates that may be second outlines, what is left out and less probably a chromosome than this is not listed.
WORTH_LISTING = 0.02
#: Standard deviations from the usual size of its class from which a chromosome is marked.
ODD_SIZE = 4.0
UNCALIBRATED = Calibration()
UNTRUSTED = Trust()
#: More autosomes than this without two copies: part of a metaphase, or none, rather than a karyotype.
MANY = 6


@dataclass
class Chromosome:
    """One chromosome of a karyotyped cell.

    Attributes
    ----------
    label : int
        The same number in the label image, ``objects.csv`` and COCO.
    detection : Detection
    class_ : str
        One of the 24 or ``unassigned``.
    probabilities : (24,) float
        The classifier's, before assignment.
    confidence : float
        Probability that this is one whole chromosome of the class given, as far as the cell can tell.
    odd_size : float
        Standard deviations by which it is larger than its class should be in this cell.
    angle : float
        Radians by which the upright view turns the image.
    short_arm_up : bool or None
        Whether the short arm is up in the upright view as `angle` gives it; None where it cannot be told.
    touching : bool
        Shares pixels with another chromosome.
    cut_off : bool
        Touches the image's border.
    review : bool
    reasons : list of str
        Reasons for review.
    edited : list of str
        What a person changed: ``class``, ``confirm``, ``flip``, ``turn``, ``join``, ``split``, ``add``, ``outline``.
    turned : float
        Degrees, clockwise, by which a person turned the upright view; part of `angle`.
    """

    label: int
    detection: Detection
    class_: str
    probabilities: np.ndarray
    angle: float
    short_arm_up: bool | None
    confidence: float = 1.0
    odd_size: float = 0.0
    touching: bool = False
    cut_off: bool = False
    review: bool = False
    reasons: list[str] = field(default_factory=list)
    edited: list[str] = field(default_factory=list)
    turned: float = 0.0


@dataclass
class Cell:
    """A karyotyped metaphase.

    Attributes
    ----------
    chromosomes : list of Chromosome
    shape : (height, width)
    bright_on_dark : bool
    left_out : list of Detection
        Found, but neither called for by the cell nor certain: pieces of chromosomes and debris.
    probability : float or None
        That the draft is right; None where the models do not tell.
    evidence : dict or None
        For gains, losses and the sex chromosomes, see `evidence.weigh_copies`; None too after a person's changes.
    """

    chromosomes: list[Chromosome]
    shape: tuple[int, int]
    bright_on_dark: bool
    left_out: list[Detection] = field(default_factory=list)
    probability: float | None = None
    evidence: dict[str, float] | None = None

    @property
    def classes(self) -> list[str]:
        """The class of each chromosome."""
        return [chromosome.class_ for chromosome in self.chromosomes]

    @property
    def counts(self) -> dict[str, int]:
        """Chromosomes per class, all 24 and ``unassigned``."""
        counted = Counter(self.classes)
        return {name: counted[name] for name in (*CLASSES, UNASSIGNED)}

    @property
    def iscn_draft(self) -> str:
        """The draft numerical karyotype."""
        return draft_iscn(self.classes)

    @property
    def sex(self) -> str:
        """The sex chromosomes found."""
        return sex_chromosomes(self.classes)

    @property
    def flags(self) -> list[str]:
        """What about the whole cell a person should know."""
        flags = [] if len(self.chromosomes) == EXPECTED else [f"count_{len(self.chromosomes)}"]
        counted = {
            "unassigned": sum(name == UNASSIGNED for name in self.classes),
            "overlapping": sum(chromosome.touching for chromosome in self.chromosomes),
            "cut_off": sum(chromosome.cut_off for chromosome in self.chromosomes),
            "odd_size": sum(abs(chromosome.odd_size) > ODD_SIZE for chromosome in self.chromosomes),
            "pieces": len(self.left_out) - self._debris,
            "debris": self._debris,
        }
        flags += [f"{name}_{count}" for name, count in counted.items() if count]
        unusual = [name for name in CLASSES[:22] if self.counts[name] != 2]
        if len(unusual) > MANY:
            flags.append("incomplete")
        elif unusual:
            flags.append("not_two_of_" + "/".join(unusual))
        if self.chromosomes and self.sex not in ("XX", "XY"):
            flags.append(f"sex_{self.sex}")
        return flags

    @property
    def _debris(self) -> int:
        """How many of those left out lie alone; the others are pieces of what they lie on."""
        return sum(
            not any(overlap(one, chromosome.detection) for chromosome in self.chromosomes) for one in self.left_out
        )


def name_cell(
    detections: list[Detection],
    log_probabilities: np.ndarray,
    polarity: np.ndarray | None,
    *,
    shape: tuple[int, int],
    bright_on_dark: bool,
    assign: bool,
    aneuploidy_cost: float,
    review_below: float,
    plausible: Plausible | None = None,
    calibration: Calibration = UNCALIBRATED,
    trust: Trust = UNTRUSTED,
) -> Cell:
    """Name, orient and flag the chromosomes of one cell.

    Parameters
    ----------
    detections : list of N Detection
        With `assign`, those a little below the score threshold too: see `detect.stage.candidates`.
    log_probabilities : (N, 24) float
    polarity : (N,) float or None
        Logit that the short arm is up.
    shape : (height, width)
    bright_on_dark : bool
    assign : bool
        False gives every chromosome its most probable class.
    aneuploidy_cost : float
        See `assign_cell`.
    review_below : float
        Confidence under which a chromosome is marked.
    plausible : Plausible, optional
        How likely each is one whole chromosome, which the cell weighs against the place it would take: one that fits
        nowhere may be left out, one that fills a gap may stay. Their `score` then is that probability. None keeps all.
    calibration : Calibration
        Of the classifier's model card.
    trust : Trust
        Of the detector's model card.
    """
    areas = np.array([detection.area for detection in detections], float)
    choice = choose(log_probabilities, areas, assign=assign, aneuploidy_cost=aneuploidy_cost, plausible=plausible)
    if choice.odds is not None:
        detections = [
            replace(one, score=float(score)) for one, score in zip(detections, expit(choice.odds), strict=True)
        ]
    kept = [(index, class_) for index, class_ in enumerate(choice.classes) if class_ is not None]
    odd = odd_sizes([class_ for _, class_ in kept], areas[[index for index, _ in kept]])
    chromosomes: list[Chromosome] = []
    for (index, class_), odd_size in zip(kept, odd, strict=True):
        probabilities = np.exp(log_probabilities[index].astype(float))
        probabilities /= probabilities.sum()
        chromosomes.append(
            Chromosome(
                label=len(chromosomes) + 1,
                detection=detections[index],
                class_=class_,
                probabilities=probabilities,
                angle=main_axis(detections[index].mask)[1],
                short_arm_up=None if polarity is None else calibration.short_arm_up(float(polarity[index])),
                confidence=calibration.confidence(float(choice.margins[index]))
                if assign
                else float(probabilities.max()),
                odd_size=float(odd_size) if assign else 0.0,
            )
        )
    judge(chromosomes, shape, review_below)
    least = WORTH_LISTING if plausible is not None and len(plausible.pairs) else 0.0
    left_out = [
        one for one, class_ in zip(detections, choice.classes, strict=True) if class_ is None and one.score >= least
    ]
    margins = choice.margins[[index for index, class_ in kept if class_ != UNASSIGNED]]
    probability = trust.probability(margins, choice.gains, [one.class_ for one in chromosomes])
    found = None
    if probability is not None and choice.odds is not None:
        values = choice.odds[:, None] + cell_evidence(log_probabilities, areas)
        found = weigh_copies(best_copies(values, choice.classes))
    return Cell(chromosomes, shape, bright_on_dark, left_out, probability, found)


def judge(chromosomes: list[Chromosome], shape: tuple[int, int], review_below: float) -> None:
    """Set what depends on the image and the other chromosomes: touching, cut off, reasons, review."""
    height, width = shape
    for chromosome in chromosomes:
        x0, y0, x1, y1 = chromosome.detection.bbox
        chromosome.touching = any(
            other is not chromosome
            and overlap(chromosome.detection, other.detection) > 0.02 * chromosome.detection.area
            for other in chromosomes
        )
        chromosome.cut_off = bool(x0 <= 0 or y0 <= 0 or x1 >= width or y1 >= height)
        chromosome.reasons = _reasons(chromosome, review_below)
        chromosome.review = bool(chromosome.reasons)


def _reasons(chromosome: Chromosome, review_below: float) -> list[str]:
    best = CLASSES[int(chromosome.probabilities.argmax())]
    reasons = []
    if chromosome.class_ == UNASSIGNED:
        reasons.append("fits no place in the cell")
    elif chromosome.class_ != best:
        reasons.append(f"looks like {best}, placed as {chromosome.class_} by the rest of the cell")
    elif chromosome.confidence < review_below:
        reasons.append("class unsure")
    if chromosome.odd_size > ODD_SIZE:
        reasons.append("larger than its class: two as one?")
    elif chromosome.odd_size < -ODD_SIZE:
        reasons.append("smaller than its class: a piece?")
    if chromosome.cut_off:
        reasons.append("cut off by the image border")
    if chromosome.detection.score < 0.6:
        reasons.append("may not be a chromosome")
    return reasons
