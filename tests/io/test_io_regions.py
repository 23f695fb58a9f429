"""Regions of interest: what QuPath exports, what lies inside."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from cellscope.errors import UsageError
from cellscope.io.regions import read_regions

SQUARE = [[10, 20], [30, 20], [30, 60], [10, 60], [10, 20]]
HOLE = [[15, 30], [20, 30], [20, 40], [15, 40], [15, 30]]


def polygon(*rings: list) -> dict:
    return {"type": "Polygon", "coordinates": list(rings)}


def feature(geometry: dict | None) -> dict:
    return {"type": "Feature", "properties": {"objectType": "annotation"}, "geometry": geometry}


LAYOUTS = {
    "collection": {"type": "FeatureCollection", "features": [feature(polygon(SQUARE, HOLE)), feature(None)]},
    "list": [feature(polygon(SQUARE, HOLE)), feature({"type": "Point", "coordinates": [1, 2]})],
    "feature": feature({"type": "MultiPolygon", "coordinates": [[SQUARE, HOLE]]}),
    "geometry": polygon(SQUARE, HOLE),
    "geometries": {"type": "GeometryCollection", "geometries": [polygon(SQUARE, HOLE)]},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pixels_inside(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "a.geojson.gz"
    path.write_bytes(gzip.compress(json.dumps(LAYOUTS[layout]).encode()))
    regions = read_regions(path)
    rows, columns = np.mgrid[:80, :50]
    inside = regions.contains(rows.ravel(), columns.ravel()).reshape(80, 50)
    expected = np.zeros((80, 50), bool)
    expected[20:60, 10:30] = True
    expected[30:40, 15:20] = False
    np.testing.assert_array_equal(inside, expected)
    assert abs(int(regions.mask((80, 50), 1.0).sum()) - expected.sum()) < 200  # its outline belongs to it
    small = regions.mask((8, 5), 0.1)
    assert small[2:6, 1:3].any()
    assert not small[7].any()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "no GeoJSON"),
        ("{}", "no GeoJSON"),
        ("null", "no GeoJSON"),
        ("[]", "no polygon"),
        ('{"type": "Point", "coordinates": [1, 2]}', "no polygon"),
        (json.dumps(polygon([[1, 2], [3, 4]])), "three points"),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(content)
    with pytest.raises(UsageError, match=said):
        read_regions(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.geojson"):
        read_regions(tmp_path / "none.geojson")


def named(ring: list, name: str | None = None, class_: str | None = None) -> dict:
    return {**feature(polygon(ring)), "properties": {"name": name, "classification": class_ and {"name": class_}}}


def test_regions_have_the_names_of_annotations(tmp_path: Path) -> None:
    pieces = {**feature({"type": "MultiPolygon", "coordinates": [[SQUARE, HOLE], [HOLE]]}), "properties": {"name": "A"}}
    drawn = [
        named(SQUARE, class_="Tumor"),
        pieces,
        named(SQUARE, "B\nx", "Tumor"),
        named(HOLE, class_="Tumor"),
        feature(polygon(HOLE)),
    ]
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(drawn))
    regions = read_regions(path)
    assert list(regions.names)[:2] + list(regions.names)[3:] == ["Tumor 1", "A", "Tumor 2", "region 1"]
    assert len(set(regions.names)) == 5
    assert regions.members == [0, 1, 1, 2, 3, 4]
    assert [len(each.polygons) for each in regions.each()] == [1, 2, 1, 1, 1]


def test_areas_are_of_what_lies_in_the_image(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(polygon(SQUARE, HOLE)))
    regions = read_regions(path)
    assert regions.area((80, 50)) == 20 * 40 - 5 * 10
    assert regions.area((35, 50)) == 20 * 15 - 5 * 5
    assert regions.area((80, 20)) == 10 * 40 - 5 * 10
    assert regions.area((10, 10)) == 0
    path.write_text(json.dumps(polygon([[-10, 5], [30, 5], [10, 45]])))
    assert read_regions(tmp_path / "a.geojson") is regions  # read once; another file is read anew
    (tmp_path / "b.geojson").write_text(json.dumps(polygon([[-10, 5], [30, 5], [10, 45]])))
    triangle = read_regions(tmp_path / "b.geojson")
    assert triangle.area((100, 100)) == pytest.approx(800 - 100)  # cut at x = 0: a corner of 10 x 20 / 2
