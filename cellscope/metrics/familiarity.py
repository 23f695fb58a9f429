"""How like the training images an image is: the distance of its features to theirs, read against left-out images.

Features of training images are described by a centre per source, the directions in which images differ within
sources, and the spread along each. The distance of an image is the Mahalanobis distance to the nearest centre (Lee et
al., NeurIPS 2018), with the covariance of probabilistic principal components (Tipping and Bishop, J. R. Stat. Soc. B
61, 1999): own variances for the first directions, one for all others together. What distance is usual is known from
training images whose whole group was left out of the description.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

AXES = 32
"""Directions at most that have a variance of their own."""

FOLDS = 20
"""Parts into which the groups are divided at most, each left out once."""

FEWEST = 8
"""Images below which there is nothing to describe."""

OWN_CENTRE = 5
"""Images from which on a source has a centre of its own; the images of smaller sources share one."""

UNFAMILIAR = 0.05
"""Familiarity below which an image is unlike those of the training: what one in twenty familiar images falls below."""


@dataclass(frozen=True, eq=False)
class Description:
    """What the features of training images are like.

    Attributes
    ----------
    centres : (S, F) float32
        Mean features of each source.
    scale : (F,) float32
        Spread of each feature within sources; features are divided by it.
    axes : (F, D) float16
        Directions of largest variance within sources, D <= `AXES`, orthonormal, of features divided by `scale`.
    variances : (D + 1,) float32
        Along each of them, and along every other direction.
    distances : (n,) float32
        Of training images to a description without their group, ascending.
    """

    centres: np.ndarray
    scale: np.ndarray
    axes: np.ndarray
    variances: np.ndarray
    distances: np.ndarray

    def distance(self, features: np.ndarray) -> np.ndarray:
        """Give the distance of images to the nearest centre.

        Parameters
        ----------
        features : (N, F) float

        Returns
        -------
        (N,) float64
            Root of the mean squared distance over the features: about 1 for an image like those of the training.
        """
        rest = (np.asarray(features, np.float64)[:, None] - self.centres) / self.scale
        along = rest @ self.axes.astype(np.float64)
        inside = along**2 @ (1 / self.variances[:-1].astype(np.float64))
        outside = np.maximum((rest**2).sum(-1) - (along**2).sum(-1), 0) / float(self.variances[-1])
        nearest: np.ndarray = np.sqrt((inside + outside).min(1) / rest.shape[-1])
        return nearest

    def familiarity(self, features: np.ndarray) -> np.ndarray:
        """Give the share of left-out training images that are as far away or farther; see `share_beyond`."""
        return share_beyond(self.distances, self.distance(features))


def share_beyond(known: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Give how many of known distances are as large as others or larger, as a share that never is 0.

    Parameters
    ----------
    known : (n,) float
        Ascending.
    distance : (N,) float

    Returns
    -------
    (N,) float64, above 0 to 1
        (1 + number of larger ones) / (n + 1), linear between neighbours, so that the last bits of a distance change
        nothing. Beyond the largest it falls on with the square of the distance.
    """
    known = np.asarray(known, np.float64)
    count = len(known)
    levels = (count - np.arange(count)) / (count + 1)  # the smallest but one of them, down to 1 / (n + 1)
    share = np.interp(distance, known, levels, left=1.0)
    far = np.asarray(distance) > known[-1]
    tail = (known[-1] / np.maximum(distance, 1e-12)) ** 2 / (count + 1)
    return np.where(far, tail, share)


def describe(features: np.ndarray, sources: Sequence[str], groups: Sequence[str]) -> Description:
    """Describe the features of training images.

    Parameters
    ----------
    features : (n, F) float
    sources, groups : sequence of str
        Of each image: where it comes from, and what it must not be told from (patient, slide, cell).

    Returns
    -------
    Description
        Reference distances are those of images to a description of the others, without their group; of many groups
        several are left out at once.

    Raises
    ------
    ValueError
        Fewer than `FEWEST` images, or a single group.
    """
    features = np.asarray(features, np.float64)
    names = np.unique(np.asarray(groups))
    if len(features) < FEWEST or len(names) < 2:
        raise ValueError(f"{len(features)} images of {len(names)} groups are too few to describe")
    origin = np.asarray(sources)
    fold_of = dict(zip(names, np.arange(len(names)) % min(FOLDS, len(names)), strict=True))
    folds = np.array([fold_of[group] for group in groups])
    distances = np.zeros(len(features))
    for fold in np.unique(folds):
        held = folds == fold
        distances[held] = _fit(features[~held], origin[~held]).distance(features[held])
    whole = _fit(features, origin)
    return Description(whole.centres, whole.scale, whole.axes, whole.variances, np.sort(distances).astype(np.float32))


def _fit(features: np.ndarray, sources: np.ndarray) -> Description:
    """Describe features, without reference distances."""
    names, counts = np.unique(sources, return_counts=True)
    large = names[counts >= OWN_CENTRE]
    owner = np.where(np.isin(sources, large), sources, "")
    centres = np.stack([features[owner == name].mean(0) for name in np.unique(owner)])
    rest = features - centres[np.searchsorted(np.unique(owner), owner)]
    spread = rest.std(0)
    scale = np.maximum(spread, 0.05 * spread.mean() + 1e-6)  # a feature that never varied must not decide
    rest = rest / scale
    count, size = rest.shape
    _, values, turned = np.linalg.svd(rest, full_matrices=False)
    variances = values**2 / count
    kept = min(AXES, count - 1, size - 1)
    total = variances.sum()
    others = max(total - variances[:kept].sum(), 0.0) / (size - kept)
    shrinkage = _shrinkage(rest)
    shrunk = np.append(variances[:kept], others) * (1 - shrinkage) + shrinkage * total / size
    return Description(
        centres.astype(np.float32),
        scale.astype(np.float32),
        turned[:kept].T.astype(np.float16),
        np.maximum(shrunk, 1e-6).astype(np.float32),
        np.zeros(0, np.float32),
    )


def _shrinkage(rest: np.ndarray) -> float:
    """Give how far the covariance of (n, F) centred features is best drawn towards a multiple of the identity.

    Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices, J. Multivar. Anal. 88,
    2004; from the inner products, as there may be more features than images.
    """
    count, size = rest.shape
    products = rest @ rest.T
    squared = (products**2).sum() / count**2  # sum of the squares of the covariance
    mean = np.trace(products) / count / size
    from_identity = squared - size * mean**2
    noise = ((np.diag(products) ** 2).sum() / count - squared) / count
    return float(np.clip(noise / from_identity, 0.0, 1.0)) if from_identity > 0 else 1.0
