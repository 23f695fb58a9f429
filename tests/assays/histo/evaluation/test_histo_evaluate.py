"""`eval`: what one image comes to, types that differ between model and dataset, and the command on drawn tiles."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from drawn.histo import TYPES, tissue, write_tiles
from drawn.nuclei import packed, perfect_maps
from typer.testing import CliRunner

from cellscope.assays.histo.assay import IMAGE, OTSU_CARD, PART
from cellscope.assays.histo.classes import named_types
from cellscope.assays.histo.datasets.prepare import prepare
from cellscope.assays.histo.evaluation.evaluate import Measured, Truth, measure_image
from cellscope.assays.histo.evaluation.figures import Example, busiest, example_figure, outlined, spread
from cellscope.assays.histo.evaluation.metrics import all_metrics, compared_types, lines, source_table
from cellscope.assays.histo.evaluation.scores import image_row, score_image
from cellscope.assays.histo.networks.registry import arguments_of, build_network
from cellscope.assays.histo.nuclei.postprocess import Nuclei
from cellscope.assays.histo.options import HistoPrepareOptions as Options
from cellscope.assays.histo.options import PredictOptions
from cellscope.assays.histo.slides.state import State
from cellscope.cli.root import app
from cellscope.engine.assay import Subject
from cellscope.io.image import Image
from cellscope.metrics.conventions import CONVENTIONS, IMAGE_METRICS
from cellscope.metrics.instance_summary import Summary
from cellscope.models.file import load_model, save_model

CARD = replace(OTSU_CARD, arch="histonext-test", arch_args=arguments_of("histonext-test", 4), classes=TYPES)


def nuclei_of(labels: np.ndarray, types: list[int], n_types: int) -> Nuclei:
    probabilities = np.full((len(types), n_types), 0.1 / max(n_types - 1, 1), np.float32)
    probabilities[np.arange(len(types)), types] = 0.9
    return Nuclei(labels, probabilities, np.ones(len(types), np.float32))


def two_boxes() -> np.ndarray:
    labels = np.zeros((20, 40), np.int32)
    labels[5:15, 2:12], labels[5:15, 20:30] = 1, 2
    return labels


def test_an_image_by_hand() -> None:
    truth, types = two_boxes(), np.array([-1, 1, 2])  # a table by label, from 0
    found = truth.copy()
    found[2:5, 35:38] = 3  # one more
    scored = score_image(truth, types, nuclei_of(found, [1, 0, 0], 2), np.array([2, 1]), 3, 12.0)
    # The model's type 0 is the dataset's 2, its 1 the dataset's 1: both are right, and 3 is made up as 2.
    assert scored.true_types.tolist() == [1, 2]
    np.testing.assert_allclose(scored.probabilities, [[0, 0.9, 0.1], [0, 0.1, 0.9]], atol=1e-6)
    row = image_row(scored, ("a", "b", "c"))
    assert (row["n_true"], row["n_found"], row["n_matched"]) == (2, 3, 2)
    assert row["dice"] == pytest.approx(400 / 409)
    assert row["dq"] == row["pq"] == pytest.approx(0.8)
    assert row["f1_b"] == 1
    assert row["f1_c"] == pytest.approx(2 / 3)
    assert np.isnan(row["f1_a"])


def test_unknown_types_and_untyped_images_have_no_type_metrics() -> None:
    truth = two_boxes()
    nuclei = nuclei_of(truth, [1, 0], 2)
    some = score_image(truth, np.array([-1, 1, -1]), nuclei, np.array([0, 1]), 2, 12.0)
    assert some.true_types.tolist() == [1]
    assert image_row(some, ("a", "b"))["f1_b"] == 1
    for scored in (
        score_image(truth, None, nuclei, np.array([0, 1]), 2, 12.0),
        score_image(truth, np.array([-1, 0, 1]), nuclei, None, 2, 12.0),
    ):
        assert image_row(scored, ("a", "b"))["pq"] == 1
        assert np.isnan(image_row(scored, ("a", "b"))["f1_a"])
    nothing = score_image(
        truth, np.array([-1, 0, 1]), Nuclei(truth * 0, np.zeros((0, 2)), np.zeros(0)), np.arange(2), 2, 9
    )
    assert image_row(nothing, ("a", "b"))["f1_a"] == image_row(nothing)["dice"] == 0


def test_types_of_model_and_dataset_are_told_apart_by_name() -> None:
    assert compared_types(("a", "b"), ("b", "a")) == (("a", "b"), [])
    assert compared_types(("nucleus",), ("a", "b")) == compared_types(("a", "b"), ("nucleus",)) == ((), [])
    classes, said = compared_types(("a", "b"), ("b", "c"))
    assert classes == ("a", "b", "c")
    assert len(said) == 2
    assert "does not know a" in said[0]
    assert "does not have c" in said[1]
    classes, said = compared_types(("a", "b"), ("c", "d"))
    assert classes == ()
    assert "not compared" in said[0]


def measured(truth: np.ndarray, kinds: dict[int, int] | None, maps: np.ndarray) -> Measured:
    image = np.where(truth[..., None] > 0, (100, 60, 150), (235, 180, 205)).astype(np.uint8)
    subject = Subject("s/a", Image(image, 0.25, "s/a"), IMAGE, PredictOptions(), {PART: CARD}, State())
    types = None if kinds is None else np.array([-1] + [kinds[label] for label in sorted(kinds)])
    subject.truth = Truth(truth, types, TYPES, shown=True)
    subject.state.maps = maps
    return measure_image(subject)


def test_perfect_maps_are_perfect_under_every_convention() -> None:
    truth = packed(200, 24)
    kinds = {label: 1 + label % 3 for label in range(1, int(truth.max()) + 1)}
    item = measured(truth, kinds, perfect_maps(truth, kinds))
    plain = measured(truth, None, perfect_maps(truth, kinds))
    metrics = all_metrics(
        Summary([item.scored.instances, plain.scored.instances]), Summary([item.baseline, plain.baseline]),
        ["a", "b"], ["g1", "g2"], TYPES, 0,
    )  # fmt: skip
    value = {metric.name: metric.value for metric in metrics}
    for key in CONVENTIONS:
        for prefix in ("", "a.", "b."):
            assert all(value[f"{prefix}{key}.{name}"] > 0.97 for name in (*IMAGE_METRICS, "bpq", "fd"))
            assert 0 < value[f"{prefix}otsu.{key}.pq"] < value[f"{prefix}{key}.pq"]
        assert value[f"{key}.types_f1"] == value[f"a.{key}.types_f1"] > 0.97
        assert f"b.{key}.types_f1" not in value  # nothing there is typed
        assert f"otsu.{key}.types_f1" not in value
    by_type = next(metric.per_class for metric in metrics if metric.name == "strict.types_f1")
    assert by_type is not None
    assert by_type["other"] is None
    assert by_type["spindle"] > 0.9
    table = source_table(metrics, ["a", "b"])
    assert len(table) == 3 * 2 * len(CONVENTIONS)
    assert table.query("source == 'b' and method == 'model'")["types_f1"].isna().all()
    assert [line.split(",")[0] for line in lines(metrics, ["a", "b"])] == [
        f"{part} ({number} image{'s' if number > 1 else ''})"
        for part, number in (("all", 2), ("a", 1), ("b", 1))
        for _ in "12"
    ]
    assert named_types(TYPES) == [1, 2, 3]
    assert named_types(("other",)) == [0]


def test_examples() -> None:
    labels = np.zeros((400, 500), np.int32)
    labels[300:340, 380:420] = 1
    rows, columns = busiest(labels, 100)
    assert rows.start <= 300
    assert rows.stop >= 340
    assert columns.start <= 380
    assert columns.stop >= 420
    assert busiest(labels[:50, :60], 100) == (slice(0, 100), slice(0, 100))
    image = np.full((40, 50, 3), 200, np.uint8)
    drawn = outlined(image, labels[290:330, 370:420], {1: "x"}, {"x": (0, 0, 255)})
    assert drawn.shape == (80, 100, 3)
    assert (drawn == (0, 0, 255)).all(-1).any()
    assert (drawn[:10] == 200).all()
    panels = {"truth": (labels[:40, :50], {}), "network": (labels[:40, :50], {1: "x"})}
    examples = [Example(f"s/{k}", "s", image, panels, {"AJI": k / 9}) for k in range(10)]
    assert [example.name for example in spread(examples, "AJI", 3)] == ["s/0", "s/4", "s/9"]
    figure = example_figure(spread(examples, "AJI", 3), ("x", "y"))
    assert len(figure.axes) == 6


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three typed drawn tiles in the test split and two untyped ones."""
    folder = tmp_path_factory.mktemp("drawn")
    write_tiles(folder / "typed", 3, side=96)
    write_tiles(folder / "plain", 2, side=96, typed=False, first=10)
    prepare([folder / "typed", folder / "plain"], folder / "ds", Options(splits=(0.0, 0.0, 1.0), pixel_size=0.25))
    return folder / "ds"


