"""Rows of objects.csv, and the pictures made of them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from drawn.histo import TYPES, tissue
from skimage.segmentation import find_boundaries

from cellscope.assays.histo.classes import CLASSES
from cellscope.assays.histo.measure.figures import LARGEST_WIDTH, SMALLEST_WIDTH, as_geojson, draw_overlay, features
from cellscope.assays.histo.measure.legend import colours_of, scale_length
from cellscope.assays.histo.measure.rows import REASONS, STAIN, context, count_unsure, measure_nuclei
from cellscope.assays.histo.nuclei.postprocess import Nuclei
from cellscope.assays.histo.slides.overview import Overview
from cellscope.imaging.polygons import fill
from cellscope.imaging.stain import stains


def found(labels: np.ndarray, types: dict[int, str]) -> Nuclei:
    probabilities = np.full((len(types), len(CLASSES)), 0.05, np.float32)
    for label, type_ in types.items():
        probabilities[label - 1, TYPES.index(type_)] = 0.85
    return Nuclei(labels, probabilities, np.full(len(types), 0.9, np.float32))


@pytest.fixture(scope="module")
def tile() -> tuple[np.ndarray, Nuclei, pd.DataFrame]:
    image, labels, types = tissue(7, 240, 40)
    nuclei = found(labels, types)
    return image, nuclei, measure_nuclei(image, nuclei, CLASSES, 0.25)


def test_rows_say_what_was_found(tile: tuple[np.ndarray, Nuclei, pd.DataFrame]) -> None:
    image, nuclei, table = tile
    types = tissue(7, 240, 40)[2]
    assert list(table.columns[:8]) == ["label", "class", "score", "review", *(f"p_{name}" for name in CLASSES)]
    assert table["label"].tolist() == list(types)
    assert table["class"].tolist() == list(types.values())
    np.testing.assert_allclose(table[[f"p_{name}" for name in CLASSES]].sum(axis=1), 1, atol=1e-6)
    density = stains(image)
    for row in table.head(5).to_dict("records"):
        inside = density[nuclei.labels == row["label"]]
        assert row["haematoxylin_mean"] == pytest.approx(inside[:, 0].mean(), abs=1e-5)
        assert row["haematoxylin_std"] == pytest.approx(inside[:, 0].std(), abs=1e-5)
        assert row["eosin_mean"] == pytest.approx(inside[:, 1].mean(), abs=1e-5)
        assert row["area_um2"] == pytest.approx(row["area"] / 16)
        assert row["axis_major_length_um"] == pytest.approx(row["axis_major_length"] / 4)
    assert (table["circularity"] <= 1).all()
    assert table.loc[table["class"] == "spindle", "circularity"].mean() < table["circularity"].mean()
    assert (table["haematoxylin_contrast"].dropna() > 0).all()  # purple on pink


def test_the_ring_is_what_lies_around_a_nucleus() -> None:
    labels = np.zeros((60, 60), np.int32)
    cv2.circle(labels, (30, 30), 8, 1, -1)
    image = np.full((60, 60, 3), 255, np.uint8)
    image[labels > 0] = (100, 80, 160)
    distance = cv2.distanceTransform((labels == 0).astype(np.uint8), cv2.DIST_L2, 5)
    image[distance > 9] = 0  # beyond the ring of 2 um
    row = measure_nuclei(image, found(labels, {1: "epithelial"}), CLASSES, 0.25).iloc[0]
    assert row["haematoxylin_contrast"] == pytest.approx(row["haematoxylin_mean"], abs=1e-4)
    assert row["review"] == np.False_
    both = labels + np.where((labels == 0) & (distance < 12), 2, 0).astype(np.int32)
    hidden = measure_nuclei(image, found(both, {1: "epithelial", 2: "spindle"}), CLASSES, 0.25).iloc[0]
    assert np.isnan(hidden["haematoxylin_contrast"])  # the other nucleus lies all around it


def test_reasons_to_look() -> None:
    labels = np.zeros((120, 120), np.int32)
    labels[0:10, 30:40] = 1  # cut by the border
    cv2.circle(labels, (30, 40), 8, 2, -1)
    cv2.circle(labels, (80, 40), 8, 3, -1)
    labels[70:74, 20:60] = labels[70:110, 20:24] = 4  # an angle
    cv2.circle(labels, (90, 90), 8, 5, -1)
    image = np.full((120, 120, 3), (231, 178, 205), np.uint8)
    image[(labels > 0) & (labels != 5)] = (100, 80, 160)
    nuclei = found(labels, dict.fromkeys(range(1, 6), "epithelial"))
    nuclei.probabilities[1] = (0.1, 0.2, 0.5, 0.2)
    nuclei.score[2] = 0.55
    table = measure_nuclei(image, nuclei, CLASSES, 0.25, review_below=0.6)
    assert table["reasons"].tolist() == [
        "cut by the border",
        "type unsure",
        "may not be a nucleus",
        "odd shape, two as one?",
        "no darker than its surroundings",
    ]
    assert table["review"].all()
    assert [count_unsure(table[at : at + 1]) for at in range(5)] == [0, 1, 0, 0, 0]
    assert table["cut_by_border"].tolist() == [True, False, False, False, False]
    inner = measure_nuclei(image, nuclei, CLASSES, 0.25, origin=(50, 0), shape=(500, 500), review_below=0.0)
    assert inner["reasons"].tolist()[:3] == ["", "", ""]
    coarse = measure_nuclei(image, nuclei, CLASSES, 3.0, review_below=0.0)
    assert (coarse["reasons"].str.contains("very large")).all()


def test_one_class_none_found_and_no_pixel_size() -> None:
    image, labels, types = tissue(2)
    nuclei = found(labels, types)
    single = Nuclei(labels, np.ones((len(types), 1), np.float32), nuclei.score)
    table = measure_nuclei(image, single, ("nucleus",), None)
    assert not [name for name in table if name.startswith("p_")]
    assert set(table["class"]) == {"nucleus"}
    assert table["area_um2"].isna().all()
    none = Nuclei(np.zeros((30, 30), np.int32), np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    empty = measure_nuclei(image[:30, :30], none, CLASSES, 0.25)
    assert empty.empty
    assert list(empty.columns) == list(measure_nuclei(image, nuclei, CLASSES, 0.25).columns)


def test_a_window_gives_the_rows_of_the_whole(tile: tuple[np.ndarray, Nuclei, pd.DataFrame]) -> None:
    image, nuclei, whole = tile
    top, left, margin = 41, 67, context(0.25)
    labels = nuclei.labels[top:, left:]
    numbers = np.unique(labels)[1:]
    new = np.zeros(int(nuclei.labels.max()) + 1, np.int32)
    new[numbers] = np.arange(1, len(numbers) + 1)
    window = Nuclei(new[labels], nuclei.probabilities[numbers - 1], nuclei.score[numbers - 1])
    table = measure_nuclei(image[top:, left:], window, CLASSES, 0.25, origin=(top, left), shape=image.shape[:2])
    table["label"] = numbers
    inner = whole[(whole["bbox-0"] >= top + margin) & (whole["bbox-1"] >= left + margin)]
    assert len(inner) > 5
    mine = table[table["label"].isin(inner["label"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, inner.reset_index(drop=True), check_exact=True)


def test_the_overlay_shows_types_and_reviews(tile: tuple[np.ndarray, Nuclei, pd.DataFrame]) -> None:
    image, nuclei, table = tile
    picture = draw_overlay(image, nuclei.labels, table, CLASSES, 0.25)
    assert picture.shape[1] == 240 * 5 >= SMALLEST_WIDTH
    assert picture.shape[0] > picture.shape[1]  # the legend below
    shown = picture[: 240 * 5]
    for name in set(table["class"]):
        assert (shown == colours_of(CLASSES)[name]).all(-1).sum() > 50
    plain = cv2.resize(image, (1200, 1200), interpolation=cv2.INTER_CUBIC)
    assert (shown != plain).any(-1).mean() < 0.2  # the tissue stays visible
    wide = draw_overlay(np.tile(image, (1, 20, 1)), np.tile(nuclei.labels, (1, 20)), table, CLASSES)
    assert wide.shape[1] == LARGEST_WIDTH
    nothing = measure_nuclei(
        image, Nuclei(np.zeros_like(nuclei.labels), nuclei.probabilities[:0], nuclei.score[:0]), CLASSES, None
    )
    assert draw_overlay(image, np.zeros_like(nuclei.labels), nothing, CLASSES).shape[1] == 1200


def test_colours_differ_and_hold_for_any_types() -> None:
    for classes in (CLASSES, ("nucleus",), ("a", "b", "c", "d", "e", "f", "g", "h")):
        assert len(set(colours_of(classes).values())) == len(classes)
        assert all(min(colour) < 160 for colour in colours_of(classes).values())  # not white on QuPath's white
    assert colours_of(("epithelial", "mine"))["epithelial"] == colours_of(CLASSES)["epithelial"]
    assert len(colours_of(tuple("abcdefghij"))) == 10


@pytest.mark.parametrize(("um", "width", "expected"), [(0.25, 1000, 20), (0.5, 1000, 50), (8, 4096, 5000), (1, 70, 10)])
def test_scale_bars_are_round(um: float, width: int, expected: float) -> None:
    length, pixels = scale_length(um, width)
    assert length == pytest.approx(expected)
    assert pixels == round(expected / um)
    assert pixels <= width / 6


def test_geojson_gives_the_labels_back(tile: tuple[np.ndarray, Nuclei, pd.DataFrame]) -> None:
    _, nuclei, table = tile
    content = json.loads(json.dumps(as_geojson(nuclei.labels, table, "a.tif", CLASSES), allow_nan=False))
    assert len(content["features"]) == len(table)
    drawn = np.zeros_like(nuclei.labels)
    for one in content["features"]:
        label = int(one["properties"]["measurements"]["label"])
        fill(drawn, one["geometry"], label)
        row = table.set_index("label").loc[label]
        assert one["properties"]["classification"]["name"] == row["class"]
        assert one["properties"]["measurements"]["review"] == float(row["review"])
    np.testing.assert_array_equal(drawn, nuclei.labels)
    moved = features(nuclei.labels, table, "a.tif", CLASSES, origin=(1000, 2000))
    first, second = (np.array(one["geometry"]["coordinates"][0]) for one in (moved[0], content["features"][0]))
    np.testing.assert_allclose(first, second + np.array([2000, 1000]))
    assert moved[0]["id"] == content["features"][0]["id"]


def test_a_slide_is_drawn_from_batches(tile: tuple[np.ndarray, Nuclei, pd.DataFrame]) -> None:
    image, _, table = tile
    small = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    whole, parts = (Overview(small, 0.5, CLASSES, 0.25) for _ in range(2))
    whole.add(table)
    for start in range(0, len(table), 7):
        parts.add(table.iloc[start : start + 7])
    parts.add(table.iloc[:0])
    np.testing.assert_array_equal(whole.overlay(), parts.overlay())
    np.testing.assert_array_equal(whole.counts, parts.counts)
    assert whole.counts.sum() == len(table)
    assert whole.density().ndim == 3


def test_densities_are_per_square_millimetre() -> None:
    height, width, step = 4000, 6000, 50  # one nucleus per 50 x 50 pixels of 0.5 um: 1600 per mm2
    rows, columns = np.mgrid[step // 2 : height : step, step // 2 : width : step]
    table = pd.DataFrame(
        {
            "centroid-0": rows.ravel().astype(float),
            "centroid-1": columns.ravel().astype(float),
            "class": "epithelial",
            "review": False,
            "area": 80.0,
        }
    )
    overview = Overview(np.full((200, 300, 3), 240, np.uint8), 0.05, CLASSES, 0.5)
    overview.add(table)
    density = overview.per_area()
    np.testing.assert_allclose(density[..., CLASSES.index("epithelial")], 1600, rtol=0.06)
    assert not density[..., 0].any()
    unknown = Overview(np.full((200, 300, 3), 240, np.uint8), 0.05, CLASSES, None)
    unknown.add(table)
    np.testing.assert_allclose(unknown.per_area()[..., CLASSES.index("epithelial")], 400, rtol=0.06)
    assert unknown.density().shape[2] == 3


def test_every_column_and_reason_is_explained(tile: tuple[np.ndarray, Nuclei, pd.DataFrame]) -> None:
    page = (Path(__file__).parents[4] / "docs/histo.md").read_text(encoding="utf-8")
    table = tile[2]
    for name in (*table, *REASONS):
        told = name in ("label", "bbox-1", "bbox-2") or name.endswith("_um")  # general, or shown by their kind
        assert told or f"`{name}`" in page, name
    assert set(STAIN) < set(table)


@pytest.mark.parametrize(("factor", "pixel"), [(1.0, 0.5), (0.5, 0.25)])
def test_a_picture_that_is_fine_enough_shows_outlines(factor: float, pixel: float) -> None:
    image, labels, types = tissue(4, 240, 30)
    table = measure_nuclei(image, found(labels, types), CLASSES, pixel)
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    overview, coarse = Overview(small, factor, CLASSES, pixel), Overview(small, factor, CLASSES, pixel * 4)
    assert overview.outlined
    assert not coarse.outlined
    before = overview.canvas.copy()
    moved = table.assign(**{name: table[name] + 40 for name in ("centroid-0", "centroid-1")})
    overview.add(moved.iloc[:0], labels)
    inside = moved[moved["label"].isin(np.unique(labels[:200, :200]))]
    overview.add(inside, np.ascontiguousarray(labels[:200, :200]), (40, 40))
    drawn = (overview.canvas != before).any(-1)
    shifted = np.zeros_like(labels)
    shifted[40:, 40:] = labels[:200, :200]
    rim = find_boundaries(shifted, mode="inner").astype(np.uint8)
    near = cv2.dilate(rim, np.ones((5, 5), np.uint8))  # the line is drawn with soft edges
    near = cv2.resize(near, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) > 0
    assert drawn.sum() > 300
    assert near[drawn].mean() > 0.97
