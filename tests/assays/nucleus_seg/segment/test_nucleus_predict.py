"""The commands on generated smears: the baseline without weights, awkward inputs, scale, grid, folds."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from drawn.nucleus_seg import smear
from shapely.geometry import shape
from typer.testing import CliRunner

from cellscope.assays.nucleus_seg.assay import ASSAY, OTSU_CARD, kind_of
from cellscope.assays.nucleus_seg.options import PredictOptions
from cellscope.assays.nucleus_seg.segment.scale import cut_estimate, estimate_scale
from cellscope.assays.nucleus_seg.segment.state import State
from cellscope.cli.root import app
from cellscope.engine.assay import Subject
from cellscope.io.image import Image
from cellscope.models.card import ModelCard


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.stderr
    return result.exit_code, result.stderr


def predict(folder: Path, out: Path, *words: object) -> tuple[int, str]:
    return run("nucleus-seg", "predict", folder, "-o", out, "-m", "otsu", "--num-workers", 0, "--device", "cpu", *words)


def test_the_baseline_finds_measures_and_draws(tmp_path: Path) -> None:
    image, mask = smear(5, (220, 300), cells=4)
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in/a.png"), image[..., ::-1])
    code, _ = predict(tmp_path / "in", tmp_path / "out", "--pixel-size", 0.25)
    assert code == 0
    objects = pd.read_csv(tmp_path / "out/objects.csv")
    assert len(objects) == 4
    assert objects["area"].mean() == pytest.approx(np.pi * 14**2, rel=0.06)
    assert objects["area_um2"].mean() == pytest.approx(np.pi * 3.5**2, rel=0.06)
    labels = tifffile.imread(tmp_path / "out/a.labels.tif")
    assert labels.shape == mask.shape
    assert 2 * ((labels > 0) & (mask == 255)).sum() / ((labels > 0).sum() + (mask == 255).sum()) > 0.97
    geojson = json.loads((tmp_path / "out/a.geojson").read_text())
    assert [f["properties"]["measurements"]["label"] for f in geojson["features"]] == [1, 2, 3, 4]
    assert {f["properties"]["objectType"] for f in geojson["features"]} == {"detection"}
    assert all(shape(f["geometry"]).is_valid for f in geojson["features"])
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert record["models"][0]["name"] == "otsu"


def test_awkward_inputs(tmp_path: Path) -> None:
    image, _ = smear(5)
    folder = tmp_path / "in"
    folder.mkdir()
    cv2.imwrite(str(folder / "plain.png"), image[..., ::-1])
    cv2.imwrite(str(folder / "alpha.png"), np.dstack([image[..., ::-1], np.full(image.shape[:2], 255, np.uint8)]))
    tifffile.imwrite(folder / "deep.tif", image.astype(np.uint16) * 257, photometric="rgb")
    cv2.imwrite(str(folder / "grey.png"), image[..., 1])
    cv2.imwrite(str(folder / "empty.png"), np.full((64, 64, 3), 235, np.uint8))
    cv2.imwrite(str(folder / "black.png"), np.zeros((64, 64, 3), np.uint8))
    code, _ = predict(folder, tmp_path / "out")
    assert code == 3
    images = pd.read_csv(tmp_path / "out/images.csv").set_index("image")
    assert images["status"].to_dict() == {
        "alpha.png": "ok", "black.png": "ok", "deep.tif": "ok", "empty.png": "ok", "grey.png": "failed",
        "plain.png": "ok",
    }  # fmt: skip
    assert "grey" in images.loc["grey.png", "error"]
    assert images.loc[["empty.png", "black.png"], "n_objects"].tolist() == [0, 0]
    objects = pd.read_csv(tmp_path / "out/objects.csv")
    areas = objects.groupby("image")["area"].sum()
    assert areas["plain.png"] == areas["alpha.png"] == areas["deep.tif"]


@pytest.fixture(scope="module")
def trained(nucleus_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two short trainings, one per fold."""
    runs = []
    for fold in (0, 1):
        out = tmp_path_factory.mktemp("runs") / f"fold{fold}"
        code, said = run(
            "nucleus-seg", "train", nucleus_dataset, "-o", out, "--fold", fold, "--arch", "compact-test", "--steps", 40,
            "--batch-size", 4, "--device", "cpu", "--set", "crop=64", "--set", "diameter=20", "--set", "ema=0.8",
            "--set", "learning_rate=0.01", "--set", "warmup_steps=5", "--set", "val_every=40",
        )  # fmt: skip
        assert code == 0, said
        runs.append(out)
    return runs


