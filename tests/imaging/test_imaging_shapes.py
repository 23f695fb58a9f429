"""All objects of a label image at once: the same numbers as scikit-image's, object by object."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from drawn.histo import tissue
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage.measure import regionprops_table

from cellscope.imaging.measure import SHAPE
from cellscope.imaging.shapes import COLUMNS, measure_labels


def agree(labels: np.ndarray) -> None:
    found = measure_labels(labels)
    with np.errstate(all="ignore"):
        names = [name for name in SHAPE if name != "solidity"]
        theirs = pd.DataFrame(regionprops_table(labels, properties=["label", "centroid", "bbox", *names]))
    for name in theirs:
        ours, expected = found[name].to_numpy(), theirs[name].to_numpy()
        if name == "orientation":  # of a straight line, half a turn is nothing; of a round thing, any angle is as good
            round_ = found["eccentricity"] < 1e-3
            ours, expected = np.cos(2 * ours), np.where(round_, np.cos(2 * ours), np.cos(2 * expected))
        np.testing.assert_allclose(ours, expected, atol=1e-6, err_msg=name)


@settings(deadline=None, max_examples=60)
@given(arrays.arrays(np.int32, st.tuples(st.integers(2, 9), st.integers(2, 9)), elements=st.integers(0, 3)))
def test_any_label_image_is_measured_as_scikit_image_does(labels: np.ndarray) -> None:
    agree(labels)


@pytest.mark.filterwarnings("ignore:Failed to get convex hull")
def test_nuclei_are_measured_as_scikit_image_does() -> None:
    for seed in range(4):
        labels = tissue(seed, 200, 40)[1]
        agree(labels)
        theirs = regionprops_table(labels, properties=["solidity"])["solidity"]
        np.testing.assert_allclose(measure_labels(labels)["solidity"], theirs, atol=1e-12)


def test_a_rectangle_by_hand() -> None:
    labels = np.zeros((20, 30), np.int32)
    labels[5:9, 10:20] = 3
    row = measure_labels(labels, (100, 1000)).iloc[0]
    assert row["label"] == 3
    assert (row["centroid-0"], row["centroid-1"]) == (106.5, 1014.5)
    assert row[["bbox-0", "bbox-1", "bbox-2", "bbox-3"]].tolist() == [105, 1010, 109, 1020]
    assert row["area"] == 40
    assert row["perimeter"] == 24  # through the centres of its outermost pixels
    assert row["solidity"] == 1
    assert row["axis_major_length"] == pytest.approx(4 * np.sqrt(99 / 12))
    assert row["axis_minor_length"] == pytest.approx(4 * np.sqrt(15 / 12))
    assert abs(row["orientation"]) == pytest.approx(np.pi / 2)


def test_the_place_in_a_window_changes_no_bit() -> None:
    labels = tissue(3, 200, 40)[1]
    whole = measure_labels(labels)
    for top, left in ((0, 0), (37, 0), (11, 53)):
        window = measure_labels(labels[top:, left:], (top, left))
        inside = whole[(whole["bbox-0"] >= top) & (whole["bbox-1"] >= left)]
        both = window[window["label"].isin(inside["label"])].reset_index(drop=True)
        pd.testing.assert_frame_equal(both, inside.reset_index(drop=True), check_exact=True)


def test_no_object() -> None:
    table = measure_labels(np.zeros((4, 4), np.int32))
    assert table.empty
    assert tuple(table.columns) == COLUMNS
