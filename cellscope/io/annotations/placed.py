"""Whether outlines lie on what they outline: nuclei differ from their surroundings, misplaced outlines do not."""

from __future__ import annotations

import numpy as np

#: Fewer objects say nothing, and of right ones at least this share differs as it should (of misplaced ones half).
FEWEST, LEAST_SHARE = 10, 0.7
#: Around each object, so many pixels are compared with its inside.
RING = 4


def misplaced(right: int, compared: int) -> bool:
    """Say whether so many of so many objects that differ from their surroundings are too few; see `standing_out`."""
    return compared >= FEWEST and right < LEAST_SHARE * compared


def standing_out(pixels: np.ndarray, labels: np.ndarray, *, dark: bool) -> tuple[int, int]:
    """Count the objects that differ from what lies around them as nuclei do.

    Parameters
    ----------
    pixels : (H, W) or (H, W, C)
    labels : (H, W) int
    dark : bool
        Nuclei are darker than their surroundings, as stained ones in transmitted light; else brighter.

    Returns
    -------
    right, compared : int
        Objects whose mean is on the right side of their ring's, and those that have a ring.
    """
    from skimage.segmentation import expand_labels

    grey = np.asarray(pixels, np.float32)
    grey = grey if grey.ndim == 2 else grey.mean(2)
    count = int(labels.max(initial=0)) + 1
    around = np.where(labels > 0, 0, expand_labels(labels, RING))
    means = []
    for numbers in (labels.ravel(), around.ravel()):
        sizes = np.bincount(numbers, minlength=count)[1:]
        with np.errstate(invalid="ignore", divide="ignore"):
            means.append(np.bincount(numbers, grey.ravel(), count)[1:] / sizes)
    inside, outside = means
    compared = np.isfinite(inside) & np.isfinite(outside)
    right = inside < outside if dark else inside > outside
    return int((right & compared).sum()), int(compared.sum())
