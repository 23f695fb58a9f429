"""Which of the objects a network finds are nuclei: by size, stain and confidence, each beside the image's own."""

from __future__ import annotations

import numpy as np
from skimage.measure import label as components

from cellscope.imaging.smear import stain_densities

#: Objects of at least this share of the largest one's area say how strongly nuclei are stained in an image.
SIZEABLE = 0.15
#: What is darker than this (natural optical density) in red, green and blue is no stain: ink, dirt, black fill.
INK = 2.2
#: A channel in which not even those are darker than this (natural optical density) tells nothing.
LEAST_DENSITY = 0.15
#: Objects stained more than this, relative to the strongest, are no red cells, whatever their colour.
REDDISH_BELOW = 0.75
#: Of this score, what is weakly stained beside the strongest nuclei of a smear is a nucleus all the same, unless its
#: colour says otherwise: a smear need not be stained, or lit, evenly.
SURE_SCORE = 0.93


def usual_area(areas: np.ndarray) -> float:
    """Give the area-weighted median of areas: half of all nucleus pixels are in nuclei at least this large."""
    order = np.sort(areas[areas > 0])
    if not len(order):
        return 0.0
    return float(order[np.searchsorted(np.cumsum(order), order.sum() / 2)])


def relative_stain(areas: np.ndarray, densities: np.ndarray) -> np.ndarray:
    """Compare every object's stain with the strongest of the sizeable objects of the image.

    Parameters
    ----------
    areas : (N,) float
    densities : (N, 3) float
        Mean optical densities over the background's, in red, green and blue.

    Returns
    -------
    (N,) float
        Geometric mean over red and green of density / strongest density. Red cells let red light through and a nucleus
        does not, whatever the stain; green tells the pale part of a nucleus and cytoplasm. 1 where neither tells.
    """
    sizeable = _sizeable(areas, densities)
    if not sizeable.any():
        return np.ones(len(areas))
    strongest = densities[sizeable, :2].max(0)
    telling = strongest >= LEAST_DENSITY
    if not telling.any():
        return np.ones(len(areas))
    shares = np.clip(densities[:, :2][:, telling] / strongest[telling], 0, None)
    return np.asarray(shares.prod(1) ** (1 / telling.sum()))


def relative_yellow(areas: np.ndarray, densities: np.ndarray) -> np.ndarray:
    """Tell how much more blue light objects take away, beside green, than the most strongly stained one does.

    Haemoglobin absorbs blue light (its Soret band) as strongly as green; the dyes of nuclei hardly do.

    Parameters
    ----------
    areas, densities
        As for `relative_stain`.

    Returns
    -------
    (N,) float
        Difference of blue / green density to that of the sizeable object densest in green; 0 where none is.
    """
    sizeable = _sizeable(areas, densities)
    if not sizeable.any():
        return np.zeros(len(areas))
    yellow = densities[:, 2] / np.maximum(densities[:, 1], 0.05)
    return np.asarray(yellow - yellow[np.argmax(np.where(sizeable, densities[:, 1], -1.0))])


def _sizeable(areas: np.ndarray, densities: np.ndarray) -> np.ndarray:
    return (areas >= max(SIZEABLE * areas.max(initial=0), 1)) & (densities.min(1) < INK)


def weakly_stained(
    labels: np.ndarray,
    scores: np.ndarray,
    rgb: np.ndarray,
    *,
    min_stain: float,
    doubtful_stain: float,
    doubtful_score: float,
    max_yellow: float,
) -> np.ndarray:
    """Find red cells that were taken for nuclei, also those that were taken for a further lobe of one.

    Parameters
    ----------
    labels : (H, W) int
    scores : (N + 1,) float
        Confidence by label, from 0.
    rgb : (H, W, 3) uint8
    min_stain : float
        Separate pieces with less relative stain (`relative_stain`) are no nuclei, unless their object's score is
        `SURE_SCORE` at least and they are not yellow.
    doubtful_stain, doubtful_score : float
        Nor are those with less than `doubtful_stain` whose object's score is below `doubtful_score`.
    max_yellow : float
        Nor are those of less relative stain than `REDDISH_BELOW` that are yellower than this (`relative_yellow`).

    Returns
    -------
    (H, W) bool
    """
    pieces = components(labels, connectivity=2).astype(np.int32)
    count = int(pieces.max(initial=0)) + 1
    owner = np.zeros(count, np.int64)
    owner[pieces] = labels
    areas = np.bincount(pieces.ravel(), minlength=count).astype(float)
    areas[0] = 0
    densities = stain_densities(pieces, rgb)
    stain = relative_stain(areas, densities)
    weak = (stain < min_stain) & (scores[owner] < SURE_SCORE)
    weak |= (stain < doubtful_stain) & (scores[owner] < doubtful_score)
    weak |= (stain < REDDISH_BELOW) & (relative_yellow(areas, densities) > max_yellow)
    weak[0] = False
    return np.asarray(weak[pieces])


def worth_keeping(
    labels: np.ndarray, scores: np.ndarray, *, min_area: float, doubtful_area: float, doubtful_score: float
) -> np.ndarray:
    """Say for each label whether it is a nucleus rather than debris.

    Parameters
    ----------
    labels : (H, W) int
    scores : (N + 1,) float
        Confidence by label, from 0.
    min_area : float
        Nuclei smaller than this share of the usual one (area-weighted median of the image) are dropped: debris,
        platelets.
    doubtful_area, doubtful_score : float
        Nuclei smaller than this share are dropped as well if the image's border cuts them (slivers of cells outside) or
        their score is below `doubtful_score` (platelet clumps, stippled red cells).

    Returns
    -------
    (N + 1,) bool
        The largest is always kept.
    """
    areas = np.bincount(labels.ravel(), minlength=len(scores)).astype(float)
    areas[0] = 0
    usual = usual_area(areas)
    border = np.zeros(len(scores), bool)
    border[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = True
    doubtful = border | (scores < doubtful_score)
    keep = (areas >= min_area * usual) & ~(doubtful & (areas < doubtful_area * usual)) & (areas > 0)
    if areas.any():
        keep[areas.argmax()] = True
    return keep
