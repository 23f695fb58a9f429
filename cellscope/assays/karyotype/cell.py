"""One metaphase after both networks: its chromosomes, named, oriented, measured and flagged."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from cellscope.assays.karyotype.assignment import UNASSIGNED, assign_cell, most_probable
from cellscope.assays.karyotype.classes import CLASSES
from cellscope.assays.karyotype.detections import Detection, overlap
from cellscope.assays.karyotype.iscn import draft_iscn, sex_chromosomes
from cellscope.assays.karyotype.upright import main_axis
from cellscope.imaging.measure import add_physical, measure_mask

#: Polarity logits nearer to 0 than this do not decide which arm is up.
POLARITY_MARGIN = 0.5
EXPECTED = 46
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
        Why a person should look.
    """

    label: int
    detection: Detection
    class_: str
    probabilities: np.ndarray
    angle: float
    short_arm_up: bool | None
    touching: bool = False
    cut_off: bool = False
    review: bool = False
    reasons: list[str] = field(default_factory=list)


@dataclass
class Cell:
    """A karyotyped metaphase."""

    chromosomes: list[Chromosome]
    shape: tuple[int, int]
    bright_on_dark: bool

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
) -> Cell:
    """Name, orient and flag the chromosomes of one cell.

    Parameters
    ----------
    detections : list of N Detection
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
        Probability of the given class under which a chromosome is marked.
    """
    assignment = (
        assign_cell(log_probabilities, aneuploidy_cost=aneuploidy_cost) if assign else most_probable(log_probabilities)
    )
    height, width = shape
    chromosomes = []
    for index, (detection, class_) in enumerate(zip(detections, assignment.classes, strict=True)):
        probabilities = np.exp(log_probabilities[index].astype(float))
        probabilities /= probabilities.sum()
        _, angle, _ = main_axis(detection.mask)
        up = None
        if polarity is not None and abs(float(polarity[index])) > POLARITY_MARGIN:
            up = bool(polarity[index] > 0)
        x0, y0, x1, y1 = detection.bbox
        chromosome = Chromosome(
            label=index + 1,
            detection=detection,
            class_=class_,
            probabilities=probabilities,
            angle=angle,
            short_arm_up=up,
            touching=any(
                other is not detection and overlap(detection, other) > 0.02 * detection.area for other in detections
            ),
            cut_off=bool(x0 <= 0 or y0 <= 0 or x1 >= width or y1 >= height),
        )
        _judge(chromosome, review_below)
        chromosomes.append(chromosome)
    return Cell(chromosomes, shape, bright_on_dark)


def _judge(chromosome: Chromosome, review_below: float) -> None:
    best = CLASSES[int(chromosome.probabilities.argmax())]
    if chromosome.class_ == UNASSIGNED:
        chromosome.reasons.append("fits no place in the cell")
    elif chromosome.class_ != best:
        chromosome.reasons.append(f"looks like {best}, placed as {chromosome.class_} by the rest of the cell")
    elif chromosome.probabilities.max() < review_below:
        chromosome.reasons.append("class unsure")
    if chromosome.cut_off:
        chromosome.reasons.append("cut off by the image border")
    if chromosome.detection.score < 0.6:
        chromosome.reasons.append("may not be a chromosome")
    chromosome.review = bool(chromosome.reasons)


def objects_table(cell: Cell, grey: np.ndarray, pixel_size_um: float | None) -> pd.DataFrame:
    """Give the cell's rows of ``objects.csv``.

    Parameters
    ----------
    cell : Cell
    grey : (H, W) float32
        The image's own grey values.
    pixel_size_um : float or None
    """
    rows = []
    for chromosome in cell.chromosomes:
        x0, y0, x1, y1 = map(int, chromosome.detection.bbox)
        row: dict[str, Any] = {
            "label": chromosome.label,
            "class": chromosome.class_,
            "score": chromosome.detection.score,
            "review": chromosome.review,
        }
        row |= {f"p_{name}": float(p) for name, p in zip(CLASSES, chromosome.probabilities, strict=True)}
        row |= measure_mask(chromosome.detection.mask, (y0, x0), grey[y0:y1, x0:x1])
        row |= {
            "angle_degrees": float(np.degrees(chromosome.angle)),
            "short_arm_up": "" if chromosome.short_arm_up is None else chromosome.short_arm_up,
            "touching": chromosome.touching,
            "cut_off": chromosome.cut_off,
            "reasons": "; ".join(chromosome.reasons),
        }
        rows.append(row)
    columns = ["label", "class", "score", "review", *(f"p_{name}" for name in CLASSES)]
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)
    return add_physical(table, pixel_size_um)
