import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from cellscope.cli.root import app
from cellscope.engine.eval import parts
from cellscope.engine.eval.metric import Metric, measure, proportion
from cellscope.engine.eval.report import refuse_evaluation, write_evaluation
from cellscope.errors import UsageError
from cellscope.io.lock import lock
from cellscope.metrics.intervals import bootstrap
from cellscope.report.plots import confusion_figure, interval_figure, reliability_figure, render_figure

CONVENTION = "Share of items that are right."


def figures(size=3):
    matrix = np.diag([5] * size)
    return {"confusion_matrix": confusion_figure(matrix, [f"c{number}" for number in range(size)])}


def write(out, **changes):
    arguments = {
        "assay": "karyotype",
        "dataset": {"hash": "f00d", "counts": {"test": 3}},
        "split": "test",
        "n": 3,
        "metrics": [
            Metric("accuracy", 0.75, 0.5, 0.9, 4, CONVENTION, {"1": 1.0, "X": float("nan")}),
            Metric("ap_large", float("nan"), 0.1, 0.2, 0, "COCO."),
            Metric("recall", np.float32(0.5), None, None, 4, "Found / true.", {"Y": 0.5, "1": None}),
        ],
        "per_image": pd.DataFrame({"image": ["<b>a.tif", "b.tif"], "accuracy": [0.5, np.nan], "note": [None, "x"]}),
        "figures": figures(),
        "models": [{"part": "classify", "sha256": "ab" * 32}],
        "argv": ["cellscope", "karyotype", "eval", "d"],
        "seconds": 1.23456,
        "overwrite": False,
    }
    write_evaluation(out, **{**arguments, **changes})


def test_everything_is_written_and_undefined_is_null(tmp_path):
    out = tmp_path / "new" / "eval"
    write(out)
    text = (out / "eval.json").read_text(encoding="utf-8")
    assert "NaN" not in text
    record = json.loads(text)
    assert record["schema"] == "cellscope.eval/1"
    assert record["dataset"]["hash"] == "f00d"
    assert (record["assay"], record["split"], record["n"], record["level"]) == ("karyotype", "test", 3, 0.95)
    assert record["metrics"]["overall"] == {
        "accuracy": {"value": 0.75, "low": 0.5, "high": 0.9, "n": 4, "convention": CONVENTION},
        "ap_large": {"value": None, "low": None, "high": None, "n": 0, "convention": "COCO."},
        "recall": {"value": 0.5, "low": None, "high": None, "n": 4, "convention": "Found / true."},
    }
    assert record["metrics"]["per_class"] == {"accuracy": {"1": 1.0, "X": None}, "recall": {"Y": 0.5, "1": None}}
    assert record["models"] == [{"part": "classify", "sha256": "ab" * 32}]
    assert record["argv"] == ["cellscope", "karyotype", "eval", "d"]
    assert record["figures"] == ["figures/confusion_matrix.png"]
    assert (out / "per_image.csv").read_text(encoding="utf-8").splitlines() == [
        "image,accuracy,note",
        "<b>a.tif,0.5,",
        "b.tif,,x",
    ]
    assert Image.open(out / "figures" / "confusion_matrix.png").size[0] > 300
    page = (out / "report.html").read_text(encoding="utf-8")
    for shown in ("0.75 (0.5 to 0.9)", "undefined", "&lt;b&gt;a.tif", "Confusion matrix", CONVENTION, "ab" * 32):
        assert shown in page
    assert sorted(path.name for path in out.iterdir()) == ["eval.json", "figures", "per_image.csv", "report.html"]


def test_results_are_not_overwritten_unless_asked(tmp_path):
    write(tmp_path)
    before = (tmp_path / "eval.json").read_bytes()
    (tmp_path / "figures" / "mine.png").write_bytes(b"kept")
    (tmp_path / "notes.txt").write_text("kept")
    with pytest.raises(UsageError, match=r"already holds results \(eval\.json\); give --overwrite"):
        write(tmp_path, seconds=9)
    assert (tmp_path / "eval.json").read_bytes() == before
    write(tmp_path, seconds=9, figures={}, overwrite=True)
    record = json.loads((tmp_path / "eval.json").read_text(encoding="utf-8"))
    assert record["seconds"] == 9
    # What the earlier evaluation drew is gone, what somebody else put there is not.
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["mine.png"]
    assert (tmp_path / "notes.txt").exists()


