"""Measuring a cut-out mask equals measuring it in the whole image."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from drawn.karyotype import metaphase
from skimage.measure import regionprops

from cellscope.imaging.measure import SHAPE, add_physical, measure_mask


def test_cut_masks_measure_like_whole_images() -> None:
    cell = metaphase(1, crossing=3)
    grey = cell.pixels.astype(np.float32)
    for mask, (x0, y0, x1, y1) in zip(cell.masks[:12], cell.boxes[:12].astype(int), strict=True):
        want = regionprops(mask.astype(np.uint8), intensity_image=grey)[0]
        got = measure_mask(mask[y0:y1, x0:x1], (y0, x0), grey[y0:y1, x0:x1])
        assert [got[f"bbox-{i}"] for i in range(4)] == list(want.bbox)
        np.testing.assert_allclose([got["centroid-0"], got["centroid-1"]], want.centroid)
        np.testing.assert_allclose([got[name] for name in SHAPE], [want[name] for name in SHAPE], rtol=1e-6, atol=1e-9)
        assert got["intensity_mean"] == pytest.approx(grey[mask].mean(), rel=1e-5)


def test_hand_worked_rectangle() -> None:
    got = measure_mask(np.ones((2, 6), bool), (10, 20))
    assert got["area"] == 12
    assert [got[f"bbox-{i}"] for i in range(4)] == [10, 20, 12, 26]
    assert (got["centroid-0"], got["centroid-1"]) == (10.5, 22.5)
    assert abs(got["orientation"]) == pytest.approx(np.pi / 2)  # along the columns
    assert "intensity_mean" not in got


def test_physical_columns() -> None:
    table = pd.DataFrame({"label": [1], "area": [12.0], "axis_major_length": [6.0], "solidity": [1.0]})
    known = add_physical(table, 0.5)
    assert known["area_um2"].tolist() == [3.0]
    assert known["axis_major_length_um"].tolist() == [3.0]
    assert not [name for name in known if name.startswith("solidity_")]
    unknown = add_physical(table, None)
    assert list(unknown) == list(known)
    assert unknown[["area_um2", "axis_major_length_um"]].isna().all().all()
    assert "area_um2" not in table
