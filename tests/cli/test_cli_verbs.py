"""``cellscope karyotype``: exactly what each verb hands to its worker, and what is printed."""

import atexit
import gc
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from typer.testing import CliRunner

from cellscope.assays.karyotype.options import EvalOptions, KaryotypePrepareOptions, PredictOptions, TrainOptions
from cellscope.cli.groups import begin_imports
from cellscope.cli.root import ASSAYS, app
from cellscope.cli.verbs import speaking
from cellscope.errors import CellscopeError, InputError, Interrupted, ModelError
from cellscope.options.common import BaseOptions, RunOptions, ShardOptions

ASSAY = SimpleNamespace(name="karyotype")


def split(line):
    return line.split()


def invoke(*words, env=None):
    return CliRunner().invoke(app, [str(word) for word in words], env=env)


@pytest.fixture(autouse=True)
def _no_models(tmp_path, monkeypatch):
    from cellscope.models import registry

    monkeypatch.setattr(registry, "weights_folder", lambda: tmp_path / "no-weights")
    monkeypatch.chdir(tmp_path)
    for name in ("datasets.prepare", "training.train", "evaluation.evaluate", "assay"):
        fake(monkeypatch, f"cellscope.assays.karyotype.{name}", ASSAY=ASSAY)


def fake(monkeypatch, name, **members):
    module = ModuleType(name)
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, name, module)


def worker(monkeypatch, module, name, code=0, inputs=()):
    """Replace a worker by one that records its call and returns `code`, with counts of `inputs`, or raises it."""
    calls = []

    def work(*args, **kwargs):
        calls.append((args, kwargs))
        if isinstance(code, BaseException):
            raise code
        print("progress", file=sys.stderr)
        counts = {status: inputs.count(status) for status in ("ok", "failed", "skipped")}
        return SimpleNamespace(code=code, counts=counts, told={}) if name == "predict_shard" else code

    fake(monkeypatch, module, **{name: work, "ASSAY": ASSAY})
    return calls


@pytest.fixture
def predict(monkeypatch):
    fake(monkeypatch, "cellscope.engine.find", find_assay=lambda name: ASSAY)
    return lambda **settings: worker(monkeypatch, "cellscope.engine.predict.plan", "predict_shard", **settings)


def test_prepare(monkeypatch):
    calls = worker(monkeypatch, "cellscope.assays.karyotype.datasets.prepare", "prepare")
    result = invoke(
        *split("karyotype prepare a b -o data --format tseng --seed 3 --splits 0.8,0.1,0.1 --folds 5 --overwrite")
    )
    assert result.exit_code == 0, result.output
    options = KaryotypePrepareOptions(format="tseng", seed=3, splits=(0.8, 0.1, 0.1), folds=5, overwrite=True)
    assert calls == [(([Path("a"), Path("b")], Path("data"), options), {})]
    assert result.stdout == "data\n"


def test_prepare_defaults(monkeypatch):
    calls = worker(monkeypatch, "cellscope.assays.karyotype.datasets.prepare", "prepare")
    assert invoke("karyotype", "prepare", "a").stdout == "karyotype-prepare\n"
    defaults = KaryotypePrepareOptions(format=None, seed=0, splits=(0.6, 0.2, 0.2), folds=0, overwrite=False)
    assert calls[0][0][2] == defaults


def test_train(monkeypatch, tmp_path):
    calls = worker(monkeypatch, "cellscope.assays.karyotype.training.train", "train")
    (tmp_path / "c.toml").write_text("steps = 5\nclip_gradient = 1\n")
    words = split("karyotype train data -o run --part classify --init none --resume auto --config c.toml --set half=no")
    result = invoke(*words, env={"CELLSCOPE_SEED": "7"})
    assert result.exit_code == 0, result.output
    options = TrainOptions(part="classify", init="none", resume="auto", steps=5, clip_gradient=1.0, half=False, seed=7)
    assert calls == [((Path("data"), Path("run"), options), {"argv": ["cellscope", *words]})]
    assert result.stdout == "run\n"
    assert invoke("karyotype", "train", "data").stdout == "karyotype-train\n"


def test_quiet_training_says_nothing_but_its_path(monkeypatch):
    worker(monkeypatch, "cellscope.assays.karyotype.training.train", "train")
    assert invoke("karyotype", "train", "data").stderr == "progress\n"
    result = invoke("karyotype", "train", "data", "-q")
    assert (result.stdout, result.stderr) == ("karyotype-train\n", "")


