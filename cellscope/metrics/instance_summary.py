"""Images of nuclei measured one by one and together, as any of `cellscope.metrics.conventions` has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cellscope.metrics.conventions import Convention
from cellscope.metrics.instance_counts import (
    EXTRA,
    MISSED,
    RIGHT,
    WRONG_FOUND,
    WRONG_TRUTH,
    count_types,
    f1,
    panoptic,
)
from cellscope.metrics.instances import (
    Overlaps,
    aji,
    aji_plus,
    dice,
    overlaps,
    pairs_by_centre,
    pairs_by_overlap,
)


@dataclass
class ImageInstances:
    """What one image comes to, before any convention.

    Attributes
    ----------
    dice, aji, aji_plus : float
        NaN where there is no nucleus at all.
    by_overlap, by_centre : (K + 1, 6) float64
        From `cellscope.metrics.instances.count_types`.
    """

    dice: float
    aji: float
    aji_plus: float
    by_overlap: np.ndarray
    by_centre: np.ndarray


def measure_image(
    truth: np.ndarray,
    found: np.ndarray,
    truth_types: np.ndarray | None = None,
    found_types: np.ndarray | None = None,
    n_types: int = 0,
    *,
    radius: float = 12.0,
) -> ImageInstances:
    """Compare two label images.

    Parameters
    ----------
    truth, found : (H, W) int, 0 is background
    truth_types, found_types : (N,) and (M,) int, optional
        Types 0..n_types - 1 of the labels in rising order, -1 unknown; None where the image is not typed.
    n_types : int
    radius : float
        Pixels, for pairs by centroid; ``RADIUS_UM`` by the pixel size.

    Raises
    ------
    ValueError
        If the images differ in size or the types in number.
    """
    return measure_overlaps(overlaps(truth, found), truth_types, found_types, n_types, radius=radius)


def measure_overlaps(
    pairs: Overlaps,
    truth_types: np.ndarray | None = None,
    found_types: np.ndarray | None = None,
    n_types: int = 0,
    *,
    radius: float = 12.0,
) -> ImageInstances:
    """Do as `measure_image` does, from what `overlaps` has counted already."""
    for name, types, labels in (("true", truth_types, pairs.truth), ("found", found_types, pairs.found)):
        if types is not None and len(types) != len(labels):
            raise ValueError(f"{len(types)} types for {len(labels)} {name} nuclei")
    typed = (truth_types, found_types, n_types)
    return ImageInstances(
        dice(pairs),
        aji(pairs),
        aji_plus(pairs),
        count_types(pairs, pairs_by_overlap(pairs), *typed),
        count_types(pairs, pairs_by_centre(pairs, radius), *typed),
    )


class _Totals:
    """Counts of images, to be added over any choice of them: a product with how often each is chosen."""

    def __init__(self, counts: np.ndarray):
        known = np.isfinite(counts)
        self.shape = counts.shape[1:]
        self.counts = np.where(known, counts, 0).reshape(len(counts), -1)
        self.known = known.reshape(len(counts), -1).astype(float)

    def of(self, index: np.ndarray) -> np.ndarray:
        """Add; untyped images count in no type, and NaN stands where no image is typed."""
        times = np.bincount(index, minlength=len(self.counts)).astype(float)
        return np.where(times @ self.known > 0, times @ self.counts, np.nan).reshape(self.shape)


@dataclass
class Summary:
    """Images measured together; every method takes which of them, by position (repeats allowed, as in a bootstrap).

    Attributes
    ----------
    images : sequence of ImageInstances, all with the same number of types
    tissues : sequence of str, optional
        Of every image, for `pannuke`.
    """

    images: Sequence[ImageInstances]
    tissues: Sequence[str] | None = None
    _overlap: np.ndarray = field(init=False, repr=False)
    _totals: dict[bool, _Totals] = field(init=False, repr=False)
    _values: dict[tuple[str, str], np.ndarray] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._overlap = np.stack([image.by_overlap for image in self.images])
        self._totals = {
            True: _Totals(np.stack([image.by_centre for image in self.images])),
            False: _Totals(self._overlap),
        }
        self._tissue = np.unique(np.asarray(self.tissues or [""] * len(self.images)), return_inverse=True)[1]
        self._values = {}

    def image_values(self, metric: str, convention: Convention) -> np.ndarray:
        """Give one of `IMAGE_METRICS` for every image, (I,); NaN for images the convention leaves out."""
        key = metric, convention.name
        if key not in self._values:
            if metric in ("dq", "sq", "pq"):
                values = panoptic(self._overlap[:, 0])[:, ("dq", "sq", "pq").index(metric)]
            else:
                values = np.array([getattr(image, metric) for image in self.images], float)
            true, found = _numbers(self._overlap[:, 0])
            if convention.name == "pannuke":
                values = np.where(true > 0, values, np.nan)
            elif convention.name == "strict":
                values = np.where((true == 0) & (found == 0), 1.0, values)
            self._values[key] = values
        return self._values[key]

    def mean(self, metric: str, convention: Convention, index: np.ndarray) -> float:
        """Average one of `IMAGE_METRICS` as the convention does."""
        return self._average(self.image_values(metric, convention), convention, index)

    def bpq(self, convention: Convention, index: np.ndarray) -> float:
        """Give the binary PQ, whatever the types."""
        if convention.name != "strict":
            return self.mean("pq", convention, index)
        return float(panoptic(self._totals[False].of(index))[0, 2])

    def type_pq(self, convention: Convention, index: np.ndarray) -> np.ndarray:
        """Give the PQ of every type, (K,); for `pannuke` a mean over images, as its code gives it by type."""
        if convention.name == "strict":
            return panoptic(self._totals[False].of(index))[1:, 2]
        return _nanmean(self._type_values(convention)[index], 0)

    def mpq(self, convention: Convention, index: np.ndarray) -> float:
        """Give the multi-class PQ."""
        if convention.name != "pannuke":
            return float(_nanmean(self.type_pq(convention, index), 0))
        key = "mpq", convention.name
        if key not in self._values:
            self._values[key] = _nanmean(self._type_values(convention), 1)
        return self._average(self._values[key], convention, index)

    def f1(self, convention: Convention, index: np.ndarray) -> np.ndarray:
        """Give Fd (first) and F1 of every type, (K + 1,), from the counts of all images together."""
        return f1(self._totals[convention.centres].of(index), convention.weights)

    def _type_values(self, convention: Convention) -> np.ndarray:
        key = "type_pq", convention.name
        if key not in self._values:
            counts = self._overlap[:, 1:]
            values = panoptic(counts)[..., 2]
            if convention.name == "pannuke":
                values = np.where(_numbers(counts)[0] > 0, values, np.nan)
            self._values[key] = values
        return self._values[key]

    def _average(self, values: np.ndarray, convention: Convention, index: np.ndarray) -> float:
        chosen = values[index]
        if convention.name != "pannuke" or self.tissues is None:
            return float(_nanmean(chosen, 0))
        known = np.isfinite(chosen)
        tissue = self._tissue[index][known]
        numbers = np.bincount(tissue)
        sums = np.bincount(tissue, chosen[known])
        return float(_nanmean(sums[numbers > 0] / numbers[numbers > 0], 0))


def _numbers(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give how many were there and how many were found."""
    true = counts[..., RIGHT] + counts[..., WRONG_TRUTH] + counts[..., MISSED]
    return true, counts[..., RIGHT] + counts[..., WRONG_FOUND] + counts[..., EXTRA]


def _nanmean(values: np.ndarray, axis: int) -> np.ndarray:
    """Average what is defined; NaN, without a warning, where nothing is."""
    known = np.isfinite(values)
    number = known.sum(axis)
    total = np.where(known, values, 0).sum(axis)
    return np.divide(total, number, out=np.full(np.shape(total), np.nan), where=number > 0)
