"""Outlines of QuPath, LabelMe, VIA, CVAT, Aperio and ImageJ: the same nuclei from each; every drop is counted."""

from __future__ import annotations

import base64
import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import roifile

from cellscope.errors import CellscopeError, DatasetError
from cellscope.io.annotations.formats import FORMATS
from cellscope.io.annotations.outline import draw
from cellscope.io.annotations.tally import Tally, gathering
from cellscope.io.write import write_png

SQUARES = {"tumour": (10, 10, 30, 26), "stroma": (40, 8, 52, 40)}
SHAPE = (48, 64)


def ring(x0: int, y0: int, x1: int, y1: int) -> list[list[int]]:
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def expected() -> np.ndarray:
    drawn = np.zeros(SHAPE, np.int32)
    for number, (x0, y0, x1, y1) in enumerate(SQUARES.values(), 1):
        drawn[y0:y1, x0:x1] = number
    return drawn


def image(folder: Path, name: str = "images/a.png") -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    write_png(folder / name, np.zeros(SHAPE, np.uint8))
    return folder


def geojson(folder: Path) -> None:
    features = [
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[*ring(*box), ring(*box)[0]]]},
         "properties": {"objectType": "annotation", "classification": {"name": name}}}
        for name, box in SQUARES.items()
    ]  # fmt: skip
    (folder / "images/a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def labelme(folder: Path) -> None:
    (first, one), (second, two) = SQUARES.items()
    shapes = [
        {"label": first, "points": ring(*one), "shape_type": "polygon"},
        {"label": second, "points": [[two[0], two[1]], [two[2], two[3]]], "shape_type": "rectangle"},
        {"label": "x", "points": [[1, 1]], "shape_type": "point"},
    ]
    content = {
        "version": "5.4",
        "shapes": shapes,
        "imagePath": "..\\images\\a.png",
        "imageWidth": 64,
        "imageHeight": 48,
    }
    (folder / "labels").mkdir()
    (folder / "labels/a.json").write_text(json.dumps(content))


def via(folder: Path) -> None:
    (first, one), (second, two) = SQUARES.items()
    points = np.array(ring(*one))
    regions = [
        {"shape_attributes": {"name": "polygon", "all_points_x": points[:, 0].tolist(),
                              "all_points_y": points[:, 1].tolist()}, "region_attributes": {"type": first}},
        {"shape_attributes": {"name": "rect", "x": two[0], "y": two[1], "width": two[2] - two[0],
                              "height": two[3] - two[1]}, "region_attributes": {"type": {second: True}}},
    ]  # fmt: skip
    project = {"a.png123": {"filename": "a.png", "size": 123, "regions": regions}}
    (folder / "via.json").write_text(json.dumps({"_via_settings": {}, "_via_img_metadata": project}))


def cvat(folder: Path) -> None:
    (first, one), (second, two) = SQUARES.items()
    points = ";".join(f"{x}.0,{y}.0" for x, y in ring(*one))
    width, height = two[2] - two[0], two[3] - two[1]
    (folder / "annotations.xml").write_text(
        f'<annotations><image id="0" name="a.png" width="64" height="48"><polygon label="{first}" '
        f'points="{points}"/><mask label="{second}" rle="0, {width * height}" left="{two[0]}" top="{two[1]}" '
        f'width="{width}" height="{height}"/></image></annotations>'
    )


def aperio(folder: Path) -> None:
    regions = "".join(
        "<Region><Vertices>" + "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in ring(*box)) + "</Vertices></Region>"
        for box in SQUARES.values()
    )
    (folder / "images/a.xml").write_text(
        f"<Annotations><Annotation><Regions>{regions}</Regions></Annotation></Annotations>"
    )


def imagej(folder: Path) -> None:
    rois = [roifile.ImagejRoi.frompoints(np.array(ring(*box), np.float32)) for box in SQUARES.values()]
    roifile.roiwrite(folder / "RoiSet.zip", rois)


WRITERS: dict[str, Callable[[Path], None]] = {
    "qupath": geojson, "labelme": labelme, "via": via, "cvat": cvat, "aperio": aperio, "imagej": imagej,
}  # fmt: skip
TYPED = ("qupath", "labelme", "via", "cvat")


def read(format: str, folder: Path) -> tuple[list[np.ndarray], list[list[str]], Tally]:
    with gathering() as tally:
        drawn, classes = [], []
        for one in FORMATS[format].read(folder):
            one.check(SHAPE)
            drawn.append(draw(one, one.outlines, SHAPE))
            classes.append([outline.class_ for outline in one.outlines])
    return drawn, classes, tally


@pytest.mark.parametrize("format", sorted(WRITERS))
def test_every_program_gives_the_same_nuclei(tmp_path: Path, format: str) -> None:
    WRITERS[format](image(tmp_path))
    assert [name for name, reader in FORMATS.items() if reader.detect(tmp_path)] == [format]
    (drawn,), (classes,), tally = read(format, tmp_path)
    np.testing.assert_array_equal(drawn, expected())
    assert classes == (list(SQUARES) if format in TYPED else ["", ""])
    assert sum(tally.dropped.values()) == (format == "labelme")


def feature(box: tuple[int, int, int, int], **properties: Any) -> dict[str, Any]:
    geometry = {"type": "Polygon", "coordinates": [[*ring(*box), ring(*box)[0]]]}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def qupath(folder: Path, content: Any) -> tuple[np.ndarray, list[str], Tally]:
    image(folder)
    (folder / "images/a.geojson").write_text(json.dumps(content))
    (drawn,), (classes,), tally = read("qupath", folder)
    return drawn, classes, tally


def test_all_versions_of_qupath(tmp_path: Path) -> None:
    old = feature((5, 5, 9, 9), classification={"name": "Tumor", "colorRGB": -377282}) | {"id": "PathDetectionObject"}
    drawn, classes, _ = qupath(tmp_path / "old", [old, feature((0, 0, 60, 40)) | {"id": "PathAnnotationObject"}])
    assert (drawn.max(), classes) == (1, ["Tumor"])
    for properties in (
        {"classification": "Tumor"},
        {"type": "Tumor"},
        {"Class": "Tumor"},
        {"classification": {"names": ["Tumor"]}},
    ):
        drawn, classes, _ = qupath(tmp_path / str(properties), [feature((5, 5, 9, 9), **properties)])
        assert classes == ["Tumor"]
    tiles = [feature((5, 5, 9, 9), objectType="annotation"), feature((0, 0, 60, 40), objectType="tile")]
    drawn, _, tally = qupath(tmp_path / "tiles", {"type": "FeatureCollection", "features": tiles})
    assert (drawn > 0).sum() == 16
    assert any("tiles and TMA cores" in line for line in tally.lines())
    drawn, _, _ = qupath(tmp_path / "bare", {"type": "Polygon", "coordinates": [ring(5, 5, 9, 9)]})
    assert (drawn > 0).sum() == 16
    (tmp_path / "bare/images/a.geojson").unlink()
    packed = gzip.compress(json.dumps([feature((5, 5, 9, 9))]).encode())
    (tmp_path / "bare/images/a.geojson.gz").write_bytes(packed)
    assert read("qupath", tmp_path / "bare")[0][0].max() == 1
    (tmp_path / "bare/images/a.geojson.gz").write_bytes(packed[:-12])
    with pytest.raises(DatasetError, match=r"a\.geojson\.gz: cannot be read"):
        read("qupath", tmp_path / "bare")


def test_parts_and_regions(tmp_path: Path) -> None:
    boxes = [(4 + 14 * (k % 4), 4 + 14 * (k // 4), 12 + 14 * (k % 4), 12 + 14 * (k // 4)) for k in range(8)]
    many = {"type": "MultiPolygon", "coordinates": [[ring(*box)] for box in boxes]}
    one = {"type": "Feature", "geometry": many, "properties": {"objectType": "detection"}}
    drawn, _, tally = qupath(tmp_path / "a", [one])
    assert drawn.max() == 8
    assert any("MultiPolygon of 8 parts" in line for line in tally.lines())
    few = one | {"geometry": many | {"coordinates": many["coordinates"][:2]}}
    assert qupath(tmp_path / "b", [few])[0].max() == 1  # a detection that another one crosses
    few = few | {"properties": {"objectType": "annotation"}}
    assert qupath(tmp_path / "c", [few])[0].max() == 2
    nuclei = [feature(box, objectType="annotation") for box in boxes]
    circle = cv2.ellipse2Poly((32, 24), (34, 26), 0, 0, 360, 10).tolist()
    around = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [circle]}, "properties": {}}
    drawn, _, tally = qupath(tmp_path / "d", [around, *nuclei])
    assert len(np.unique(drawn)) == 9
    assert (drawn > 0).sum() == 8 * 64
    assert any("regions" in line and "object 1" in line for line in tally.lines())
    drawn, _, tally = qupath(tmp_path / "e", [feature((0, 0, 9, 9), classification="Region*"), *nuclei])
    assert len(np.unique(drawn)) == 9


def test_objects_that_cannot_be_are_named(tmp_path: Path) -> None:
    far = feature((5, 5, 9, 9))
    far["geometry"]["coordinates"][0][1] = [2**31, 7]
    cases: dict[str, Any] = {
        "no image reaches": far,
        "has no area": {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 1]}, "properties": {}},
        "has no geometry": {"type": "Feature", "geometry": None, "properties": None},
        "other than points with x and y": {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[1, 2, 3]]},
        },
        "outside the image": feature((100, 100, 120, 120)),
    }
    for number, (words, given) in enumerate(cases.items()):
        with pytest.raises(DatasetError, match=rf"a\.geojson.*object 1.*{words}"):
            qupath(tmp_path / str(number), [given])