def test_only_the_first_training_process_prints(monkeypatch):
    worker(monkeypatch, "cellscope.assays.karyotype.training.train", "train")
    assert invoke("karyotype", "train", "data", env={"LOCAL_RANK": "1"}).stdout == ""
    assert invoke("karyotype", "train", "data", env={"LOCAL_RANK": "0"}).stdout == "karyotype-train\n"


def test_eval(monkeypatch):
    calls = worker(monkeypatch, "cellscope.assays.karyotype.evaluation.evaluate", "evaluate")
    words = split("karyotype eval data -m one -m two --split val --device cpu --aneuploidy-cost 2")
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    assert calls == [
        (
            (Path("data"), Path("karyotype-eval")),
            {
                "run": ShardOptions(device="cpu"),
                "options": EvalOptions(aneuploidy_cost=2.0),
                "models": ["one", "two"],
                "split": "val",
                "compare": [],
                "argv": ["cellscope", *words],
            },
        )
    ]
    assert result.stdout == "karyotype-eval\n"


OF_PREDICT = {
    "": {
        "--input": "nonsense", "--glob": "*.tif", "--pixel-size": "0.5",
        "--group-by": "case", "--max-pixels": "1000", "--review-below": "0.5",
    },
    "karyotype": {"--karyogram": "svg", "--ideograms": None, "--explain": None},
    "micronucleus": {
        "--nuclei": "masks", "--corrections": "a.csv", "--gallery": "5", "--channel": "0", "--control": "a",
    },
    "mitosis": {"--events": "a.csv", "--window": "72", "--frames-before": "3", "--nuclei-channel": "1"},
    "histo": {"--roi": "a.geojson", "--no-labels": None, "--no-tissue": None, "--check-grid": None},
    "nucleus-seg": {"--check-grid": None},
}  # fmt: skip


@pytest.mark.parametrize("assay", sorted(ASSAYS))
def test_eval_refuses_what_it_would_not_obey(assay):
    for flag, value in (OF_PREDICT[""] | OF_PREDICT[assay]).items():
        result = invoke(assay, "eval", "data", flag, *([value] if value else []))
        assert result.exit_code == 2
        assert f"no such option: {flag}" in result.stderr


@pytest.mark.parametrize("flag", ["--shard=1/2", "--skip-existing", "--input=metaphase"])
@pytest.mark.parametrize(
    "words",
    [("karyotype", "render", "a.json"), ("histo", "measure", "a", "b"), ("nucleus-seg", "measure", "a", "b")],
)
def test_render_and_measure_refuse_what_they_would_not_obey(words, flag):
    result = invoke(*words, flag)
    assert result.exit_code == 2
    assert f"no such option: {flag.partition('=')[0]}" in result.stderr


@pytest.mark.parametrize("command", [("karyotype", "import-detectron2"), ("micronucleus", "dose")])
def test_what_computes_nothing_at_random_has_no_seed(command):
    result = invoke(*command, "file", "--seed", "1")
    assert result.exit_code == 2
    assert "no such option: --seed" in result.stderr


def test_predict(predict):
    calls = predict(inputs=["ok", "ok", "skipped"])
    words = split(
        "karyotype predict a.tif folder @list.txt -o res -m mine --device cpu --batch-size 4 --num-workers 0 "
        "--precision 32 --seed 1 --skip-existing --pixel-size 0.1 --limit 3 --max-pixels 1000 --glob *.tif "
        "--input metaphase -v --polarity dark"
    )
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    run = RunOptions(
        device="cpu",
        batch_size=4,
        num_workers=0,
        precision="32",
        seed=1,
        skip_existing=True,
        pixel_size=0.1,
        limit=3,
        max_pixels=1000,
        glob="*.tif",
        input="metaphase",
        verbose=True,
    )
    expected = {
        "run": run,
        "options": PredictOptions(polarity="dark"),
        "models": ["mine"],
        "argv": ["cellscope", *words],
    }
    assert calls == [(("karyotype", ["a.tif", "folder", "@list.txt"], Path("res")), expected)]
    assert result.stdout == "res\n"
    assert result.stderr.endswith("2 ok, 0 failed, 1 skipped\n")
    assert 'polarity = "dark"' in result.stderr, "--verbose shows the options"


def test_predict_counts_come_from_the_shard(predict):
    predict(code=3, inputs=["ok", "failed"])
    result = invoke("karyotype", "predict", "a.tif", "--shard", "2/3", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout) == {
        "schema": "cellscope.command/1",
        "command": "karyotype predict",
        "out": "karyotype-predict",
        "exit_code": 3,
        "ok": 1,
        "failed": 1,
        "skipped": 0,
    }
    assert result.stderr.endswith("1 ok, 1 failed\n")


