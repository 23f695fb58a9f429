"""``cellscope models export``: other programs run the networks and get the same maps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from drawn.nucleus_seg import smear
from typer.testing import CliRunner

from cellscope.cli.root import app
from cellscope.exports.networks import unfit

MODEL = "nucleus-seg-nuclei"


def call(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["models", "export", *map(str, words)])
    return result.exit_code, result.output


@pytest.mark.slow
def test_onnx_gives_the_maps(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    code, said = call(MODEL, "--to", "onnx", "-o", tmp_path / "m.onnx", "--json")
    assert code == 0, said
    told = json.loads(said)
    assert told["largest_difference"] <= told["tolerance"] == 1e-4
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    image, mask = smear(3, (256, 256), radius=28)
    nucleus = mask == 255
    dark = np.ascontiguousarray((image.astype(np.float32) / 255).transpose(2, 0, 1)[None])
    [maps] = session.run(None, {"images": dark})
    probability = maps[0, told["channels"].index("nucleus")]
    assert probability[nucleus].mean() > probability[~nucleus].mean() + 0.3
    assert call(MODEL, "--to", "onnx", "-o", tmp_path / "m.onnx")[0] == 2
    assert call(MODEL, "--to", "onnx", "-o", tmp_path / "m.pth")[0] == 2


@pytest.mark.parametrize(
    ("model", "size", "count"),
    [
        ("micronucleus-nuclei", (1, 96, 160), 3),
        ("micronucleus-classify", (1, 96, 96), 2),
        ("karyotype-classify", (1, 128, 64), 25),
        ("mitosis-classify", (24, 80, 80), 2),
    ],
)
def test_onnx_of_other_assays_takes_two_images(tmp_path: Path, model: str, size: tuple[int, ...], count: int) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    code, said = call(model, "--to", "onnx", "-o", tmp_path / "m.onnx", "--json")
    assert code == 0, said
    told = json.loads(said)
    assert len(told["channels"]) == count
    assert told["largest_difference"] <= 1e-5
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    images = np.random.default_rng(5).random((2, *size), np.float32)
    [both] = session.run(None, {"images": images})
    [second] = session.run(None, {"images": images[1:]})
    assert both.shape[:2] == (2, count)
    np.testing.assert_allclose(both[1:], second, atol=1e-5)
    assert np.abs(both[0] - both[1]).max() > 1e-4


def test_a_network_that_runs_differently_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    monkeypatch.setattr("cellscope.exports.networks.TOLERANCE", -1.0)
    code, said = call("karyotype-classify", "--to", "onnx", "-o", tmp_path / "k.onnx")
    assert (code, list(tmp_path.iterdir())) == (1, []), said
    assert "other outputs than PyTorch" in said


@pytest.mark.slow
def test_bioimageio_core_passes_the_package(tmp_path: Path) -> None:
    core = pytest.importorskip("bioimageio.core")
    if why := unfit():
        pytest.skip(why)
    code, said = call(MODEL, "--to", "bioimageio", "-o", tmp_path / "m.zip")
    assert code == 0, said
    assert core.test_model(tmp_path / "m.zip").status == "passed"


@pytest.mark.parametrize(("spec", "pydantic", "works"), [("0.5.12.0", "2.13.5", True), ("0.5.12.0", "2.14.0", False),
                                                         ("0.5.13.1", "2.14.4", True)])  # fmt: skip
def test_packages_that_do_not_go_together_are_named(
    monkeypatch: pytest.MonkeyPatch, spec: str, pydantic: str, works: bool
) -> None:
    installed = {"bioimageio.spec": spec, "pydantic": pydantic}
    monkeypatch.setattr("importlib.metadata.version", lambda name: installed[name])
    assert (unfit() == "") == works
    assert works or pydantic in unfit()


def test_networks_that_other_programs_could_not_run_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    code, said = call("karyotype-detect", "--to", "onnx", "-o", tmp_path / "k.onnx")
    assert (code, said.count("\n")) == (2, 1)
    assert "karyotype detect cannot be exported" in said
    assert call(MODEL, "--to", "onix")[0] == 2
