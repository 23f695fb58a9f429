"""``models``, ``merge``, ``status`` and ``doctor``."""

import json
import sys
from dataclasses import replace
from types import ModuleType

import pytest
import torch
from typer.testing import CliRunner

from cellscope.cli.commands import doctor
from cellscope.cli.root import app
from cellscope.models import registry
from cellscope.models.file import ModelCard, save_model

CARD = ModelCard(
    assay="karyotype",
    part="detect",
    arch="tiny",
    arch_args={"width": 8},
    classes=("chromosome",),
    channels=("grey",),
    normalisation={"mean": [0.5]},
    pixel_size_um=None,
    thresholds={"score": 0.4},
    training={"sets": [{"name": "made up", "licence": "CC0"}]},
    metrics={"ap50": None},
    cellscope_version="0.1.0",
)


def invoke(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "mine.safetensors"
    save_model(path, {"w": torch.tensor([1.0])}, CARD)
    return path


@pytest.fixture
def registered(weights, model):
    registry.register(model, "karyotype-detect")
    return weights / "karyotype-detect.safetensors"


def test_without_built_in_models_the_commands_say_so(weights):
    for words in (["models"], ["models", "list"], ["models", "verify"]):
        result = invoke(*words)
        assert result.exit_code == 0
        assert result.stdout == ""
        assert result.stderr == "no built-in models in this installation\n"
    assert json.loads(invoke("models", "list", "--json").stdout) == {"models": []}


def test_list(registered):
    for words in (["models"], ["models", "list"]):
        [header, row] = invoke(*words).stdout.splitlines()
        assert header.split() == ["name", "assay", "part", "size", "default"]
        assert row.split() == ["karyotype-detect", "karyotype", "detect", "0.0", "MB", "yes"]
    [entry] = json.loads(invoke("models", "list", "--json").stdout)["models"]
    assert entry["path"] == str(registered)
    assert entry["bytes"] == registered.stat().st_size


def test_show(registered, model):
    card = json.loads(invoke("models", "show", model, "--json").stdout)
    assert card["classes"] == ["chromosome"]
    assert card["training"] == CARD.training
    assert len(card["sha256"]) == 64
    text = invoke("models", "show", "karyotype-detect").stdout
    for line in ("part: detect", "classes: chromosome", "pixel_size_um: -", "    licence: CC0", "  ap50: -"):
        assert line in text.splitlines()


def test_show_what_is_no_model(registered):
    result = invoke("models", "show", "karyotype-detct")
    assert result.exit_code == 2
    assert result.stderr.endswith("did you mean 'karyotype-detect'?\n")


def test_verify(registered, model):
    assert invoke("models", "verify").stdout == "karyotype-detect: ok\n"
    assert invoke("models", "verify", model).stdout == f"{model}: ok\n"
    for path in (registered, model):
        raw = bytearray(path.read_bytes())
        raw[-1] ^= 1
        path.write_bytes(raw)
    result = invoke("models", "verify", "karyotype-detect", model)
    assert result.exit_code == 1
    first, second = result.stdout.splitlines()
    assert first.startswith("karyotype-detect: ")
    assert "SHA-256" in first
    assert "do not match their hash" in second
    report = json.loads(invoke("models", "verify", "--json").stdout)
    assert [entry["ok"] for entry in report["models"]] == [False]


@pytest.fixture
def shards(monkeypatch):
    import cellscope.engine.eval.parts  # noqa: F401  it needs the real one

    module = ModuleType("shards")
    for name in ("merge", "shards"):
        monkeypatch.setitem(sys.modules, f"cellscope.engine.predict.{name}", module)
    return module


def test_merge(shards, tmp_path):
    seen = []
    shards.merge = lambda out: seen.append(out) or {"total": 3, "ok": 2, "failed": 1, "skipped": 0, "objects": 5}
    result = invoke("merge", tmp_path)
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{tmp_path}\n", "2 ok, 1 failed\n")
    assert seen == [tmp_path]
    assert json.loads(invoke("merge", tmp_path, "--json").stdout)["objects"] == 5


def test_status(shards, tmp_path):
    found = {
        "total": 4,
        "done": 1,
        "failed": 1,
        "missing": ["c.tif", "d.tif"],
        "state": "running",
        "shards": [{"shard": "1/2", "state": "running", "total": 2, "done": 1, "failed": 1}],
    }
    shards.status = lambda out: found
    result = invoke("status", tmp_path)
    assert result.exit_code == 3
    summary = [
        "running: 4 inputs, 1 done, 1 failed, 2 missing",
        "1 shards: 1 running",
        "shard 1/2: running, 1 of 2 done, 1 failed",
    ]
    assert result.stdout.splitlines() == summary
    listed = invoke("status", tmp_path, "--missing").stdout.splitlines()
    assert listed == [*summary, "missing: c.tif", "missing: d.tif"]
    printed = json.loads(invoke("status", tmp_path, "--json").stdout)
    assert printed.items() >= {"out": str(tmp_path), "exit_code": 3, **found}.items()


@pytest.mark.parametrize(("done", "failed", "code"), [(4, 0, 0), (3, 1, 3), (2, 0, 3), (0, 4, 1), (0, 0, 1)])
def test_the_exit_code_of_status(shards, tmp_path, done, failed, code):
    missing = ["x"] * (4 - done - failed)
    found = {"total": 4, "done": done, "failed": failed, "missing": missing, "state": "stopped", "shards": []}
    shards.status = lambda out: found
    assert invoke("status", tmp_path).exit_code == code


def test_a_hundred_shards_are_a_few_lines(shards, tmp_path):
    states = ["complete"] * 60 + ["stopped"] * 2 + ["not started"] * 38
    listed = [
        {"shard": f"{n}/100", "state": state, "total": 1, "done": 0, "failed": 0} for n, state in enumerate(states, 1)
    ]
    found = {"total": 100, "done": 60, "failed": 0, "missing": ["x"] * 40, "state": "stopped", "shards": listed}
    shards.status = lambda out: found
    lines = invoke("status", tmp_path).stdout.splitlines()
    assert lines[1] == "100 shards: 60 complete, 38 not started, 2 stopped"
    assert lines[2] == "shard 61/100: stopped, 0 of 1 done, 0 failed"
    assert lines[4].startswith("not started: 63/100, 64/100")
    assert lines[4].endswith("74/100, ...")
    assert len(lines) == 6


@pytest.fixture
def light(monkeypatch):
    """Leave out the imports of big libraries, which cost seconds and are not what is tested."""
    monkeypatch.setattr(doctor, "MODULES", ("json",))


def test_doctor_finds_nothing_wrong(registered, light):
    result = invoke("doctor", "--json")
    report = json.loads(result.stdout)
    assert report["problems"] == []
    assert report["ok"] is True
    assert result.exit_code == 0
    assert report["versions"]["torch"] == torch.__version__.split("+")[0]
    assert report["operators"] == {"torchvision::nms": "works"}
    assert report["devices"]["threads"] == torch.get_num_threads()
    assert report["models"]["karyotype-detect"]["ok"] is True
    text = invoke("doctor").stdout
    assert text.splitlines()[-1] == "everything works"
    assert "karyotype-detect" in text


def test_doctor_finds_what_is_wrong(registered, light, monkeypatch):
    registered.write_bytes(b"damaged")
    monkeypatch.setattr(doctor, "MODULES", ("json", "no_such_module"))
    needs = ["numpy>=999", "no-such-package>=1.0", "tomli>=2; python_version < '3.10'", "mkdocs>=99; extra == 'docs'"]
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda name: needs)
    monkeypatch.setattr("torchvision.ops.nms", lambda boxes, scores, threshold: torch.tensor([0, 1, 2]))
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 2**20}))
    result = invoke("doctor", "--json")
    assert result.exit_code == 1
    problems = "\n".join(json.loads(result.stdout)["problems"])
    for expected in (
        "is older than 999",
        "no-such-package is not installed",
        "no_such_module cannot be imported",
        "torchvision::nms keeps boxes [0, 1, 2]",
        "its SHA-256 is not the one",
        "only 1 MiB free",
    ):
        assert expected in problems
    assert "mkdocs" not in problems
    assert "tomli" not in problems


def test_doctor_survives_a_check_that_breaks(registered, light, monkeypatch):
    def broken():
        raise RuntimeError("driver\ncrashed")

    monkeypatch.setattr(torch.cuda, "device_count", broken)
    result = invoke("doctor")
    assert result.exit_code == 1
    assert "wrong: the check of devices failed: RuntimeError: driver crashed" in result.stdout.splitlines()


def test_doctor_without_built_in_models(weights, light):
    result = invoke("doctor")
    assert result.exit_code == 1
    assert "wrong: there are no built-in models in this installation; give your own with -m" in result.stdout


@pytest.mark.parametrize(
    ("version", "numbers"), [("2.10.3rc1", (2, 10, 3)), ("2.0", (2,)), ("0.29.2+cpu", (0, 29, 2)), ("1.0.0", (1,))]
)
def test_version_numbers(version, numbers):
    assert doctor._numbers(version) == numbers


def test_wrong_part_in_the_registry(registered):
    entry = registry.default_for("karyotype", "detect")
    assert registry.verify(replace(entry, assay="histo"))