def run(*words: object, command: str = "eval") -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(word) for word in ("histo", command, *words, "--device", "cpu")])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.stderr
    return result.exit_code, result.stderr


def test_the_command_measures_a_network_beside_the_baseline(dataset: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_network(CARD.arch_args)
    save_model(tmp_path / "net.safetensors", network.state_dict(), CARD)
    code, said = run(dataset, "-o", tmp_path / "net", "-m", tmp_path / "net.safetensors")
    assert code == 0, said
    assert "typed (3 images), otsu: dice" in said
    record = json.loads((tmp_path / "net/eval.json").read_text())
    assert "NaN" not in (tmp_path / "net/eval.json").read_text()
    overall = record["metrics"]["overall"]
    assert {f"{key}.{name}" for key in CONVENTIONS for name in (*IMAGE_METRICS, "bpq", "mpq", "fd", "types_f1")} <= set(
        overall
    )
    assert {"plain.strict.dice", "typed.otsu.hovernet.pq"} <= set(overall)
    assert overall["typed.otsu.strict.dice"]["low"] < overall["typed.otsu.strict.dice"]["value"]
    assert "best IoU" in overall["hovernet.aji"]["convention"]
    assert set(record["metrics"]["per_class"]["hovernet.types_f1"]) == set(TYPES)
    table = pd.read_csv(tmp_path / "net/per_image.csv")
    assert len(table) == record["n"] == 5
    assert table["otsu_dice"].mean() == pytest.approx(overall["otsu.strict.dice"]["value"], abs=1e-4)
    assert table["otsu_dice"].mean() > 0.6  # purple on pink
    true = tissue(1, 96)[1]
    assert table.loc[table["image"] == "typed/train_1", "n_true"].item() == true.max()
    assert set(pd.read_csv(tmp_path / "net/by_source.csv")["source"]) == {"all", "typed", "plain"}
    for figure in ("images", "examples_typed", "examples_plain", "metrics"):
        assert (tmp_path / f"net/figures/{figure}.png").is_file()


def test_the_baseline_alone_and_what_is_refused(dataset: Path, tmp_path: Path) -> None:
    code, said = run(dataset, "-o", tmp_path / "otsu", "-m", "otsu", "--limit", 3)
    assert code == 0, said
    overall = json.loads((tmp_path / "otsu/eval.json").read_text())["metrics"]["overall"]
    assert overall["strict.pq"] == overall["otsu.strict.pq"] | {"convention": overall["strict.pq"]["convention"]}
    assert not any("types" in name for name in overall)
    for words, message in (
        (["--roi", "a.geojson"], "no such option: --roi"),
        (["--pixel-size", 0.5], "no such option: --pixel-size"),
        (["--split", "folds"], "without folds"),
    ):
        code, said = run(dataset, "-o", tmp_path / "x", "-m", "otsu", *words)
        assert code == 2, said
        assert message in said
    code, said = run(dataset, "-o", tmp_path / "otsu", "-m", "otsu")
    assert code == 2
    assert "already holds results" in said


def test_three_folds_each_with_the_network_that_left_it_out(tmp_path: Path) -> None:
    write_tiles(tmp_path / "typed", 6, side=96)
    prepare([tmp_path / "typed"], tmp_path / "ds", Options(splits=(0.8, 0.1, 0.1), folds=3, pixel_size=0.25))
    settings = ["steps=1", "core=64", "val_every=1", "batch_size=1"]
    words = ["--arch", "histonext-test", "--precision", "32", *(word for one in settings for word in ("--set", one))]
    code, said = run(tmp_path / "ds", "-o", tmp_path / "0", "--fold", 0, *words, command="train")
    assert code == 0, said
    card, tensors = load_model(tmp_path / "0" / "model.safetensors", assay="histo")
    assert card.training["fold"] == 0
    models: list[object] = ["-m", tmp_path / "0"]
    for fold in (1, 2):  # as if trained without this fold
        of_fold = replace(card, training=card.training | {"fold": fold})
        save_model(tmp_path / f"{fold}.safetensors", tensors, of_fold)
        models += ["-m", tmp_path / f"{fold}.safetensors"]
    code, said = run(tmp_path / "ds", "-o", tmp_path / "x", "--split", "folds", *models[:4])
    assert code == 2
    assert "left out fold 2" in said
    code, said = run(tmp_path / "ds", "-o", tmp_path / "out", "--split", "folds", *models)
    assert code == 0, said
    table = pd.read_csv(tmp_path / "out/per_image.csv")
    assert sorted(table["image"]) == [f"typed/train_{number}" for number in range(1, 7)]
    assert table["fold"].value_counts().to_dict() == {0: 2, 1: 2, 2: 2}
    overall = json.loads((tmp_path / "out/eval.json").read_text())["metrics"]["overall"]
    means = table.groupby("fold")["dice"].mean()
    assert overall["folds.dice_mean"]["value"] == pytest.approx(means.mean(), abs=1e-4)
    assert overall["folds.dice_sd"]["value"] == pytest.approx(means.std(ddof=1), abs=1e-4)
