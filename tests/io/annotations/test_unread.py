"""What no reader takes is named with the way out; outlines of another scale are refused or doubted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cellscope.errors import DatasetError, InputError
from cellscope.io.annotations.formats import FORMATS
from cellscope.io.annotations.label_image import read_label_image
from cellscope.io.annotations.tally import Tally, gathering
from cellscope.io.sources import choose_format
from cellscope.io.write import write_png

SIDE = 64


def square(x: int, y: int, side: int = 6) -> list[list[float]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


PLACES = [(2, 2), (20, 4), (50, 8), (8, 40), (40, 50), (54, 54)]


def collection(factor: float = 1.0) -> dict[str, Any]:
    features = [
        {"type": "Feature", "properties": {"objectType": "detection"},
         "geometry": {"type": "Polygon", "coordinates": [[[factor * v for v in p] for p in square(*place)]]}}
        for place in PLACES
    ]  # fmt: skip
    return {"type": "FeatureCollection", "features": features}


def coco(factor: float = 1.0) -> dict[str, Any]:
    outlines = [[factor * v for p in square(*place)[:4] for v in p] for place in PLACES]
    annotations = [
        {"id": n, "image_id": 1, "category_id": 1, "segmentation": [outline]} for n, outline in enumerate(outlines)
    ]
    facts = {"id": 1, "file_name": "a.png", "width": SIDE, "height": SIDE}
    return {"images": [facts], "annotations": annotations, "categories": [{"id": 1, "name": "nucleus"}]}


def without(content: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != name}


def source(folder: Path, name: str = "a.png") -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    write_png(folder / name, np.zeros((SIDE, SIDE), np.uint8))
    return folder


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("coco.json", json.dumps(without(coco(), "categories")), "coco.json looks like COCO but lacks its categories"),
        ("coco.json", json.dumps(coco()["annotations"]), "coco.json is a list of COCO's annotations without images"),
        ("a.xml", "<annotation><object><bndbox/></object></annotation>", "a.xml is Pascal VOC, which has boxes only"),
        ("a.txt", "0 0.5 0.5 0.1 0.2\n1 0.25 0.5 0.1 0.1\n", "a.txt is YOLO's text"),
        ("a.csv", "# Exported using VGG Image Annotator\n# CSV_HEADER = metadata_id,file_list\n", "a table of VIA 3"),
        ("a_seg.npy", "\x93NUMPY", "a_seg.npy is Cellpose's own record"),
        ("b.geojson", json.dumps(collection()), "b.geojson belongs to no image"),
        ("notes.txt", "seen by two people\n", "1 images and nothing that annotates them"),
    ],
)
def test_what_cannot_be_read_is_named_with_the_way_out(tmp_path: Path, name: str, content: str, words: str) -> None:
    (source(tmp_path) / name).write_text(content, encoding="latin-1")
    with pytest.raises(DatasetError) as caught:
        choose_format(tmp_path, None, FORMATS)
    assert words in str(caught.value)
    assert len(str(caught.value)) <= 500


def test_masks_and_folders_that_fit_nothing_are_named(tmp_path: Path) -> None:
    for name in ("images/day1/a.png", "images/day2/a.png", "masks/a.png"):
        source(tmp_path / "days", name)
    with pytest.raises(DatasetError, match=r"masks/a\.png fits no image, or several"):
        choose_format(tmp_path / "days", None, FORMATS)
    for name in ("control/a.png", "treated/b.png"):
        source(tmp_path / "classes", name)
    with pytest.raises(DatasetError, match=r"its folders \(control, treated\) are no class names"):
        choose_format(tmp_path / "classes", None, FORMATS)


@pytest.mark.parametrize("name", ["a.geojson", "a.png.geojson", "A.GeoJSON", "a.json"])
def test_outlines_may_be_called_as_the_image_with_its_suffix(tmp_path: Path, name: str) -> None:
    (source(tmp_path) / name).write_text(json.dumps(collection()))
    assert choose_format(tmp_path, None, FORMATS) == "qupath"
    [found] = FORMATS["qupath"].read(tmp_path)
    assert len(found.outlines) == len(PLACES)


def test_outlines_of_an_ome_tiff_need_not_repeat_ome(tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((SIDE, SIDE), np.uint8))
    (tmp_path / "a.geojson").write_text(json.dumps(collection()))
    [found] = FORMATS["qupath"].read(tmp_path)
    assert found.path.name == "a.ome.tif"


@pytest.mark.parametrize(("name", "made", "format"), [("coco.json", coco, "coco"), ("a.geojson", collection, "qupath")])
def test_fractions_are_refused_and_another_scale_is_doubted(
    tmp_path: Path, name: str, made: Callable[[float], dict[str, Any]], format: str
) -> None:
    said = {}
    for factor in (1.0, 0.25, 1 / SIDE):
        folder = source(tmp_path / str(factor))
        (folder / name).write_text(json.dumps(made(factor)))
        [found] = FORMATS[format].read(folder)
        with gathering(Tally()) as tally:
            if factor == 1 / SIDE:
                with pytest.raises(DatasetError, match="fractions of the image's size; export them in pixels"):
                    found.check((SIDE, SIDE))
            else:
                found.check((SIDE, SIDE))
        said[factor] = tally.notes
    assert said[1.0] == []
    assert "upper left quarter" in said[0.25][0]


def test_a_jpeg_is_a_mask_of_two_values_or_none(tmp_path: Path) -> None:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[10:30, 12:40] = 255
    Image.fromarray(mask).save(tmp_path / "a.jpg", quality=80)
    np.testing.assert_array_equal(read_label_image(tmp_path / "a.jpg").values, mask)
    numbers = np.zeros((SIDE, SIDE), np.uint8)
    for number, (x, y) in enumerate(PLACES, 1):
        numbers[y : y + 6, x : x + 6] = number
    Image.fromarray(numbers).save(tmp_path / "b.jpg", quality=80)
    with pytest.raises(InputError, match=r"b\.jpg: is a JPEG, which changes the numbers of a mask"):
        read_label_image(tmp_path / "b.jpg")
