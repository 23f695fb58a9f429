"""A crop normalised by sorting it once is what histogram, threshold and medians give."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.filters import threshold_otsu

from cellscope.assays.micronucleus.classify.crops import normalise_crop


def plainly(crop: np.ndarray) -> np.ndarray:
    crop = crop.astype(np.float32)
    low, high = float(crop.min()), float(crop.max())
    if high <= low:
        return np.zeros(crop.shape, np.float32)
    root = np.sqrt(crop - low)
    mask = root > threshold_otsu(root)
    if not mask.any() or mask.all():
        return np.zeros(crop.shape, np.float32)
    background = float(np.median(crop[~mask]))
    return ((crop - background) / max(float(np.median(crop[mask])) - background, 1e-6)).astype(np.float32)


@pytest.mark.parametrize("side", [1, 2, 3, 8, 61])
@pytest.mark.parametrize("levels", [1, 2, 3, 300, 0])
def test_the_same_numbers(side: int, levels: int) -> None:
    rng = np.random.default_rng(side)
    crop = rng.random((side, side + 1)) ** 4 if levels == 0 else rng.integers(0, levels, (side, side + 1))
    found = normalise_crop(crop)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, plainly(crop))
