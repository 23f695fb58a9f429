"""Every registered assay keeps the contract: prepare, two training steps of each part, predict, shards, eval."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pandas as pd
import pytest
from contract_check import check
from recipes import RECIPES, Recipe
from same_run import hashes
from typer.testing import CliRunner

from cellscope.cli.root import ASSAYS, app
from cellscope.models.file import read_card
from cellscope.options import common as options
from cellscope.options.fields import specs

RUN_FILES = {"model.safetensors", "last.ckpt", "metrics.csv", "config.toml", "run.json", "curves.png"}


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
    for part, chosen in recipe.training.items():
        runs[part] = root / f"run-{part}"
        common = ["--steps", 2, "--batch-size", 2, "--num-workers", 0, "--device", "cpu", "--part", part]
        code, stdout = cellscope(name, "train", dataset, "-o", runs[part], *common, "--set", "val_every=2", *chosen)
        assert (code, stdout.strip()) == (0, str(runs[part]))
    made = Road(name, recipe, dataset, runs, root / "in", {}, root / "out")
    made.expected = recipe.inputs(made.inputs)
    code, stdout = predict(made, made.predicted)
    broken = sum(kind is None for kind in made.expected.values())
    assert (code, stdout.strip()) == (3 if broken else 0, str(made.predicted))
    return made


def predict(road: Road, out: Path, *words: object) -> tuple[int, str]:
    recipe = road.recipe
    common = ["-o", out, *road.models, "--device", "cpu", "--num-workers", 0, *recipe.options, *recipe.predict_options]
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
    state = cellscope("status", out)[0]
    assert cellscope("merge", out)[0] in (0, 3)
    assert check(road.name, out) == []
    assert state == (3 if (pd.read_csv(out / "images.csv")["status"] == "failed").any() else 0)
    for table in ("images.csv", "objects.csv"):
        one, merged = (
            pd.read_csv(folder / table, dtype=str).drop(columns="seconds", errors="ignore")
            for folder in (road.predicted, out)
        )
        pd.testing.assert_frame_equal(one, merged)


@pytest.mark.slow
def test_two_workers_of_a_cluster_give_what_one_process_gives(road: Road, tmp_path: Path) -> None:
    pytest.importorskip("dask_jobqueue")
    if road.name == "nucleus-seg":
        pytest.skip("its small network is known to this process alone, not to workers that start anew")
    out = tmp_path / "out"
    assert predict(road, out, "--cluster", "local:2")[0] in (0, 3)
    assert check(road.name, out) == []
    assert hashes(out) == hashes(road.predicted)


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
def test_eval_obeys_all_of_its_options(road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nothing reads would be taken and ignored."""
    of_assay = importlib.import_module(f"cellscope.assays.{road.name.replace('-', '_')}.options")
    package = Path(options.__file__).parent
    read: set[str] = set()

    def reading(self: object, name: str) -> Any:
        if Path(sys._getframe(1).f_code.co_filename).parent != package:  # checks and copies are no use of an option
            read.add(name)
        return object.__getattribute__(self, name)

    for cls in (options.OutputOptions, of_assay.EvalOptions):
        monkeypatch.setattr(cls, "__getattribute__", reading, raising=False)
    common = ["-o", tmp_path / "eval", *road.models, "--device", "cpu", *road.recipe.options]
    assert cellscope(road.name, "eval", road.dataset, *common)[0] == 0
    assert not (specs(options.ComputeOptions).keys() | specs(of_assay.EvalOptions).keys()) - read


@pytest.mark.slow
def test_two_shards_of_an_evaluation_merge_to_one(road: Road, tmp_path: Path) -> None:
    words = [road.name, "eval", road.dataset, *road.models, "--device", "cpu", *road.recipe.options]
    assert cellscope(*words, "-o", tmp_path / "one")[0] == 0
    assert not (tmp_path / "one" / "items").exists()
    cut = tmp_path / "cut"
    assert cellscope(*words, "-o", cut, "--shard", "1/2")[0] == 0
    assert not (cut / "eval.json").exists()
    assert cellscope("merge", cut)[0] == 2  # the second is missing
    assert cellscope("status", cut)[0] == 3
    assert cellscope(*words, "-o", cut, "--shard", "2/2")[0] == 0
    assert cellscope("status", cut)[0] == 0
    against = ("--compare", tmp_path / "one")
    assert cellscope(*words, "-o", cut, "--shard", "2/2", "--overwrite", *against)[0] == 2
    joined = Path(shutil.copytree(cut, tmp_path / "joined"))
    assert cellscope(*words, "-o", joined, "--skip-existing", *against)[0] == 0  # no item is measured again
    compared = pd.read_csv(joined / "comparison.csv")
    assert (compared["difference"] == 0).all()
    assert compared["n"].min() >= 1
    assert cellscope("merge", cut)[0] == 0
    one, merged = (json.loads((folder / "eval.json").read_text()) for folder in (tmp_path / "one", cut))
    for name in ("metrics", "n", "dataset", "split", "figures", "tables", "identity"):
        assert one[name] == merged[name], name
    frames = [pd.read_csv(folder / "per_image.csv", dtype=str) for folder in (tmp_path / "one", cut)]
    pd.testing.assert_frame_equal(*frames)
    for figure in one["figures"]:
        assert (tmp_path / "one" / figure).read_bytes() == (cut / figure).read_bytes(), figure


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
    report = (out / "report.html").read_text()
    assert found["dataset"]["hash"] in report
    for name, metric in found["metrics"]["overall"].items():
        assert name in report
        assert metric["convention"]
        low, value, high = metric["low"], metric["value"], metric["high"]
        if None not in (low, value, high):
            assert low <= high
    assert len(pd.read_csv(out / "per_image.csv")) == found["n"]
    for figure in found["figures"]:
        assert cv2.imread(str(out / figure)).std() > 0
    assert cellscope(road.name, "eval", road.dataset, *common)[0] == 2
    assert cellscope(road.name, "eval", road.dataset, *common, "--overwrite")[0] == 0
