"""COCO as tools export it: read right, or refused with file and annotation named; never silently less."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as pyc

from cellscope.errors import DatasetError
from cellscope.io.annotations import coco, rle
from cellscope.io.annotations.outline import draw
from cellscope.io.annotations.tally import Tally, gathering
from cellscope.io.write import write_png

SQUARE = [10.0, 10.0, 20.0, 10.0, 20.0, 20.0, 10.0, 20.0]


def content(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}],
        "annotations": [
            {"id": 5, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [10, 10, 10, 10], "segmentation": [SQUARE]}
        ],
        "categories": [{"id": 1, "name": "nucleus"}],
    }
    return base | changes


def source(folder: Path, given: Any, where: str = "coco.json", images: tuple[str, ...] = ("a.png",)) -> Path:
    for name in images:
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        write_png(folder / "images" / name, np.zeros((48, 64), np.uint8))
    (folder / where).parent.mkdir(parents=True, exist_ok=True)
    (folder / where).write_text(given if isinstance(given, str) else json.dumps(given), encoding="utf-8")
    return folder


def annotation(**changes: Any) -> dict[str, Any]:
    return content()["annotations"][0] | changes


def read(folder: Path) -> tuple[list[np.ndarray], Tally]:
    """Label images of all images, and the account."""
    with gathering() as tally:
        images = coco.read(folder)
        drawn = []
        for image in images:
            image.check((48, 64))
            drawn.append(draw(image, [one for one in image.outlines if one.geometry], (48, 64)))
    return drawn, tally


def refused(folder: Path, given: Any) -> str:
    with pytest.raises(DatasetError) as error:
        read(source(folder, given))
    text = str(error.value)
    assert "coco.json" in text
    assert "\n" not in text
    assert len(text) < 500
    return text


@pytest.mark.parametrize(
    "segmentation",
    [
        [SQUARE],
        SQUARE,
        [[[x, y] for x, y in zip(SQUARE[::2], SQUARE[1::2], strict=True)]],
        [[x, y] for x, y in zip(SQUARE[::2], SQUARE[1::2], strict=True)],
        [[{"x": x, "y": y} for x, y in zip(SQUARE[::2], SQUARE[1::2], strict=True)]],
        json.dumps([SQUARE]),
        [SQUARE, [1.0, 1.0, 2.0, 2.0]],
    ],
)
def test_every_way_to_write_a_polygon(tmp_path: Path, segmentation: Any) -> None:
    (drawn,), tally = read(source(tmp_path, content(annotations=[annotation(segmentation=segmentation)])))
    expected = pyc.decode(pyc.merge(pyc.frPyObjects([SQUARE], 48, 64)))
    np.testing.assert_array_equal(drawn, expected)
    assert not tally.dropped


@pytest.mark.parametrize("segmentation", [[[10, 10, 20, 20]], [[]], [[10, 10]]])
def test_outlines_of_fewer_than_three_points_are_dropped_and_counted(tmp_path: Path, segmentation: Any) -> None:
    bad = annotation(id=6, segmentation=segmentation)
    (drawn,), tally = read(source(tmp_path, content(annotations=[annotation(), bad])))
    assert drawn.max() == 1
    assert sum(tally.dropped.values()) == 1
    assert any("coco.json: annotation 6" in line for line in tally.lines())


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ([[1, 2, 3, 4, 5, 6, 7]], "odd number"),
        ([[1, 2, float("nan"), 4, 5, 6]], "not finite"),
        ([[1, 2, float("inf"), 4, 5, 6]], "not finite"),
        ([[1, 2, 2**31, 4, 5, 6]], "no image reaches"),
        ([[1, 2, 1e300, 4, 5, 6]], "no image reaches"),
        ([[1, 2, "three", 4, 5, 6]], "other than numbers"),
        ([[1, 2, 1000, 4, 5, 6]], "outside the image"),
        ([[500, 500, 520, 500, 520, 520]], "outside the image"),
        ("[[1, 2", "no JSON"),
        (17, "neither"),
        ({"size": [2**20, 2**20], "counts": [2**40]}, "image of"),
        ({"size": [48, 64], "counts": [5]}, "add up to 5"),
        ({"size": [48, 64], "counts": [48 * 64 + 5, -5]}, "negative"),
        ({"size": [48, 64], "counts": "0"}, "add up to"),
        ({"size": [48, 64], "counts": "~~~"}, "letter"),
        ({"size": [48, 64], "counts": "oooooooooooo"}, "end in the middle|too large"),
        ({"size": [48, 64], "counts": {"a": 1}}, "neither a list nor a text"),
        ({"size": "big", "counts": [1]}, "not a height and a width"),
        ({"counts": [1]}, "not a height and a width"),
    ],
)
def test_what_cannot_be_an_outline_is_refused_by_name(tmp_path: Path, segmentation: Any, words: str) -> None:
    said = refused(tmp_path, content(annotations=[annotation(segmentation=segmentation)]))
    assert "annotation 5" in said
    assert any(word in said for word in words.split("|")), said


def test_run_lengths_are_those_of_pycocotools(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).random((48, 64)) > 0.7
    coded = pyc.encode(np.asfortranarray(mask.astype(np.uint8)))
    segmentation = {"size": [48, 64], "counts": coded["counts"].decode()}
    (drawn,), _ = read(source(tmp_path, content(annotations=[annotation(segmentation=segmentation)])))
    np.testing.assert_array_equal(drawn, mask)


@given(st.lists(st.booleans(), min_size=1, max_size=400), st.integers(1, 20))
def test_run_lengths_round_trip(bits: list[bool], height: int) -> None:
    bits = bits[: len(bits) // height * height] or [True] * height
    mask = np.array(bits, np.uint8).reshape(height, -1, order="F")
    coded = pyc.encode(np.asfortranarray(mask))
    runs = rle.parse_counts(coded["counts"])
    np.testing.assert_array_equal(rle.decode(runs, *mask.shape), mask.astype(bool))


@given(st.binary(max_size=60))
def test_damaged_run_lengths_raise_nothing_but_value_errors(counts: bytes) -> None:
    with contextlib.suppress(ValueError):
        rle.decode(rle.parse_counts(counts), 8, 8)


@pytest.mark.parametrize("kind", [str, float])
def test_ids_of_another_type_are_the_same_ids(tmp_path: Path, kind: type) -> None:
    given = annotation(image_id=kind(1), category_id=kind(1))
    (drawn,), tally = read(source(tmp_path, content(annotations=[given])))
    assert drawn.max() == 1
    assert not tally.dropped


def test_orphans_are_counted_and_a_file_of_orphans_is_refused(tmp_path: Path) -> None:
    (drawn,), tally = read(source(tmp_path / "a", content(annotations=[annotation(), annotation(id=6, image_id=9)])))
    assert drawn.max() == 1
    assert any("image_id 9" in line for line in tally.lines())
    assert "no annotation belongs" in refused(tmp_path / "b", content(annotations=[annotation(image_id=9)]))
    bare = annotation(item_id=1)
    del bare["image_id"]
    assert "has no image_id (it has" in refused(tmp_path / "c", content(annotations=[bare]))


def test_equal_ids(tmp_path: Path) -> None:
    image = content()["images"][0]
    assert "two images have the id 1" in refused(
        tmp_path / "a", content(images=[image, image | {"file_name": "b.png"}])
    )
    categories = [{"id": 1, "name": "x"}, {"id": "1", "name": "y"}]
    assert "stands for x and y" in refused(tmp_path / "b", content(categories=categories))
    (drawn,), tally = read(source(tmp_path / "c", content(annotations=[annotation(), annotation(id=6)])))
    assert drawn.max() == 1  # the same outline twice is one object
    assert any("twice" in line for line in tally.lines())


def test_sizes_categories_and_boxes(tmp_path: Path) -> None:
    image = content()["images"][0] | {"width": 32, "height": 24}
    with pytest.raises(DatasetError, match=r"64 x 48 pixels but the annotation file coco\.json says 32 x 24"):
        read(source(tmp_path / "a", content(images=[image])))
    assert "category 7, but declared are 1" in refused(tmp_path / "b", content(annotations=[annotation(category_id=7)]))
    corners = [annotation(id=n, bbox=[30 + n, 20, 60, 40], segmentation=[]) for n in range(4)]
    assert "two corners" in refused(tmp_path / "c", content(annotations=corners))
    outlined = [annotation(id=n, bbox=[10, 10, 20, 20]) for n in range(4)]
    assert "two corners" in refused(tmp_path / "d", content(annotations=outlined))
    assert "no width" in refused(tmp_path / "e", content(annotations=[annotation(bbox=[3, 3, 0, 5], segmentation=[])]))


def test_where_files_lie_and_how_they_are_encoded(tmp_path: Path) -> None:
    for place, text in (
        ("annotations/instances_default.json", json.dumps(content())),
        ("coco.json", "\ufeff" + json.dumps(content())),
    ):
        (drawn,), _ = read(source(tmp_path / place.replace("/", "-"), text, place))
        assert drawn.max() == 1
    folder = source(tmp_path / "utf16", "")
    (folder / "coco.json").write_bytes(json.dumps(content()).encode("utf-16"))
    assert read(folder)[0][0].max() == 1
    assert "nested too deep" in refused(tmp_path / "deep", '{"annotations": ' + "[" * 100_000)
    assert "is not JSON" in refused(tmp_path / "cut", json.dumps(content())[:-9])


def test_several_files_and_names_of_other_machines(tmp_path: Path) -> None:
    folder = source(tmp_path / "a", content(), "annotations/one.json", ("a.png", "day1/b.png", "day2/b.png", "c.png"))
    other = content(images=[content()["images"][0] | {"file_name": "D:\\data\\day2\\B.PNG"}])
    (folder / "annotations/two.json").write_text(json.dumps(other))
    with gathering() as tally:
        images = coco.read(folder)
    assert [image.path.relative_to(folder / "images").as_posix() for image in images] == ["a.png", "day2/b.png"]
    assert any("2 images are in no COCO file" in line for line in tally.lines())
    (folder / "annotations/two.json").write_text(json.dumps(content()))
    with pytest.raises(DatasetError, match="annotated twice"):
        coco.read(folder)
    for name, words in (("b.png", "several images"), ("../../secret.png", "is not in"), ("", "no file_name")):
        given = content(images=[content()["images"][0] | {"file_name": name}])
        (folder / "annotations/two.json").write_text(json.dumps(given))
        with pytest.raises(DatasetError, match=words):
            coco.read(folder)
