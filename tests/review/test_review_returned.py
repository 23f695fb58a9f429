"""``cellscope review OUT --corrections``: GeoJSON that was corrected in QuPath, of images and of slides."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from drawn.nucleus_seg import smear
from drawn.reviewing import serving
from drawn.slides import draw_slide, write_pyramid

from cellscope.cli.root import app
from cellscope.io.corrections import read_corrections


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        app(list(map(str, words)))
    return int(stopped.value.code or 0)


@pytest.fixture(scope="module")
def slide_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    path = write_pyramid(folder / "a.tif", draw_slide(1))
    words = ("-m", "otsu", "--device", "cpu", "--num-workers", "0", "--set", "block=128", "-q")
    assert run("histo", "predict", path, "-o", folder / "out", *words) == 0
    return folder / "out"


@pytest.fixture
def slide(slide_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(slide_run, tmp_path / "out"))


@pytest.fixture(scope="module")
def smears_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("smears")
    (folder / "images").mkdir()
    for number in range(2):
        pixels, _ = smear(number, (160, 200), cells=3, radius=11)
        cv2.imwrite(str(folder / f"images/{number}.png"), pixels[..., ::-1])
    assert run("nucleus-seg", "predict", folder / "images", "-o", folder / "out", "-m", "otsu", "-q") == 0
    return folder / "out"


@pytest.fixture
def smears(smears_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(smears_run, tmp_path / "out"))


def square(x: float, y: float, half: float = 7) -> dict[str, Any]:
    points = [
        [x - half, y - half],
        [x + half, y - half],
        [x + half, y + half],
        [x - half, y + half],
        [x - half, y - half],
    ]
    return {"type": "Polygon", "coordinates": [points]}


def annotation(geometry: dict[str, Any], class_: str = "") -> dict[str, Any]:
    named = {"classification": {"name": class_}} if class_ else {}
    return {"type": "Feature", "id": "drawn", "geometry": geometry, "properties": {"objectType": "annotation", **named}}


def features_of(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())["features"]
    return found


def write(path: Path, features: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def rows(out: Path, image: str) -> pd.DataFrame:
    table = pd.read_csv(out / "corrections/objects.csv", dtype={"image": str})
    return table[table["image"] == image].set_index("label")


def free_place(labels: np.ndarray, half: int = 12) -> tuple[int, int]:
    from scipy import ndimage

    away = ndimage.distance_transform_edt(np.pad(labels == 0, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(away.argmax(), away.shape)
    assert away[row, column] > half
    return int(column), int(row)


def test_what_changed_in_qupath_is_one_correction(smears: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    before = tifffile.imread(smears / "0.labels.tif").astype(int)
    features = features_of(smears / "0.geojson")
    _, second, third = sorted(features, key=lambda one: one["properties"]["measurements"]["label"])
    x, y = free_place(before)
    moved = {**second, "geometry": square(*np.mean(second["geometry"]["coordinates"][0][:-1], 0), half=6)}
    third = {**third, "id": "another", "properties": {"objectType": "annotation"}}  # its id and number are lost
    returned = write(tmp_path / "0.geojson", [moved, third, annotation(square(x, y))])
    assert run("review", smears, "--corrections", returned, "--who", "Ada") == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(smears / "corrections")
    assert "0.png: 1 added, 1 removed, 1 redrawn, 0 class, 1 unchanged" in said.err
    after = tifffile.imread(smears / "corrections/0.labels.tif").astype(int)
    assert set(np.unique(after)) == {0, 2, 3, 4}
    np.testing.assert_array_equal(after == 3, before == 3)
    assert (after == 4).sum() == 14 * 14
    assert (after == 2).sum() in range(11 * 11, 13 * 13 + 1)
    table = rows(smears, "0.png")
    assert table["corrected"].to_dict() == {2: True, 3: False, 4: True}
    assert table["area"].to_dict() == {label: (after == label).sum() for label in (2, 3, 4)}
    kept = read_corrections(smears)["0.png"]
    assert kept.reviewed
    assert [(edit["do"], edit["from"], edit["who"]) for edit in kept.edits] == [("take", "0.geojson", "Ada")]
    assert not read_corrections(smears).get("1.png")
    assert (smears / "corrections/report.html").is_file()
    with serving(smears) as served:  # what came from the file is undone as one change
        revision = served.get("api/image/0")["revision"]
        shown = served.client.post("api/image/0", json={"revision": revision, "undo": True}).json()
        assert [one["label"] for one in shown["objects"]] == [1, 2, 3]


def test_the_same_file_changes_nothing(smears: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("review", smears, "--corrections", smears) == 0  # a folder laid out like the run: the run itself
    assert "0.png: 0 added, 0 removed, 0 redrawn, 0 class, 3 unchanged" in capsys.readouterr().err
    assert not (smears / "corrections/0.labels.tif").exists()
    assert pd.read_csv(smears / "corrections/images.csv")["reviewed"].tolist() == [True, True]


def test_files_of_other_images_are_refused(smears: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    def refused(features: list[dict[str, Any]], name: str, told: str) -> None:
        assert run("review", smears, "--corrections", write(tmp_path / name, features)) in (1, 2)
        assert told in capsys.readouterr().err
        assert not (smears / "corrections/0.labels.tif").exists()

    refused(features_of(smears / "0.geojson"), "other.geojson", "no image")
    refused([annotation(square(5000, 5000))], "0.geojson", "is it of another image")
    (tmp_path / "1.geojson").write_text("{")
    assert run("review", smears, "--corrections", tmp_path / "1.geojson") != 0
    assert run("review", smears, "--corrections", tmp_path / "nowhere") == 2


def test_most_may_have_been_wrong(smears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of many found objects is real: a file that keeps it alone is of this image all the same."""
    monkeypatch.setattr("cellscope.review.returned.FEWEST", 0.5)
    kept = features_of(smears / "0.geojson")[:1]
    assert run("review", smears, "--corrections", write(tmp_path / "0.geojson", kept)) == 0
    assert len(np.unique(tifffile.imread(smears / "corrections/0.labels.tif"))) == 2


