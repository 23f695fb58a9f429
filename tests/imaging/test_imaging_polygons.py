"""GeoJSON outlines."""

from __future__ import annotations

import json
import uuid

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage
from shapely.geometry import shape
from shapely.validation import explain_validity

from cellscope.imaging.polygons import collection, feature, fill, outline, outlines


def area(ring: list[list[float]]) -> float:
    x, y = np.array(ring).T
    return 0.5 * float(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1]))


def polygons(geometry: dict) -> list:
    return geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]


def test_a_rectangle_by_hand() -> None:
    mask = np.ones((2, 3), bool)
    geometry = outline(mask, (10, 20))
    assert geometry["type"] == "Polygon"
    (ring,) = geometry["coordinates"]
    assert ring[0] == ring[-1]
    x, y = np.array(ring).T
    assert (x.min(), x.max(), y.min(), y.max()) == (20, 23, 10, 12)
    assert area(ring) == pytest.approx(6 - 4 * 0.125)  # four corners are cut


def test_one_pixel_has_an_outline() -> None:
    (ring,) = outline(np.ones((1, 1), bool))["coordinates"]
    assert len(ring) == 5
    assert area(ring) == pytest.approx(0.5)


def test_holes_and_parts() -> None:
    mask = np.zeros((12, 24), bool)
    mask[1:11, 1:11] = True
    mask[3:6, 3:6] = False
    mask[2:5, 15:20] = True
    geometry = outline(mask)
    assert geometry["type"] == "MultiPolygon"
    assert sorted(len(rings) for rings in geometry["coordinates"]) == [1, 2]
    ringed = max(geometry["coordinates"], key=len)
    assert area(ringed[0]) > 0 > area(ringed[1])


@settings(deadline=None, max_examples=60)
@given(arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))).filter(np.any))
def test_outlines_drawn_again_give_the_mask(mask: np.ndarray) -> None:
    """Every pixel centre inside the mask is inside exactly one polygon and in none of its holes."""
    geometry = outline(mask)
    for row, column in np.ndindex(mask.shape):
        point = (column + 0.5, row + 0.5)
        hits = 0
        for rings in polygons(geometry):
            inside = [cv2.pointPolygonTest(np.array(ring, np.float32), point, False) > 0 for ring in rings]
            hits += inside[0] and not any(inside[1:])
        assert hits == mask[row, column]


@settings(deadline=None, max_examples=150)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3)))
def test_another_library_finds_outlines_valid_and_of_the_right_size(labels: np.ndarray) -> None:
    """No ring crosses or touches itself or another, and objects side by side do not overlap."""
    shapes = {label: shape(geometry) for label, geometry in outlines(labels).items()}
    for label, polygon in shapes.items():
        assert polygon.is_valid, explain_validity(polygon)
        # A ring cuts every corner by an eighth of a pixel, so at most half a pixel for each pixel it surrounds.
        assert abs(polygon.area - (labels == label).sum()) <= 0.5 * (labels == label).sum() + 1e-9
    for label, polygon in shapes.items():
        assert all(polygon.intersection(other).area < 1e-9 for number, other in shapes.items() if number > label)


def test_outlines_of_labels() -> None:
    labels = np.zeros((10, 10), int)
    labels[1:3, 1:3], labels[5:9, 4:8] = 2, 7
    found = outlines(labels)
    assert sorted(found) == [2, 7]
    assert min(x for x, _ in found[7]["coordinates"][0]) == 4


def test_features_are_stable_and_plain_json() -> None:
    geometry = outline(np.ones((2, 2), bool))
    values = {"area": np.int64(4), "lost": float("nan"), "note": "text"}
    settings = {"label": 3, "classification": "nucleus", "colour": (1, 2, 3), "measurements": values}
    made = feature(geometry, image="day/a.tif", **settings)
    assert made == feature(geometry, image="day/a.tif", **settings)
    assert made["id"] != feature(geometry, image="day/b.tif", **settings)["id"]
    assert uuid.UUID(made["id"])
    assert made["properties"]["objectType"] == "detection"
    assert made["properties"]["measurements"] == {"label": 3, "area": 4.0}
    json.dumps(collection([made]), allow_nan=False)


def test_an_empty_mask_has_no_outline() -> None:
    with pytest.raises(ValueError, match="empty"):
        outline(np.zeros((3, 3), bool))


def test_filling_an_outline_gives_the_mask_back() -> None:
    rng = np.random.default_rng(0)
    blobs = ndimage.gaussian_filter(rng.normal(size=(60, 70)), 2)
    mask = blobs > 0.02  # parts, holes, corners that touch, the image's border
    drawn = np.zeros(mask.shape, np.int32)
    assert fill(drawn, outline(mask), 7)
    np.testing.assert_array_equal(drawn, mask * 7)
    square = {"type": "Polygon", "coordinates": [[[2, 1], [5, 1], [5, 3], [2, 3]]]}  # corners of pixels, left open
    drawn = np.zeros((4, 4), np.int32)
    assert fill(drawn, square, 1)
    assert drawn.tolist() == [[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]]
    away = {"type": "Polygon", "coordinates": [[[20, 20], [25, 20], [25, 23]]]}
    assert not fill(drawn, away, 1)
    with pytest.raises(ValueError, match="LineString has no area"):
        fill(drawn, {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}, 1)
    with pytest.raises(ValueError, match="three points"):
        fill(drawn, {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}, 1)
