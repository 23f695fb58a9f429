"""`measure`: what was outlined elsewhere gets the numbers that `predict` gives its own objects."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import roifile
import tifffile
from drawn.histo import tissue
from drawn.nucleus_seg import smear
from drawn.slides import draw_slide, write_pyramid
from pandas.testing import assert_frame_equal
from typer.testing import CliRunner

from cellscope.cli.root import app
from cellscope.errors import EXIT_FAILED, EXIT_OK, EXIT_PARTIAL, EXIT_USAGE

ASSAYS = ("nucleus-seg", "histo")


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*map(str, arguments), "--num-workers", "0"])
    return result.exit_code, result.output + str(result.exception or "")


def objects(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "objects.csv", keep_default_na=False, na_values=[""])


@pytest.fixture(scope="module", params=ASSAYS)
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Images in sub-folders, and what the baseline finds in them."""
    folder = tmp_path_factory.mktemp(request.param)
    for day in ("day1", "day2"):
        (folder / "in" / day).mkdir(parents=True)
        seed = int(day[-1])
        image = smear(seed, (150, 140), cells=2)[0] if request.param == "nucleus-seg" else tissue(seed, 120, 9)[0]
        cv2.imwrite(str(folder / "in" / day / "a.png"), image[..., ::-1])
    code, said = run(request.param, "predict", folder / "in", "-o", folder / "out", "-m", "otsu", "--pixel-size", 0.3)
    assert code == EXIT_OK, said
    assert len(objects(folder / "out")) >= 4
    return request.param, folder


def test_outlines_of_predict_give_its_own_table(found: tuple[str, Path], tmp_path: Path) -> None:
    assay, folder = found
    code, said = run(assay, "measure", folder / "out", folder / "in", "-o", tmp_path / "out", "--pixel-size", 0.3)
    assert code == EXIT_OK, said
    assert (tmp_path / "out/objects.csv").read_bytes() == (folder / "out/objects.csv").read_bytes()
    for name in ("day1/a.labels.tif", "day2/a.geojson"):
        assert (tmp_path / "out" / name).read_bytes() == (folder / "out" / name).read_bytes()
    assert "a.geojson was measured, not a.labels.tif" in said
    assert json.loads((tmp_path / "out/run.json").read_text())["command"] == "measure"


def test_label_images_give_the_same_measurements_without_a_score(found: tuple[str, Path], tmp_path: Path) -> None:
    assay, folder = found
    for day in ("day1", "day2"):
        (tmp_path / "masks" / day).mkdir(parents=True)
        labels = tifffile.imread(folder / "out" / day / "a.labels.tif")
        tifffile.imwrite(tmp_path / "masks" / day / "a_mask.tif", labels)
    code, said = run(assay, "measure", tmp_path / "masks", folder / "in", "-o", tmp_path / "out", "--pixel-size", 0.3)
    assert code == EXIT_OK, said
    theirs, ours = objects(folder / "out"), objects(tmp_path / "out")
    assert ours["score"].isna().all()
    unsure = {"score", "review", "reasons"}
    shared = [name for name in theirs if name not in unsure]
    assert set(theirs) == set(ours)
    assert_frame_equal(theirs[shared], ours[shared])


def test_what_a_person_changed_is_what_is_measured(found: tuple[str, Path], tmp_path: Path) -> None:
    """One object is taken out and one drawn by hand: a square of 8 x 8 pixels."""
    assay, folder = found
    document = json.loads((folder / "out/day1/a.geojson").read_text())
    gone = int(document["features"].pop(0)["properties"]["measurements"]["label"])
    square = [[[2, 3], [10, 3], [10, 11], [2, 11], [2, 3]]]
    document["features"].append(
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": square},
         "properties": {"objectType": "detection", "classification": {"name": "nucleus"}}}
    )  # fmt: skip
    (tmp_path / "mine.geojson").write_text(json.dumps(document))
    code, said = run(assay, "measure", tmp_path / "mine.geojson", folder / "in/day1/a.png", "-o", tmp_path / "out")
    assert code == EXIT_OK, said
    before = objects(folder / "out")
    before = before[before["image"] == "day1/a.png"]
    after = objects(tmp_path / "out")
    assert len(after) == len(before)
    # not every object has a number now, so all are numbered in their order: the drawn one is the last
    drawn = after.iloc[-1]
    assert drawn["area"] == 64
    assert drawn["bbox-0"] == 3
    assert drawn["bbox-1"] == 2
    assert np.isnan(drawn["score"])
    kept = before[before["label"] != gone]
    np.testing.assert_array_equal(after["area"].to_numpy()[:-1], kept["area"].to_numpy())
    np.testing.assert_array_equal(after["score"].to_numpy()[:-1], kept["score"].to_numpy())