@pytest.mark.parametrize(("classes", "class_", "warned"), [
    (["nucleus", "blast"], "", True), (["nucleus", "blast"], "nucleus", False), (["nucleus"], "", False),
])  # fmt: skip
def test_what_is_new_without_a_class_is_said(
    smears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture,
    classes: list[str], class_: str, warned: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr("cellscope.review.returned._classes", lambda run: classes)
    features = features_of(smears / "0.geojson")
    x, y = free_place(tifffile.imread(smears / "0.labels.tif"))
    file = write(tmp_path / "0.geojson", [*features, annotation(square(x, y), class_)])
    assert run("review", smears, "--corrections", file) == 0
    assert ("1 new objects have no class and count as nucleus" in capsys.readouterr().err) is warned


def corrected_slide(slide: Path, tmp_path: Path) -> tuple[dict[int, int], list[Any]]:
    """Remove a nucleus, redraw one, add one, and draw a region; give what is expected of the labels."""
    labels = tifffile.imread(slide / "a.labels.tif").astype(int)
    features = {one["properties"]["measurements"]["label"]: one for one in features_of(slide / "a.geojson")}
    numbers = sorted(features)
    gone, redrawn = numbers[0], numbers[len(numbers) // 2]
    centre = np.mean(features[redrawn]["geometry"]["coordinates"][0][:-1], 0)
    features[redrawn] = {**features[redrawn], "geometry": square(*centre, half=4)}
    del features[gone]
    x, y = free_place(labels, 8)
    region = {"type": "Polygon", "coordinates": [[[40, 40], [300, 40], [300, 300], [40, 300], [40, 40]]]}
    returned = [*features.values(), annotation(square(x, y)), annotation(region, "Region*")]
    assert run("review", slide, "--corrections", write(tmp_path / "a.geojson", returned)) == 0
    return {"gone": gone, "redrawn": redrawn, "new": max(numbers) + 1}, region["coordinates"]


def test_a_slide_is_corrected_and_teaches(slide: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    before, original = tifffile.imread(slide / "a.labels.tif").astype(int), pd.read_csv(slide / "objects.csv")
    numbers, _ = corrected_slide(slide, tmp_path)
    assert "1 added, 1 removed, 1 redrawn" in capsys.readouterr().err
    corrected = slide / "corrections"
    after = tifffile.imread(corrected / "a.labels.tif").astype(int)
    touched = list(numbers.values())
    np.testing.assert_array_equal(
        np.where(np.isin(after, touched), 0, after), np.where(np.isin(before, touched), 0, before)
    )
    assert numbers["gone"] not in after
    assert (after == numbers["new"]).sum() > 100
    table = rows(slide, "a.tif")
    assert table.index.tolist() == sorted({*original["label"], numbers["new"]} - {numbers["gone"]})
    assert table.index[table["corrected"]].tolist() == [numbers["redrawn"], numbers["new"]]
    assert table["area"].to_dict() == {label: (after == label).sum() for label in table.index}
    known = [name for name in original.columns if name not in ("image", "label")]
    same = [label for label in table.index if label not in touched]
    pd.testing.assert_frame_equal(table.loc[same, known], original.set_index("label").loc[same, known])
    assert table.loc[touched[1:], "haematoxylin_mean"].notna().all()
    image = pd.read_csv(corrected / "images.csv").iloc[0]
    assert (image["n_objects"], image["corrected"]) == (len(original), True)
    found = features_of(corrected / "a.geojson")
    assert sorted(one["properties"]["measurements"]["label"] for one in found) == table.index.tolist()
    for name in ("a.overlay.png", "a.density.png", "report.html"):
        assert (corrected / name).is_file()
    dataset = tmp_path / "dataset"
    assert run("histo", "prepare", slide, "-o", dataset, "--splits", "1,0,0") == 0
    items = pd.read_csv(dataset / "items.csv")
    assert items["id"].tolist() == ["out/a-1"]
    drawn = tifffile.imread(dataset / items["target"][0])
    inside = after[40:300, 40:300]
    assert len(np.unique(drawn)) == len(np.unique(inside))


def test_regions_that_reach_beyond_a_slide(slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A box of it may lie outside altogether; a nucleus that the region cuts is neither there nor background."""
    labels = tifffile.imread(slide / "a.labels.tif").astype(int)
    height, width = labels.shape
    monkeypatch.setattr("cellscope.assays.histo.datasets.sources.corrected.LARGEST", 256)
    inside = labels[height - 200 :, width - 200 :]
    number = np.bincount(inside[30:-30, 30:-30].ravel())[1:].argmax() + 1
    middle, half = np.argwhere(inside == number).mean(0)[::-1], 0.42 * np.sqrt((inside == number).sum())
    corner = np.array([width - 200, height - 200])
    hole = np.array(square(*middle, half=half)["coordinates"][0])  # most of a nucleus
    rings = [np.array([(0, 0), (600, 0), (600, 600), (0, 600), (0, 0)], float), hole]
    outline = {"type": "Polygon", "coordinates": [(ring + corner).tolist() for ring in rings]}
    returned = [*features_of(slide / "a.geojson"), annotation(outline, "Region*")]
    assert run("review", slide, "--corrections", write(tmp_path / "a.geojson", returned)) == 0
    dataset = tmp_path / "dataset"
    assert run("histo", "prepare", slide, "-o", dataset, "--splits", "1,0,0") == 0
    items = pd.read_csv(dataset / "items.csv")
    assert len(items) == 1
    drawn = tifffile.imread(dataset / items["target"][0])
    assert drawn.shape == inside.shape
    mask = dataset / items["target"][0].replace(".tif", ".unknown.png")
    unknown = cv2.imread(str(mask), 0) > 0
    gone = (inside > 0) & (drawn == 0)
    assert np.unique(inside[gone]).tolist() == [number]
    assert unknown[gone].all()  # also of the rim, which lies in the region
    assert unknown.sum() < 1.5 * gone.sum()


def test_a_slide_without_a_region_teaches_nothing(slide: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("review", slide, "--corrections", slide / "a.geojson") == 0
    assert run("histo", "prepare", slide, "-o", tmp_path / "dataset") == 2
    assert "no region says what was looked at" in capsys.readouterr().err


def test_the_browser_says_that_slides_go_through_qupath(slide: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("review", slide, "--no-browser") == 2
    assert "correct slides in QuPath, then give --corrections" in capsys.readouterr().err
