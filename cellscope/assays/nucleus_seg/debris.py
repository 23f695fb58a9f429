"""Which of the objects a network finds are nuclei: by size, stain and confidence, each beside the image's own."""

from __future__ import annotations

import numpy as np

#: Objects of at least this share of the largest one's area say how strongly nuclei are stained in an image.
SIZEABLE = 0.15
#: A channel in which not even those are darker than this (natural optical density) tells nothing.
LEAST_DENSITY = 0.15


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
    densities : (N, C) float
        Mean optical densities over the background's, by channel.

    Returns
    -------
    (N,) float
        Geometric mean over the channels of density / strongest density. Red cells let red light through and a nucleus
        does not, whatever the stain; green tells the pale part of a nucleus and cytoplasm. 1 where no channel tells.
    """
    sizeable = areas >= max(SIZEABLE * areas.max(initial=0), 1)
    if not sizeable.any():
        return np.ones(len(areas))
    strongest = densities[sizeable].max(0)
    telling = strongest >= LEAST_DENSITY
    if not telling.any():
        return np.ones(len(areas))
    shares = np.clip(densities[:, telling] / strongest[telling], 0, None)
    return np.asarray(shares.prod(1) ** (1 / telling.sum()))


def worth_keeping(
    labels: np.ndarray,
    scores: np.ndarray,
    densities: np.ndarray | None,
    *,
    min_area: float,
    doubtful_area: float,
    min_stain: float,
    doubtful_stain: float,
    doubtful_score: float,
) -> np.ndarray:
    """Say for each label whether it is a nucleus rather than debris or a red cell.

    Parameters
    ----------
    labels : (H, W) int
    scores : (N + 1,) float
        Confidence by label, from 0.
    densities : (N' + 1, C) float or None
        See `relative_stain`, by label; labels above N' have no pixel. Stain is not compared when not given.
    min_area : float
        Nuclei smaller than this share of the usual one (area-weighted median of the image) are dropped: debris,
        platelets.
    doubtful_area : float
        Those smaller than this share are dropped as well if the image's border cuts them (slivers of cells outside) or
        their score is doubtful (platelet clumps, stippled red cells).
    min_stain, doubtful_stain : float
        The same for the relative stain: red cells. It is judged first, so that red cells do not say what is usual.
    doubtful_score : float
        Scores below this are doubtful.

    Returns
    -------
    (N + 1,) bool
        The largest that is stained enough is always kept.
    """
    areas = np.bincount(labels.ravel(), minlength=len(scores)).astype(float)
    areas[0] = 0
    unsure = scores < doubtful_score
    if densities is not None:
        stain = np.ones(len(scores))
        stain[: len(densities)] = relative_stain(areas[: len(densities)], densities)
        areas = np.where((stain < min_stain) | (unsure & (stain < doubtful_stain)), 0, areas)
    usual = usual_area(areas)
    border = np.zeros(len(scores), bool)
    border[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = True
    keep = (areas >= min_area * usual) & ~((border | unsure) & (areas < doubtful_area * usual)) & (areas > 0)
    if areas.any():
        keep[areas.argmax()] = True
    return keep
