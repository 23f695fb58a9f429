"""How good a metaphase is to karyotype: what the best of many are chosen by. Whatever its karyotype is."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cellscope.assays.karyotype.cell.chromosomes import EXPECTED, Cell

#: Pixels between two masks up to which they count as touching, as a share of the side of the median chromosome.
REACH = 0.04
#: Steepness of the borders, in contrasts per width of a chromosome, from which they are as sharp as needed.
SHARP = 3.0
NAMES = ("quality", "spread", "overlap", "focus", "completeness", "certainty")


@dataclass(frozen=True)
class Quality:
    """What a metaphase is measured by, each from 0 to 1.

    Attributes
    ----------
    spread : float
        Share of the chromosomes that touch no other one.
    overlap : float
        Share of the chromosomes' pixels that belong to two or more of them: the less, the better.
    focus : float
        How steeply the borders of the chromosomes rise, beside `SHARP`.
    completeness : float
        Chromosomes found of 46; of more than 46, 46 of those found.
    certainty : float
        Mean confidence of the chromosomes.
    """

    spread: float
    overlap: float
    focus: float
    completeness: float
    certainty: float

    @property
    def quality(self) -> float:
        """The five in one, 0 to 1.

        The product of certainty, completeness, one less overlap, (9 + spread) / 10 and (1 + focus) / 2: of the forms
        tried on validation cells one of those that put cells whose draft is right first
        (`benchmarks/karyotype_quality.py`). Copies of single chromosomes do not enter but by the count: a gain or a
        loss lowers it by a fiftieth.
        """
        pieces = self.certainty, self.completeness, 1 - self.overlap, (9 + self.spread) / 10, (1 + self.focus) / 2
        return float(np.prod(pieces))

    def rounded(self) -> dict[str, float]:
        """Give all by `NAMES`, with four digits."""
        return {name: round(float(getattr(self, name)), 4) for name in NAMES}


def measure(cell: Cell, normalised: np.ndarray) -> Quality | None:
    """Measure a named cell.

    Parameters
    ----------
    cell : Cell
    normalised : (H, W) float32
        From `cellscope.imaging.tone.normalise_tone`.

    Returns
    -------
    Quality or None
        None where there is no chromosome.
    """
    found = cell.chromosomes
    if not found:
        return None
    masks = [one.detection for one in found]
    times = np.zeros(cell.shape, np.uint8)
    for one in masks:
        x0, y0, x1, y1 = one.bbox
        times[y0:y1, x0:x1] += one.mask
    covered = times > 0
    side = float(np.sqrt(np.median([one.area for one in masks])))
    reach = max(round(REACH * side), 1)
    grown = cv2.dilate(covered.astype(np.uint8), np.ones((reach + 1, reach + 1), np.uint8))
    _, islands = cv2.connectedComponents(grown, connectivity=8)
    own = [int(np.median(islands[one.bbox[1] : one.bbox[3], one.bbox[0] : one.bbox[2]][one.mask])) for one in masks]
    alone = np.bincount(own)[own] == 1
    count = len(found)
    return Quality(
        spread=float(alone.mean()),
        overlap=float((times > 1).sum() / max(covered.sum(), 1)),
        focus=min(_steepness(normalised, covered) / SHARP, 1.0),
        completeness=min(count, EXPECTED) / max(count, EXPECTED),
        certainty=float(np.mean([one.confidence for one in found])),
    )


def _steepness(normalised: np.ndarray, covered: np.ndarray) -> float:
    """Rise of the tone at the borders of the chromosomes, in contrasts per width of a chromosome.

    The width is twice the median, over the pixels of all chromosomes' midlines, of the distance to the border.
    """
    inside = covered.astype(np.uint8)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    ridge = (distance >= cv2.dilate(distance, np.ones((3, 3), np.uint8))) & covered
    width = 2 * float(np.median(distance[ridge]))
    band = cv2.dilate(inside, np.ones((3, 3), np.uint8)) - cv2.erode(inside, np.ones((3, 3), np.uint8)) > 0
    across = cv2.Sobel(normalised, cv2.CV_32F, 1, 0, ksize=3) / 8, cv2.Sobel(normalised, cv2.CV_32F, 0, 1, ksize=3) / 8
    contrast = float(np.median(normalised[covered]))
    return float(np.median(np.hypot(*across)[band])) * width / max(contrast, 1e-6)