def test_labelme_masks_circles_and_groups(tmp_path: Path) -> None:
    mask = np.zeros((6, 8), np.uint8)
    mask[1:5, 2:7] = 1
    encoded = base64.b64encode(cv2.imencode(".png", mask * 255)[1].tobytes()).decode()
    shapes = [
        {"label": "m", "points": [[20, 10], [28, 16]], "shape_type": "mask", "mask": encoded},
        {"label": "c", "points": [[50, 30], [55, 30]], "shape_type": "circle"},
        {"label": "g", "points": ring(2, 2, 6, 6), "shape_type": "polygon", "group_id": 1},
        {"label": "g", "points": ring(8, 2, 12, 6), "shape_type": "polygon", "group_id": 1},
    ]
    image(tmp_path)
    (tmp_path / "images/a.json").write_text(json.dumps({"shapes": shapes, "imagePath": "a.png"}))
    (drawn,), (classes,), _ = read("labelme", tmp_path)
    assert classes == ["m", "c", "g"]
    assert (drawn == 1).sum() == 20
    assert drawn[11, 22] == 1
    assert abs((drawn == 2).sum() - np.pi * 25) < 6
    assert (drawn == 3).sum() == 32


def test_videos_and_projects_of_other_versions_are_refused_with_a_way_out(tmp_path: Path) -> None:
    image(tmp_path)
    (tmp_path / "a.xml").write_text('<annotations><track id="0"><box frame="0"/></track></annotations>')
    with pytest.raises(DatasetError, match=r"tracks of a video; export it as 'CVAT for images 1\.1'"):
        read("cvat", tmp_path)
    three = {"project": {}, "config": {}, "attribute": {}, "file": {}, "metadata": {}, "view": {}, "_via_": ""}
    (tmp_path / "v.json").write_text(json.dumps(three))
    with pytest.raises(DatasetError, match="VIA 3; export it as COCO"):
        read("via", tmp_path)


@pytest.mark.parametrize("format", sorted(WRITERS))
def test_damaged_files_give_one_line(tmp_path: Path, format: str) -> None:
    WRITERS[format](image(tmp_path))
    [path] = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".png"]
    whole = path.read_bytes()
    draws = random.Random(format)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(draws.randint(1, 4)):
            place, kind = draws.randrange(len(data)), draws.randrange(3)
            if kind == 0:
                data[place] = draws.randrange(256)
            elif kind == 1:
                del data[place : place + draws.randint(1, 30)]
            else:
                data[place:place] = draws.choice([b"9" * 12, b"-1e400", b"NaN", b"null", b"[[", b'"', b"{}", b"\x00"])
            data = data or bytearray(b" ")
        path.write_bytes(data)
        said = ""
        try:
            if FORMATS[format].detect(tmp_path):
                read(format, tmp_path)
        except CellscopeError as error:
            said = str(error)
        assert "\n" not in said
        assert len(said) < 600
