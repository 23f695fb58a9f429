"""Every registered assay keeps the contract: prepare, two training steps of each part, predict, shards, eval."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from contract_check import check
from divisions import division, write_composite
from slides import draw_slide, write_pyramid
from synthetic import metaphase, single
from synthetic_fields import draw_field
from synthetic_smears import smear
from synthetic_tissue import tissue
from typer.testing import CliRunner

from cellscope.cli import ASSAYS, app
from cellscope.models.file import read_card

RUN_FILES = {"model.safetensors", "last.ckpt", "metrics.csv", "config.toml", "run.json", "curves.png"}


@dataclass(frozen=True)
class Recipe:
    """How to take an assay down the road in little time.

    Attributes
    ----------
    source : str
        Name of the fixture that gives a data set in a public layout.
    training : dict
        Part -> options of ``train``.
    inputs : callable
        Writes images to a folder; gives the expected kind by image name, None for a broken file.
    options : list of str
        For ``predict`` and ``eval``.
    """

    source: str
    training: dict[str, list[str]]
    inputs: Callable[[Path], dict[str, str | None]]
    options: list[str]


def karyotype_inputs(folder: Path) -> dict[str, str | None]:
    (folder / "day1").mkdir(parents=True)
    cv2.imwrite(str(folder / "day1" / "dark.png"), metaphase(11).pixels)
    tifffile.imwrite(folder / "bright.tif", metaphase(12, inverted=True).pixels.astype(np.uint16) * 200)
    cv2.imwrite(str(folder / "empty.png"), np.full((260, 300), 30, np.uint8))
    cv2.imwrite(str(folder / "one.bmp"), single("3"))
    (folder / "broken.tif").write_bytes(b"II*\0 nothing")
    return {
        "bright.tif": "metaphase",
        "broken.tif": None,
        "day1/dark.png": "metaphase",
        "empty.png": "metaphase",
        "one.bmp": "chromosome",
    }


def nucleus_inputs(folder: Path) -> dict[str, str | None]:
    (folder / "day1").mkdir(parents=True)
    for number in range(11):
        cv2.imwrite(str(folder / "day1" / f"cell{number:02}.bmp"), smear(number, (60, 70))[0][..., ::-1])
    tifffile.imwrite(folder / "deep.tif", smear(3, (120, 100), cells=2)[0].astype(np.uint16) * 257)
    (folder / "unreadable.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    cells = {f"day1/cell{number:02}.bmp": "image" for number in range(11)}
    return dict(sorted({"unreadable.png": None, **cells, "deep.tif": "image"}.items()))


def micronucleus_inputs(folder: Path) -> dict[str, str | None]:
    (folder / "day1").mkdir(parents=True)
    expected: dict[str, str | None] = {"broken.tif": None}
    for number in range(11):
        cell = draw_field(number).grey[5:80, 5:80]
        cv2.imwrite(str(folder / "day1" / f"cell{number:02d}.png"), cell)
        expected[f"day1/cell{number:02d}.png"] = "crop"
    tifffile.imwrite(folder / "field.tif", draw_field(3, size=280).grey)
    tifffile.imwrite(folder / "black.tif", np.zeros((280, 270), np.uint8))
    (folder / "broken.tif").write_bytes(b"II*\0 nothing")
    return dict(sorted((expected | {"field.tif": "field", "black.tif": "field"}).items()))


def mitosis_inputs(folder: Path) -> dict[str, str | None]:
    expected: dict[str, str | None] = {"unreadable.tif": None}
    for number in range(12):
        name = f"day{number % 2}/{number:02}.tif"
        write_composite(folder / name, division(number, abnormal=number % 3 == 0, frames=12 if number else 9, side=36))
        expected[name] = "sequence"
    (folder / "unreadable.tif").write_bytes(b"II*\0 nothing")
    return dict(sorted(expected.items()))


def histo_inputs(folder: Path) -> dict[str, str | None]:
    (folder / "day1").mkdir(parents=True)
    expected: dict[str, str | None] = {}  # the first input is one that works
    for number in range(11):
        image = tissue(number, 80, 8)[0]
        cv2.imwrite(str(folder / f"day1/tile{number:02}.png"), image[..., ::-1])
        expected[f"day1/tile{number:02}.png"] = "image"
    write_pyramid(folder / "slide.tif", draw_slide(4, 100, 10, glass=20))
    (folder / "unreadable.tif").write_bytes(b"II*\0 nothing")
    expected["unreadable.tif"] = None
    return dict(sorted((expected | {"slide.tif": "slide"}).items()))


def sets(*options: str) -> list[str]:
    """Give options as ``--set`` takes them."""
    return [word for option in options for word in ("--set", option)]


RECIPES = {
    "histo": Recipe(
        source="histo_source",
        training={"nuclei": ["--arch", "histonext-test", "--set", "core=64"]},
        inputs=histo_inputs,
        # Two steps teach nothing: everything counts as nucleus, parted by what noise there is.
        options=["--no-tissue", *sets("probability_threshold=0", "edge=0.01", "min_area=4", "block=96")],
    ),
    "micronucleus": Recipe(
        source="micronucleus_source",
        training={
            "nuclei": ["--arch", "unet-xs", "--set", "crop=64"],
            "classify": ["--arch", "mv2-se-tr1", "--input-size", "32"],
        },
        inputs=micronucleus_inputs,
        options=["--threshold", "0.4"],
    ),
    "mitosis": Recipe(
        source="mitosis_source",
        training={"classify": ["--arch", "mitonet-test"]},
        inputs=mitosis_inputs,
        options=[],
    ),
    "karyotype": Recipe(
        source="karyotype_source",
        training={
            "detect": ["--arch", "chrrender-test", "--set", "crop=128", "--set", "val_limit=1"],
            "classify": ["--arch", "chrnet4-test"],
        },
        inputs=karyotype_inputs,
        # Two steps teach nothing: take whatever the detector is unsure of, so that there are objects.
        options=["--score-threshold", "0", "--set", "mask_threshold=0.3"],
    ),
    "nucleus-seg": Recipe(
        source="nucleus_source",
        training={"nuclei": ["--arch", "compact-test", "--set", "crop=64"]},
        inputs=nucleus_inputs,
        # Two steps teach nothing: everything counts as nucleus, so that there are objects.
        options=["--set", "probability_threshold=0.05", "--nucleus-diameter", "40"],
    ),
}


def cellscope(*words: object) -> tuple[int, str]:
    """Run a command line in this process; give its exit code and what it printed on stdout."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.stderr
    assert "Traceback" not in result.stderr
    return result.exit_code, result.stdout


