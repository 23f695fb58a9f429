"""Which of the objects a network finds are nuclei: by stain, size and confidence, each beside the image's own."""

from __future__ import annotations

import numpy as np
from skimage.measure import label as components

from cellscope.imaging.smear import stain_densities
from cellscope.metrics.calibration import log_odds

#: Objects of at least this share of the largest one's area can be the one that the others are compared with.
SIZEABLE = 0.15
#: What is darker than this (natural optical density) in red, green and blue is no stain: ink, dirt, black fill.
INK = 2.2
#: Optical densities below this are noise: ratios of them tell nothing.
LEAST_DENSITY = 0.02
#: Nuclei at least as sure as this (log odds) are compared with in their turn, at most so many: those of a smear are
#: not all stained, or lit, as the surest one is.
SURE, TURNS = 2.0, 32
#: Log odds that an object is a nucleus, by what `beside` says of it and the surest nucleus
#: (``benchmarks/nucleus_objects.py``: logistic regression over objects that networks found on laboratories they had not
#: seen, and on the same with red cells stained anew).
WEIGHTS, BIAS = np.array([8.56, -0.78, -3.21, 1.4, 2.28]), 4.81
#: Log odds from which an object that touches a sure nucleus may be one that is stained less (see `spared`).
PALE = -4.0


def usual_area(areas: np.ndarray) -> float:
    """Give the area-weighted median of areas: half of all nucleus pixels are in nuclei at least this large."""
    order = np.sort(areas[areas > 0])
    if not len(order):
        return 0.0
    return float(order[np.searchsorted(np.cumsum(order), order.sum() / 2)])


def nucleus_odds(areas: np.ndarray, densities: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Tell which objects of an image are nuclei, beside the one that is most surely one and those like it.

    All are compared with the surest, then with the least alike of those that are sure beside it, and so on; the highest
    odds count.

    Parameters
    ----------
    areas : (N,) float
    densities : (N, 3) float
        Mean optical densities over the background's, in red, green and blue.
    scores : (N,) float
        Of the network, 0 to 1.

    Returns
    -------
    (N,) float
        Log odds.
    """
    if not len(areas):
        return np.zeros(0)
    turn = surest(areas, densities, scores)
    left, odds = _sizeable(areas, densities), np.full(len(areas), -np.inf)
    for _ in range(TURNS):
        left[turn] = False
        odds = np.maximum(odds, beside(turn, areas, densities, scores) @ WEIGHTS + BIAS)
        sure = left & (odds >= SURE)
        if not sure.any() or (odds > 0).all():
            break
        turn = int(np.argmin(np.where(sure, odds, np.inf)))
    return odds


def surest(areas: np.ndarray, densities: np.ndarray, scores: np.ndarray) -> int:
    """Give the object that is most surely a nucleus.

    It is the sizeable one with the highest odds by the network times its squared density in green, which the dyes of
    chromatin take away in every stain.

    Parameters
    ----------
    areas, densities, scores
        As for `nucleus_odds`, at least one object.
    """
    green = np.log(np.maximum(densities[:, 1], LEAST_DENSITY))
    return int(np.argmax(np.where(_sizeable(areas, densities), 2 * green + log_odds(scores), -np.inf)))


def _sizeable(areas: np.ndarray, densities: np.ndarray) -> np.ndarray:
    sizeable = (areas >= max(SIZEABLE * areas.max(), 1)) & (densities.min(1) < INK)
    return sizeable if sizeable.any() else areas > 0


def beside(which: int, areas: np.ndarray, densities: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Compare objects with one of them: what it is whose weights are `WEIGHTS`.

    Red cells take less light than nuclei, and of other parts of the spectrum (haemoglobin the blue).

    Parameters
    ----------
    which : int
    areas, densities, scores
        As for `nucleus_odds`.

    Returns
    -------
    (N, 5) float
        Log ratios of green and red density; the angle between the densities, radians: another colour, whatever its
        strength; log ratio of area; difference of the score's log odds. 0 for `which` itself.
    """
    density, odds = np.maximum(densities, LEAST_DENSITY), log_odds(scores)
    lengths = np.linalg.norm(density, axis=1)
    cosine = density @ density[which] / (lengths * lengths[which])
    return np.stack(
        [
            np.log(density[:, 1] / density[which, 1]),
            np.log(density[:, 0] / density[which, 0]),
            np.arccos(np.clip(cosine, -1, 1)),
            np.clip(np.log(np.maximum(areas, 1) / areas[which]), -4, 1),
            odds - odds[which],
        ],
        axis=1,
    )


def unlike_nuclei(labels: np.ndarray, scores: np.ndarray, rgb: np.ndarray, *, least: float) -> np.ndarray:
    """Find red cells and dirt that were taken for nuclei, also those that were taken for a further lobe of one.

    Parameters
    ----------
    labels : (H, W) int
    scores : (N + 1,) float
        Confidence by label, from 0.
    rgb : (H, W, 3) uint8
    least : float
        Separate pieces whose probability to be a nucleus, by `nucleus_odds`, is below this are none; the likeliest of
        an image always is.

    Returns
    -------
    (H, W) bool
    """
    pieces = components(labels, connectivity=2).astype(np.int32)
    count = int(pieces.max(initial=0)) + 1
    if count == 1 or least <= 0:
        return np.zeros(labels.shape, bool)
    owner = np.zeros(count, np.int64)
    owner[pieces] = labels
    areas = np.bincount(pieces.ravel(), minlength=count).astype(float)[1:]
    odds = nucleus_odds(areas, stain_densities(pieces, rgb)[1:], scores[owner[1:]])
    unlike = odds < log_odds(np.array(least))
    unlike[odds.argmax()] = False
    unlike &= ~spared(pieces, areas, odds, unlike)
    return np.append(False, unlike)[pieces]


def spared(pieces: np.ndarray, areas: np.ndarray, odds: np.ndarray, unlike: np.ndarray) -> np.ndarray:
    """Find pale nuclei beside dark ones among the objects that are unlike nuclei.

    Red cells seldom come singly: where every sizeable object that is unlike the nuclei touches a sure one, and is not
    all too unlike it, they are nuclei that lie side by side. One that lies apart shows that the network takes red cells
    for nuclei here, and none is spared.

    Parameters
    ----------
    pieces : (H, W) int
        Numbered 1 to N.
    areas, odds : (N,) float
    unlike : (N,) bool

    Returns
    -------
    (N,) bool
    """
    doubtful = unlike & (areas >= SIZEABLE * areas.max())
    touching = np.zeros(len(odds) + 1, bool)
    sure = np.append(False, odds >= SURE)
    for one, other in ((pieces[:, :-1], pieces[:, 1:]), (pieces[:-1], pieces[1:])):
        for own, beside_it in ((one, other), (other, one)):
            touching[own[(own != beside_it) & sure[beside_it]]] = True
    pale = touching[1:] & (odds >= PALE)
    return doubtful & bool((pale | ~doubtful).all())


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