def test_folds_and_comparison(nucleus_dataset: Path, trained: list[Path], tmp_path: Path) -> None:
    common = ["--split", "folds", "--device", "cpu"]
    models = [word for path in reversed(trained) for word in ("-m", path)]
    code, said = run("nucleus-seg", "eval", nucleus_dataset, "-o", tmp_path / "otsu", "-m", "otsu", *common)
    assert code == 0, said
    code, said = run(
        "nucleus-seg", "eval", nucleus_dataset, "-o", tmp_path / "net", *models, *common, "--compare", tmp_path / "otsu"
    )
    assert code == 0, said
    assert "otsu.dice" in said
    table = pd.read_csv(tmp_path / "net/per_image.csv")
    assert len(table) == 12
    assert set(table["fold"]) == {0, 1}
    metrics = json.loads((tmp_path / "net/eval.json").read_text())["metrics"]["overall"]
    means = table.groupby("fold")["dice"].mean()
    assert metrics["folds.dice_mean"]["value"] == pytest.approx(means.mean(), abs=1e-5)
    assert metrics["folds.dice_sd"]["value"] == pytest.approx(means.std(ddof=1), abs=1e-5)
    assert metrics["dice"]["value"] > 0.8  # 40 steps suffice for purple discs
    tested = pd.read_csv(tmp_path / "net/comparison.csv")
    assert set(tested["test"]) == {"paired t", "Wilcoxon", "unpaired t"}
    for wrong, message in (
        (["-m", trained[0]], "left out fold 1"),
        (["-m", trained[0], "-m", trained[0]], "both left out fold 0"),
        ([*models, "--compare", tmp_path], "no per_image.csv"),
    ):
        code, said = run("nucleus-seg", "eval", nucleus_dataset, "-o", tmp_path / "x", *wrong, *common)
        assert code == 2
        assert message in said


def test_a_large_smear_does_not_depend_on_batch_or_grid(trained: list[Path], tmp_path: Path) -> None:
    image, mask = smear(9, (700, 900), cells=12)
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in/a.tif", image, photometric="rgb")
    tables = []
    for number, words in enumerate((["--batch-size", 1], ["--batch-size", 3, "--check-grid"])):
        out = tmp_path / f"out{number}"
        code, said = run(
            "nucleus-seg", "predict", tmp_path / "in", "-o", out, "-m", trained[0], "--device", "cpu", "--num-workers",
            0, "--precision", "32", "--set", "split_depth=0.03", *words,
        )  # fmt: skip  # a network of a few steps gives shallow dips between cells
        assert code == 0, said
        tables.append(pd.read_csv(out / "objects.csv"))
        labels = tifffile.imread(out / "a.labels.tif")
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert len(tables[0]) == 12
    assert 2 * ((labels > 0) & (mask == 255)).sum() / ((labels > 0).sum() + (mask == 255).sum()) > 0.85
    images = pd.read_csv(out / "images.csv")
    assert images["shifted_grid_dice"][0] > 0.97
    assert images["shifted_grid_count"][0] == 12
    assert (tmp_path / "out0/a.cells.tif").is_file()


def test_the_scale_is_refined_by_what_is_seen() -> None:
    card = ModelCard(
        "nucleus-seg", "nuclei", "compact", {}, ("nucleus",), ("red",), {"diameter": 56.0}, None, {}, {}, {}, "0"
    )
    image, mask = smear(0, (160, 160), radius=40)
    options = PredictOptions()
    subject = Subject("a", Image(image, 0.25), "image", options, {"nuclei": card}, State())
    (item,) = cut_estimate(subject)
    assert subject.state.diameter == 36  # 9 um, before anything is seen
    assert item.shape[1] > 160
    scaled = cv2.resize(mask, item.shape[:0:-1], interpolation=cv2.INTER_NEAREST)
    size = (round(160 * 56 / 36),) * 2
    scaled[: size[0], : size[1]] = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
    output = np.dstack([scaled == 128, scaled == 255]).astype(np.uint8) * 255
    estimate_scale(subject, [output])
    assert subject.state.diameter == pytest.approx(80, rel=0.05)
    assert subject.state.again
    fixed = Subject("a", Image(image), "image", PredictOptions(nucleus_diameter=33.0), {"nuclei": card}, State())
    assert cut_estimate(fixed) == []
    assert fixed.state.diameter == 33


def test_kinds() -> None:
    image = Image(np.zeros((4, 4, 3), np.uint8))
    assert kind_of(image) == "image"
    assert ASSAY.inputs.kinds == ("image", "slide")
    assert ASSAY.weightless["otsu"] is OTSU_CARD


@pytest.mark.realdata
@pytest.mark.slow
def test_the_built_in_model_on_real_cells(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "nucleus-seg/wbc_zheng2018"
    code, said = run(
        "nucleus-seg", "predict", folder, "--glob", "**/*.bmp", "-o", tmp_path / "out", "--limit", 6, "--num-workers", 0
    )
    assert code == 0, said
    for image in pd.read_csv(tmp_path / "out/images.csv")["image"]:
        truth = cv2.imread(str(folder / image.replace(".bmp", ".png")), 0) >= 200
        found = tifffile.imread(tmp_path / "out" / image.replace(".bmp", ".labels.tif")) > 0
        assert 2 * (truth & found).sum() / (truth.sum() + found.sum()) > 0.9