def test_warnings_reach_stderr_and_json(monkeypatch, predict):
    told = {"counts": {"total": 1}, "failures": [], "warnings": [{"warning": "odd", "images": 2, "example": "a"}]}
    outcome = SimpleNamespace(code=0, counts={"ok": 2, "failed": 0, "skipped": 0}, told=told)
    predict(inputs=["ok"])
    monkeypatch.setattr(sys.modules["cellscope.engine.predict.plan"], "predict_shard", lambda *_, **__: outcome)
    result = invoke("karyotype", "predict", "a.tif", "--json")
    assert result.stderr == "warning: odd (2 images, such as a)\n2 ok, 0 failed\n"
    assert json.loads(result.stdout)["warnings"] == told["warnings"]
    assert invoke("karyotype", "predict", "a.tif", "-q").stderr == ""


def test_warnings_of_the_other_verbs_are_in_json(monkeypatch):
    def prepare(*_):
        print("warning: 3 dropped: too small\nread 3 images\na: warning: no type", file=sys.stderr)
        print("warning: 3 dropped: too small", file=sys.stderr)
        return 0

    worker(monkeypatch, "cellscope.assays.karyotype.datasets.prepare", "prepare")
    monkeypatch.setattr(sys.modules["cellscope.assays.karyotype.datasets.prepare"], "prepare", prepare)
    result = invoke("karyotype", "prepare", "a", "--json")
    assert [one["warning"] for one in json.loads(result.stdout)["warnings"]] == ["3 dropped: too small", "a: no type"]
    assert result.stderr.count("dropped") == 2


def test_quiet_predict(predict):
    predict(inputs=["ok"])
    result = invoke("karyotype", "predict", "a.tif", "-q")
    assert result.stdout == "karyotype-predict\n"
    assert "ok" not in result.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CellscopeError("disk full"), 1),
        (ModelError("m: wrong"), 2),
        (InputError("a.tif: bad"), 1),
        (Interrupted("interrupted: 1 of 2"), 130),
        (Interrupted("interrupted: 1 of 2", 143), 143),
    ],
)
def test_errors_are_one_line_with_their_code(predict, error, code):
    predict(code=error)
    result = invoke("karyotype", "predict", "a.tif")
    assert result.exit_code == code
    assert result.stderr == f"error: {error}\n"
    assert result.stdout == ""


@pytest.mark.parametrize("debug", [False, True])
def test_unexpected_errors(predict, debug):
    predict(code=ZeroDivisionError("two\nlines"))
    result = invoke("karyotype", "predict", "a.tif", env={"CELLSCOPE_DEBUG": "1" if debug else ""})
    assert result.exit_code == 1
    *before, last = result.stderr.splitlines()
    assert last == "error: unexpected ZeroDivisionError: two lines; set CELLSCOPE_DEBUG=1 for the traceback"
    assert (before[:1] == ["Traceback (most recent call last):"]) is debug
    assert bool(before) is debug


def test_ctrl_c(predict):
    predict(code=KeyboardInterrupt())
    result = invoke("karyotype", "predict", "a.tif")
    assert result.exit_code == 130
    assert result.stderr == "error: interrupted\n"


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ("karyotype predict", "missing argument"),
        ("karyotype predict a --nope", "no such option"),
        ("karyotype predict a --overwrite --skip-existing", "exclude each other"),
        ("karyotype predict a --shard 3/2", "3/2"),
        ("karyotype predict a --device gpu", "'gpu' is not one of"),
        ("karyotype prepare a --splits 1,1,1", "add up to 1"),
        ("karyotype train d --part x", "'x' is not one of detect, classify"),
        ("karyotype pedict a", "'predict'"),
        ("karyotpe predict a", "'karyotype'"),
        ("cytometry predict a", "no such command"),
    ],
)
def test_usage_errors(predict, words, match):
    calls = predict()
    result = invoke(*words.split())
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("error: ")
    assert match in result.stderr
    assert result.stdout == ""
    assert calls == []


def test_garbage_is_collected_as_usual_once_a_verb_works(monkeypatch):
    at_end: list[object] = []
    monkeypatch.setattr(atexit, "register", at_end.append)
    usual, frozen = gc.get_threshold(), gc.get_freeze_count()
    with speaking(BaseOptions()):
        assert (gc.get_threshold(), gc.get_freeze_count()) == (usual, frozen)
    begin_imports()
    try:
        assert gc.get_threshold()[0] > usual[0]
        with speaking(BaseOptions()):
            assert gc.get_threshold() == usual
            assert gc.get_freeze_count() > frozen
        # else extension modules report their own objects as leaked when Python ends
        assert at_end == [gc.unfreeze]
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()