def test_a_roi_set_is_measured(found: tuple[str, Path], tmp_path: Path) -> None:
    assay, folder = found
    points = np.array([[20, 30], [32, 30], [32, 40], [20, 40]])
    roifile.roiwrite(tmp_path / "a.zip", [roifile.ImagejRoi.frompoints(points, name="one")], mode="w")
    code, said = run(assay, "measure", tmp_path / "a.zip", folder / "in/day1/a.png", "-o", tmp_path / "out")
    assert code == EXIT_OK, said
    (row,) = objects(tmp_path / "out").to_dict("records")
    assert row["area"] == 120
    assert (row["centroid-0"], row["centroid-1"]) == (34.5, 25.5)


def test_numbers_of_a_label_image_stay(found: tuple[str, Path], tmp_path: Path) -> None:
    assay, folder = found
    labels = np.zeros(cv2.imread(str(folder / "in/day1/a.png")).shape[:2], np.uint16)
    labels[10:30, 12:30], labels[50:70, 60:75] = 7, 300
    tifffile.imwrite(tmp_path / "mask.tif", labels)
    code, said = run(assay, "measure", tmp_path / "mask.tif", folder / "in/day1/a.png", "-o", tmp_path / "out")
    assert code == EXIT_OK, said
    assert objects(tmp_path / "out")["label"].tolist() == [7, 300]
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out/a.labels.tif"), labels)


def test_one_file_is_not_the_outlines_of_two_images(found: tuple[str, Path], tmp_path: Path) -> None:
    assay, folder = found
    code, said = run(assay, "measure", folder / "out/day1/a.geojson", folder / "in", "-o", tmp_path / "out")
    assert code == EXIT_USAGE
    assert "one image" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("missing", "nothing in"),
        ("size", "they must be of one size"),
        ("binary", "--binary split"),
        ("twice", "two files can be"),
    ],
)
def test_an_image_whose_outlines_do_not_fit_fails_alone(
    found: tuple[str, Path], tmp_path: Path, change: str, told: str
) -> None:
    assay, folder = found
    for day in ("day1", "day2"):
        (tmp_path / "masks" / day).mkdir(parents=True)
        labels = tifffile.imread(folder / "out" / day / "a.labels.tif")
        tifffile.imwrite(tmp_path / "masks" / day / "a.tif", labels)
    path = tmp_path / "masks/day2/a.tif"
    if change == "missing":
        path.unlink()
    elif change == "size":
        tifffile.imwrite(path, labels[:-1])
    elif change == "binary":
        tifffile.imwrite(path, (labels > 0).astype(np.uint8) * 255)
    else:
        tifffile.imwrite(path.with_name("a_mask.tif"), labels)
    code, _said = run(assay, "measure", tmp_path / "masks", folder / "in", "-o", tmp_path / "out")
    assert code == EXIT_PARTIAL
    images = pd.read_csv(tmp_path / "out/images.csv").set_index("image")
    assert images["status"].to_dict() == {"day1/a.png": "ok", "day2/a.png": "failed"}
    assert told in images.loc["day2/a.png", "error"]


def test_binary_masks_are_split_on_request(found: tuple[str, Path], tmp_path: Path) -> None:
    assay, folder = found
    labels = np.zeros(cv2.imread(str(folder / "in/day1/a.png")).shape[:2], np.uint8)
    labels[10:30, 12:30] = labels[50:70, 60:75] = 255
    tifffile.imwrite(tmp_path / "mask.tif", labels)
    arguments = (assay, "measure", tmp_path / "mask.tif", folder / "in/day1/a.png", "-o", tmp_path / "out")
    code, said = run(*arguments, "--set", "binary=split")
    assert code == EXIT_OK, said
    assert objects(tmp_path / "out")["area"].tolist() == [360, 300]


def feature(x: int, class_: str, **measured: float) -> dict[str, object]:
    ring = [[x, 10], [x + 12, 10], [x + 12, 24], [x, 24], [x, 10]]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "detection", "measurements": measured}
        | ({"classification": {"name": class_}} if class_ else {}),
    }