@pytest.mark.parametrize("name", ["eval.json", "per_image.csv", "report.html"])
def test_any_result_in_the_folder_is_noticed_before_the_work(tmp_path, name):
    refuse_evaluation(tmp_path, overwrite=False)
    (tmp_path / name).write_text("x")
    with pytest.raises(UsageError, match=name):
        refuse_evaluation(tmp_path, overwrite=False)
    refuse_evaluation(tmp_path, overwrite=True)


def test_a_record_of_somebody_elses_cannot_make_it_remove_other_files(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "precious.png").write_text("kept")
    (out / "precious.png").write_text("kept")
    for record in ({"figures": ["../precious.png", "precious.png", str(tmp_path / "precious.png")]}, ["x"], {}):
        (out / "eval.json").write_text(json.dumps(record))
        write(out, figures={}, overwrite=True)
    (out / "eval.json").write_text("{")
    write(out, figures={}, overwrite=True)
    assert (tmp_path / "precious.png").exists()
    assert (out / "precious.png").exists()


def test_eval_json_comes_last(tmp_path, monkeypatch):
    write(tmp_path)

    def fail(*_, **__):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr("cellscope.engine.eval.report.write_report", fail)
    with pytest.raises(RuntimeError):
        write(tmp_path, overwrite=True)
    # Neither the old record nor a new one claims that the folder is whole.
    assert not (tmp_path / "eval.json").exists()


def test_what_cannot_be_written_is_refused_before_anything_is(tmp_path):
    one = Metric("a", 1.0, None, None, 1, "x")
    with pytest.raises(ValueError, match="share a name: a"):
        write(tmp_path, metrics=[one, one])
    with pytest.raises(ValueError, match="no hash"):
        write(tmp_path, dataset={})
    with pytest.raises(ValueError, match="cannot be the name"):
        write(tmp_path, figures={"../x": figures()["confusion_matrix"]})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="upside down"):
        Metric("a", 0.5, 0.9, 0.1, 1, "x")
    with pytest.raises(ValueError, match="convention"):
        Metric("a", 0.5, 0.1, 0.9, 1, "")


def test_measure_gives_the_value_of_all_items_and_an_interval_over_groups():
    right = np.array([1.0, 1, 1, 0, 1, 1, 0, 0])
    groups = list("aabbccdd")
    metric = measure("accuracy", groups, lambda items: float(right[items].mean()), convention=CONVENTION, n=300)
    assert metric.value == 0.625
    assert (metric.low, metric.high) == bootstrap(groups, lambda items: float(right[items].mean()), n=300)
    assert 0 < metric.low < 0.625 < metric.high < 1.01
    assert metric.n == 8
    none = measure("accuracy", [], lambda items: float(right[items].mean()), convention=CONVENTION)
    assert (none.value, none.low, none.high, none.n) == (None, None, None, 0)
    undefined = measure("auc", groups, lambda items: None, convention="x")
    assert (undefined.value, undefined.low) == (None, None)


def test_a_proportion_has_wilsons_interval():
    metric = proportion("whole_correct", 81, 263, convention="x")
    assert (metric.value, metric.low, metric.high) == pytest.approx((81 / 263, 0.2553, 0.3662), abs=5e-5)
    assert proportion("x", 0, 0, convention="x").value is None


def test_text_is_for_people():
    assert Metric("a", 0.98214, 0.951, 1.0, 9, "x").text == "0.982 (0.951 to 1)"
    assert Metric("a", 0.5, None, None, 9, "x").text == "0.5"
    assert Metric("a", None, 0.1, 0.2, 9, "x").text == "undefined"


def shades(pixels):
    return {tuple(colour) for colour in pixels.reshape(-1, 3)}