@dataclass
class Road:
    """What the commands made for one assay."""

    name: str
    recipe: Recipe
    dataset: Path
    runs: dict[str, Path]
    inputs: Path
    expected: dict[str, str | None]
    predicted: Path

    @property
    def models(self) -> list[str]:
        return [word for run in self.runs.values() for word in ("-m", str(run / "model.safetensors"))]


@pytest.fixture(scope="module", params=sorted(RECIPES))
def road(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Road:
    name = request.param
    recipe = RECIPES[name]
    root = tmp_path_factory.mktemp(name)
    source, dataset = request.getfixturevalue(recipe.source), root / "dataset"
    code, stdout = cellscope(name, "prepare", source, "-o", dataset, "--splits", "0.4,0.3,0.3")
    assert (code, stdout.strip()) == (0, str(dataset))
    runs = {}
    for part, options in recipe.training.items():
        runs[part] = root / f"run-{part}"
        common = ["--steps", 2, "--batch-size", 2, "--num-workers", 0, "--device", "cpu", "--part", part]
        code, stdout = cellscope(name, "train", dataset, "-o", runs[part], *common, "--set", "val_every=2", *options)
        assert (code, stdout.strip()) == (0, str(runs[part]))
    made = Road(name, recipe, dataset, runs, root / "in", {}, root / "out")
    made.expected = recipe.inputs(made.inputs)
    code, stdout = predict(made, made.predicted)
    broken = sum(kind is None for kind in made.expected.values())
    assert (code, stdout.strip()) == (3 if broken else 0, str(made.predicted))
    return made


def predict(road: Road, out: Path, *words: object) -> tuple[int, str]:
    common = ["-o", out, *road.models, "--device", "cpu", "--num-workers", 0, *road.recipe.options]
    return cellscope(road.name, "predict", road.inputs, *common, *words)


def test_every_registered_assay_has_a_recipe() -> None:
    assert set(RECIPES) == set(ASSAYS)


@pytest.mark.slow
def test_training_writes_its_files(road: Road) -> None:
    for part, run in road.runs.items():
        assert {path.name for path in run.iterdir()} >= RUN_FILES
        card = read_card(run / "model.safetensors")
        assert (card.assay, card.part) == (road.name, part)
        assert json.loads((run / "run.json").read_text())["argv"][:3] == ["cellscope", road.name, "train"]


@pytest.mark.slow
def test_predict_keeps_the_contract(road: Road) -> None:
    assert check(road.name, road.predicted) == []
    images = pd.read_csv(road.predicted / "images.csv", keep_default_na=False).set_index("image")
    assert list(images.index) == list(road.expected)
    for image, kind in road.expected.items():
        assert images.loc[image, "status"] == ("ok" if kind else "failed")
        if kind:
            assert images.loc[image, "kind"] == kind
    objects = pd.read_csv(road.predicted / "objects.csv", dtype=str)
    assert objects["image"].nunique() >= 2
    assert len(objects) > 10
    record = json.loads((road.predicted / "run.json").read_text())
    assert len(record["models"]) == len(road.runs)


@pytest.mark.slow
def test_predict_again_is_refused_and_changes_nothing(road: Road) -> None:
    before = {path: path.stat().st_mtime_ns for path in road.predicted.rglob("*")}
    assert predict(road, road.predicted)[0] == 2
    assert {path: path.stat().st_mtime_ns for path in road.predicted.rglob("*")} == before


@pytest.mark.slow
def test_two_shards_merge_to_one_run(road: Road, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for shard in ("1/2", "2/2"):
        assert predict(road, out, "--shard", shard)[0] in (0, 3)
        assert check(road.name, out / "shards" / shard.replace("/", "-of-"), artefacts=out) == []
    assert cellscope("status", out)[0] == 0
    assert cellscope("merge", out)[0] in (0, 3)
    assert check(road.name, out) == []
    for table in ("images.csv", "objects.csv"):
        one, merged = (
            pd.read_csv(folder / table, dtype=str).drop(columns="seconds", errors="ignore")
            for folder in (road.predicted, out)
        )
        pd.testing.assert_frame_equal(one, merged)


@pytest.mark.slow
def test_the_models_alone_are_enough(road: Road, tmp_path: Path) -> None:
    """Moved to a folder with nothing beside it, a model gives the same objects."""
    parts = {}
    for part, run in road.runs.items():
        (tmp_path / part).mkdir()
        parts[part] = Path(shutil.copy(run / "model.safetensors", tmp_path / part))
    moved = Road(
        road.name,
        road.recipe,
        road.dataset,
        {part: path.parent for part, path in parts.items()},
        road.inputs,
        road.expected,
        tmp_path,
    )
    predict(moved, tmp_path / "out", "--limit", 1)
    one, other = (pd.read_csv(folder / "objects.csv", dtype=str) for folder in (road.predicted, tmp_path / "out"))
    first = one[one["image"] == next(iter(road.expected))].reset_index(drop=True)
    pd.testing.assert_frame_equal(other, first)


@pytest.mark.slow
def test_eval_writes_its_files(road: Road, tmp_path: Path) -> None:
    out = tmp_path / "eval"
    common = ["-o", out, *road.models, "--device", "cpu", *road.recipe.options]
    code, stdout = cellscope(road.name, "eval", road.dataset, *common)
    assert (code, stdout.strip()) == (0, str(out))

    def refuse(text: str) -> None:
        raise AssertionError(f"eval.json holds {text}")

    found = json.loads((out / "eval.json").read_text(), parse_constant=refuse)
    assert found["schema"] == "cellscope.eval/1"
    assert found["assay"] == road.name
    assert found["split"] == "test"
    assert found["dataset"]["hash"] == json.loads((road.dataset / "dataset.json").read_text())["hash"]
    items = pd.read_csv(road.dataset / "items.csv")
    assert found["n"] == (items["split"] == "test").sum() > 0
    assert found["metrics"]["overall"]
    for metric in found["metrics"]["overall"].values():
        assert metric["convention"]
        low, value, high = metric["low"], metric["value"], metric["high"]
        if None not in (low, value, high):
            assert low <= high
    assert len(pd.read_csv(out / "per_image.csv")) == found["n"]
    assert list((out / "figures").glob("*.png"))
    assert len((out / "report.html").read_text()) > 2000
    assert cellscope(road.name, "eval", road.dataset, *common)[0] == 2
    assert cellscope(road.name, "eval", road.dataset, *common, "--overwrite")[0] == 0