def test_types_and_probabilities_of_the_file_are_kept(tmp_path: Path) -> None:
    """A person called the second nucleus something that its model does not know; the third has no type."""
    cv2.imwrite(str(tmp_path / "a.png"), tissue(3, 120, 9)[0][..., ::-1])
    probabilities = {"p_tumour": 0.75, "p_immune": 0.25}
    features = [
        feature(10, "immune", label=4, score=0.9, **probabilities),
        feature(40, "mitosis", label=2, score=0.8, **probabilities),
        feature(70, "", label=9),
    ]
    (tmp_path / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    code, said = run("histo", "measure", tmp_path / "a.geojson", tmp_path / "a.png", "-o", tmp_path / "out")
    assert code == EXIT_OK, said
    table = objects(tmp_path / "out").set_index("label")
    assert table["class"].to_dict() == {2: "mitosis", 4: "immune", 9: "unclassified"}
    assert table["score"].fillna(-1).to_dict() == {2: 0.8, 4: 0.9, 9: -1}
    assert [name for name in table if name.startswith("p_")] == ["p_tumour", "p_immune", "p_mitosis", "p_unclassified"]
    assert table.loc[4, "p_tumour"] == 0.75
    assert np.isnan(table.loc[9, "p_tumour"])
    images = pd.read_csv(tmp_path / "out/images.csv")
    assert images.loc[0, ["n_tumour", "n_immune", "n_mitosis", "n_unclassified"]].tolist() == [0, 1, 1, 1]


def test_regions_are_counted(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), tissue(3, 120, 9)[0][..., ::-1])
    features = [feature(10, "immune"), feature(40, "tumour"), feature(70, "tumour")]
    (tmp_path / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    roi = {"type": "Polygon", "coordinates": [[[30, 0], [119, 0], [119, 119], [30, 119], [30, 0]]]}
    (tmp_path / "roi.geojson").write_text(json.dumps({"type": "Feature", "geometry": roi, "properties": {}}))
    code, said = run(
        "histo", "measure", tmp_path / "a.geojson", tmp_path / "a.png", "-o", tmp_path / "out",
        "--roi", tmp_path / "roi.geojson",
    )  # fmt: skip
    assert code == EXIT_OK, said
    assert objects(tmp_path / "out")["class"].tolist() == ["tumour", "tumour"]


def test_a_slide_is_refused_by_name(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "slide.tif", draw_slide(4, 100, 10, glass=20))
    (tmp_path / "slide.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature(20, "a")]}))
    code, said = run("histo", "measure", tmp_path / "slide.geojson", tmp_path / "slide.tif", "-o", tmp_path / "out")
    assert code == EXIT_FAILED
    assert "export the regions as images" in said


def test_cells_of_predict_are_found_and_must_fit(tmp_path: Path) -> None:
    image, mask = smear(5, (150, 140), cells=2)
    (tmp_path / "in").mkdir()
    (tmp_path / "given").mkdir()
    cv2.imwrite(str(tmp_path / "in/a.png"), image[..., ::-1])
    _, cells = cv2.connectedComponents((mask > 0).astype(np.uint8))
    nuclei = np.where(mask == 255, cells, 0)
    tifffile.imwrite(tmp_path / "given/a.labels.tif", nuclei.astype(np.uint16))
    tifffile.imwrite(tmp_path / "given/a.cells.tif", cells.astype(np.uint16))
    code, said = run("nucleus-seg", "measure", tmp_path / "given", tmp_path / "in", "-o", tmp_path / "out")
    assert code == EXIT_OK, said
    table = objects(tmp_path / "out")
    areas = [int((cells == label).sum()) for label in table["label"]]
    assert table["cell_area"].tolist() == areas
    np.testing.assert_allclose(table["nucleus_cell_ratio"], table["area"] / areas, rtol=1e-5)
    tifffile.imwrite(tmp_path / "given/a.cells.tif", np.where(cells == 1, 2, cells).astype(np.uint16))
    arguments = ("nucleus-seg", "measure", tmp_path / "given", tmp_path / "in", "-o", tmp_path / "out", "--overwrite")
    code, said = run(*arguments)
    assert code == EXIT_OK
    assert "does not lie in the cell of its number" in said
    assert objects(tmp_path / "out")["cell_area"].isna().all()
    code, said = run(*arguments, "--cells", tmp_path / "given")
    assert code == EXIT_FAILED