def test_figures_are_drawn_without_a_display_or_global_state():
    import matplotlib

    backend = matplotlib.rcParams._get("backend")
    confusion = render_figure(confusion_figure(np.array([[9, 1], [0, 10]]), ["normal", "abnormal"], title="t"))
    assert confusion.dtype == np.uint8
    assert confusion.shape[2] == 3
    assert tuple(confusion[0, 0]) == (255, 255, 255)
    # An all-wrong matrix puts the dark cells elsewhere.
    wrong = render_figure(confusion_figure(np.array([[1, 9], [10, 0]]), ["normal", "abnormal"], title="t"))
    assert not np.array_equal(confusion, wrong)
    many = confusion_figure(np.eye(31, dtype=int), [str(number) for number in range(31)])
    assert render_figure(many).shape[0] > confusion.shape[0]
    table = pd.DataFrame(
        {"low": [0.0, 0.5], "high": [0.5, 1.0], "n": [0, 3], "confidence": [None, 0.8], "accuracy": [None, 0.6]}
    )
    assert len(shades(render_figure(reliability_figure(table, error=0.2, title="t")))) > 10
    bars = interval_figure(["a", "b", "c"], [0.5, None, 0.7], [0.4, None, None], [0.6, None, None], label="x")
    first = render_figure(bars)
    assert len(shades(first)) > 10
    assert np.array_equal(render_figure(bars), first)
    assert matplotlib.rcParams._get("backend") == backend


def test_figures_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="2 classes cannot be"):
        confusion_figure(np.eye(3), ["a", "b"])
    with pytest.raises(ValueError, match="argument"):
        interval_figure(["a"], [0.1, 0.2], [0.1], [0.2])


def test_an_item_that_fails_does_not_stop_the_others(nucleus_dataset, tmp_path):
    dataset = shutil.copytree(nucleus_dataset, tmp_path / "dataset")
    items = pd.read_csv(dataset / "items.csv", keep_default_na=False)
    tested = items[items["split"] == "test"]
    assert len(tested) > 1
    bad = tested.iloc[1]
    (dataset / bad["image"]).write_bytes(b"no image")
    words = ["nucleus-seg", "eval", dataset, "-o", tmp_path / "out", "-m", "otsu", "--device", "cpu"]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 3
    record = json.loads((tmp_path / "out" / "eval.json").read_text(encoding="utf-8"))
    assert [failed["image"] for failed in record["failed"]] == [bad["id"]]
    assert record["n"] == len(tested) - 1
    assert bad["id"] in result.stderr
    assert "could not be measured" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert list(pd.read_csv(tmp_path / "out" / "per_image.csv")["image"]) == [
        image for image in tested["id"] if image != bad["id"]
    ]
    for image in tested["image"]:
        (dataset / image).write_bytes(b"no image")
    result = CliRunner().invoke(app, [*map(str, words), "--overwrite"])
    assert result.exit_code == 1
    assert "no item could be measured" in result.stderr


def test_the_status_of_an_evaluation(nucleus_dataset, tmp_path, monkeypatch):
    from cellscope.engine.eval import run as engine

    out, seen = tmp_path / "out", []
    keep = engine.Parts.keep

    def looked_at(self, part, item):
        keep(self, part, item)
        seen.append((parts.status(out), CliRunner().invoke(app, ["status", str(out)])))

    monkeypatch.setattr(engine.Parts, "keep", looked_at)
    words = ["nucleus-seg", "eval", nucleus_dataset, "-o", out, "-m", "otsu", "--device", "cpu", "--split", "train"]
    assert CliRunner().invoke(app, [str(word) for word in words]).exit_code == 0
    total = len(seen)
    assert total > 2
    found, told = seen[1]
    assert (found["state"], found["total"], found["done"], len(found["missing"])) == ("running", total, 2, total - 2)
    assert 0 <= found["seconds_left"] < 60
    assert told.exit_code == 3
    assert told.stdout == f"running: {total} inputs, 2 done, 0 failed, {total - 2} missing, 0 min left\n"
    done = CliRunner().invoke(app, ["status", str(out), "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout).items() >= {"of": "eval", "state": "complete", "total": total, "done": total}.items()


def test_two_evaluations_do_not_write_to_one_folder(nucleus_dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "PATIENCE", 0.1)
    out = tmp_path / "out"
    (out / "items").mkdir(parents=True)
    words = ["nucleus-seg", "eval", nucleus_dataset, "-o", out, "-m", "otsu", "--device", "cpu"]
    with (out / "items" / parts.HELD).open("wb") as stream:
        assert lock(stream)
        refused = CliRunner().invoke(app, [str(word) for word in words])
    assert refused.exit_code == 2
    assert "another evaluation is writing" in refused.stderr
    assert CliRunner().invoke(app, [str(word) for word in words]).exit_code == 0
    assert not (out / "items").exists()
