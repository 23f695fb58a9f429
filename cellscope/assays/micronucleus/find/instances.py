"""From the finder's maps to nuclei, micronuclei and whose they are. Pure arrays."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.special import expit
from skimage.measure import label as components
from skimage.segmentation import find_boundaries

from cellscope.assays.micronucleus.classify.crops import owners
from cellscope.imaging.labels import find_markers, marker_watershed, relabel, remove_small

NUCLEUS = 0.5
"""Probability above which a pixel is nucleus."""

MICRONUCLEUS = 0.5
"""Probability above which a pixel is micronucleus, unless the model says otherwise."""

SPLIT = 0.12
"""How far the depth must fall between two peaks, of 1, for two nuclei."""

SMALLEST_NUCLEUS = 0.08
"""Least area of a nucleus, as a share of a disc of the median diameter."""

SMALLEST_MN = 3
"""Least area of a micronucleus in pixels of the image."""

REACH = 0.75
"""How far from its parent's rim a micronucleus may lie, in median nucleus diameters: 99 of 100 lie nearer."""

FLOOR = 1e-4

RIM = 0.1
"""How deep inside an outlined nucleus a micronucleus that touches it may lie, in median nucleus diameters."""

PARENT_SPREAD = 0.06
"""How fast a further nucleus becomes less likely to be the parent, in median nucleus diameters. Where the two nearest
nuclei are equally far but for 0.05, 0.05 to 0.1 and 0.1 to 0.2 of it, the nearer one is the parent of 66, 82 and 90 of
100 annotated micronuclei; where the difference is clearer, of 99."""


def nuclei_of(nucleus: np.ndarray, depth: np.ndarray, diameter: float) -> np.ndarray:
    """Separate nuclei: a watershed of the depth from its peaks.

    Parameters
    ----------
    nucleus : (H, W) float32
        Logits of "this pixel is nucleus".
    depth : (H, W) float32
        Depth before the sigmoid.
    diameter : float
        Median diameter of a nucleus, pixels.

    Returns
    -------
    (H, W) int32
        Labels 1..N in order of their first pixel.
    """
    mask = ndimage.binary_fill_holes(nucleus > float(np.log(NUCLEUS / (1 - NUCLEUS))))
    if not mask.any():
        return np.zeros(mask.shape, np.int32)
    height = ndimage.gaussian_filter(expit(depth).astype(np.float32), max(diameter / 32, 0.5))
    labels = marker_watershed(height, find_markers(height, mask, depth=SPLIT), mask)
    return relabel(remove_small(labels, SMALLEST_NUCLEUS * np.pi / 4 * diameter**2), by_position=True)


def reachable(
    labels: np.ndarray, diameter: float, reach: float = REACH, *, owner: np.ndarray | None = None
) -> np.ndarray:
    """Give each pixel the nucleus whose micronucleus it could be: the nearest, if it is near enough; else 0.

    Parameters
    ----------
    labels : (H, W) int
    diameter : float
    reach : float
    owner : (H, W) int, optional
        From `cellscope.assays.micronucleus.classify.crops.owners`, where that is known already.

    Returns
    -------
    (H, W) int32
    """
    if not labels.any():
        return np.zeros(labels.shape, np.int32)
    owner = owners(labels) if owner is None else owner
    return np.where(_distance(labels == 0) <= reach * diameter, owner, 0).astype(np.int32)


def _distance(mask: np.ndarray) -> np.ndarray:
    """Distance of every pixel of a mask from the nearest one outside, exact; a tenth of the time SciPy takes."""
    return cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def micronuclei_of(
    logits: np.ndarray, reach: np.ndarray, *, threshold: float = MICRONUCLEUS
) -> tuple[np.ndarray, dict[int, int], dict[int, float]]:
    """Find micronuclei and their parents.

    Parameters
    ----------
    logits : (H, W) float32
        "This pixel is micronucleus".
    reach : (H, W) int32
        From `reachable`.
    threshold : float
        Least probability.

    Returns
    -------
    labels : (H, W) int32
        Labels 1..M.
    parents : dict
        Micronucleus -> nucleus: of most of its pixels.
    scores : dict
        Micronucleus -> its highest probability.
    """
    mask = (logits > np.log(threshold / (1 - threshold))) & (reach > 0)
    labels = relabel(remove_small(components(mask, connectivity=1).astype(np.int32), SMALLEST_MN))
    parents: dict[int, int] = {}
    scores: dict[int, float] = {}
    for index, place in enumerate(ndimage.find_objects(labels), 1):
        if place is None:
            continue
        inside = labels[place] == index
        parents[index] = int(np.bincount(reach[place][inside]).argmax())
        scores[index] = float(expit(logits[place][inside].max()))
    return labels, parents, scores


def score_cells(logits: np.ndarray, labels: np.ndarray, diameter: float, ids: list[int]) -> np.ndarray:
    """Say for each nucleus how sure the finder is of a micronucleus of its own.

    Only peaks count, and none deep inside a nucleus: what rises towards the nucleus itself is no micronucleus. A peak
    between two nuclei counts for both, in the measure in which either is likely to be its parent.

    Parameters
    ----------
    logits : (H, W) float32
        "This pixel is micronucleus".
    labels : (H, W) int
        The nuclei.
    diameter : float
        Their median diameter, pixels.
    ids : list of int
        The nuclei to answer for.

    Returns
    -------
    (N,) float64
        Logit of the highest probability of a peak within reach (slightly smoothed) times that of being its parent, at
        least that of 1e-4.
    """
    best = np.zeros(len(ids))
    smooth = ndimage.uniform_filter(expit(logits).astype(np.float32), 2)
    shallow = _distance(labels > 0) <= RIM * diameter
    places = np.argwhere(shallow & (smooth > FLOOR) & (smooth >= ndimage.maximum_filter(smooth, 3)))
    rims = np.argwhere(find_boundaries(labels, mode="inner"))
    if len(places) and len(rims):
        around = cKDTree(rims).query_ball_point(places, REACH * diameter)
        peak = np.repeat(np.arange(len(places)), [len(indices) for indices in around])
        rim = np.concatenate(around).astype(int)
        pairs = pd.DataFrame({"peak": peak, "label": labels[tuple(rims[rim].T)]})
        distance = np.sqrt(((rims[rim] - places[peak]) ** 2).sum(1)) / diameter
        pairs["distance"] = np.where(labels[tuple(places[peak].T)] == pairs["label"], 0.0, distance)
        pairs = pairs.groupby(["peak", "label"], as_index=False)["distance"].min()
        further = pairs["distance"] - pairs.groupby("peak")["distance"].transform("min")
        share = np.exp(-further / PARENT_SPREAD)
        share /= share.groupby(pairs["peak"]).transform("sum")
        pairs["value"] = smooth[tuple(places[pairs["peak"]].T)] * share
        best = pairs.groupby("label")["value"].max().reindex(ids, fill_value=0.0).to_numpy()
    best = np.clip(best, FLOOR, 1 - FLOOR)
    return np.asarray(np.log(best / (1 - best)), float)
