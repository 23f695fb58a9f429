"""The registry of built-in weights, on a made-up weights folder."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cellscope.errors import ModelError, UsageError
from cellscope.models import registry
from cellscope.models.file import ModelCard, load_model, save_model, sha256

CARD = ModelCard(
    assay="karyotype",
    part="detect",
    arch="tiny",
    arch_args={},
    classes=("chromosome",),
    channels=("grey",),
    normalisation={},
    pixel_size_um=None,
    thresholds={"score_threshold": 0.4},
    training={},
    metrics={},
    cellscope_version="0.1.0",
)


@pytest.fixture
def save(tmp_path):
    def save(name, value=1.0, **changes):
        path = tmp_path / f"{name}.safetensors"
        save_model(path, {"w": torch.tensor([value])}, replace(CARD, **changes))
        return path

    return save


@pytest.fixture
def both(weights, save):
    registry.register(save("a"), "karyotype-detect")
    registry.register(save("b", part="classify", thresholds={"review_below": 0.7}), "karyotype-classify")
    return weights


def test_the_real_folder_is_inside_the_package():
    import cellscope

    assert registry.weights_folder() == Path(cellscope.__file__).parent / "weights"


def test_no_registry_and_an_empty_one(weights):
    assert registry.builtin() == []
    weights.mkdir()
    (weights / "registry.json").write_text("")
    assert registry.builtin() == []
    (weights / "registry.json").write_text('{"format": 1, "models": []}')
    assert registry.builtin() == []
    with pytest.raises(ModelError, match=r"no built-in model for the part 'detect'.*--part detect"):
        registry.default_for("karyotype", "detect")
    with pytest.raises(ModelError, match="there are none yet"):
        registry.locate("karyotype-detect")


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1}', '{"format": 1, "models": [{"name": "x"}]}'])
def test_damaged_registry(weights, text):
    weights.mkdir()
    (weights / "registry.json").write_text(text)
    with pytest.raises(ModelError, match=r"registry\.json: the registry of built-in models is damaged"):
        registry.builtin()


def test_registry_of_another_format(weights):
    weights.mkdir()
    (weights / "registry.json").write_text('{"format": 2, "models": []}')
    with pytest.raises(ModelError, match="registry format 2"):
        registry.builtin()


def test_register_writes_what_is_needed(both, save):
    entries = {entry.name: entry for entry in registry.builtin()}
    assert list(entries) == ["karyotype-classify", "karyotype-detect"]
    detect = entries["karyotype-detect"]
    assert detect.path == both / "karyotype-detect.safetensors"
    assert detect.sha256 == sha256(detect.path) == sha256(save("a"))
    assert detect.bytes == detect.path.stat().st_size
    assert detect.default
    assert registry.verify(detect) == []
    assert not list(both.glob(".*")), "temporary files are left"
    assert json.loads((both / "registry.json").read_text())["models"][0]["file"] == "karyotype-classify.safetensors"


def test_registering_again_replaces_and_a_new_default_demotes(both, save):
    registry.register(save("c", 2.0), "karyotype-detect")
    assert len(registry.builtin()) == 2
    assert load_model(registry.locate("karyotype-detect"), assay="karyotype")[1]["w"].item() == 2
    registry.register(save("d", 3.0), "karyotype-detect-large")
    assert registry.default_for("karyotype", "detect").name == "karyotype-detect-large"
    registry.register(save("e", 4.0), "karyotype-detect-small", default=False)
    assert registry.default_for("karyotype", "detect").name == "karyotype-detect-large"
    assert registry.default_for("karyotype", "classify").name == "karyotype-classify"


@pytest.mark.parametrize("name", ["", "Karyotype", "a b", "../x", "a--b", "a/b"])
def test_register_refuses_bad_names(weights, save, name):
    with pytest.raises(UsageError, match="not a model name"):
        registry.register(save("a"), name)


def test_register_refuses_what_is_no_model(weights, tmp_path):
    (tmp_path / "x.safetensors").write_text("no")
    with pytest.raises(ModelError):
        registry.register(tmp_path / "x.safetensors", "x")
    assert not weights.exists()


def test_locate(both, save, tmp_path):
    path = save("mine")
    assert registry.locate(str(path)) == path
    run = tmp_path / "run"
    run.mkdir()
    (run / "model.safetensors").write_bytes(path.read_bytes())
    assert registry.locate(str(run)) == run / "model.safetensors"
    assert registry.locate("karyotype-detect") == both / "karyotype-detect.safetensors"
    with pytest.raises(ModelError, match=r"did you mean 'karyotype-detect'\?"):
        registry.locate("karyotype-detct")
    with pytest.raises(ModelError, match="there are karyotype-classify, karyotype-detect"):
        registry.locate("zebra")
    with pytest.raises(ModelError, match="no such model file"):
        registry.locate("folder/none.safetensors")


def test_verify_finds_every_damage(both):
    entry = registry.default_for("karyotype", "detect")
    assert registry.verify(replace(entry, part="classify")) == [
        f"{entry.path}: this model is the part 'detect' of karyotype, not 'classify'"
    ]
    raw = bytearray(entry.path.read_bytes())
    raw[-1] ^= 1
    entry.path.write_bytes(raw)
    assert [text.partition(": ")[2] for text in registry.verify(entry)] == [
        "its SHA-256 is not the one in the registry"
    ]
    entry.path.write_bytes(raw[:-2])
    assert any("bytes instead of" in text for text in registry.verify(entry))
    entry.path.unlink()
    assert registry.verify(entry) == [f"{entry.path}: the file is missing"]


def test_choose_defaults_and_given(both, save):
    parts = ("detect", "classify")
    detect, classify = both / "karyotype-detect.safetensors", both / "karyotype-classify.safetensors"
    assert registry.choose("karyotype", parts, []) == {"detect": detect, "classify": classify}
    mine = save("mine", 5.0, part="classify")
    chosen = registry.choose("karyotype", parts, [str(mine), "karyotype-detect"])
    assert list(chosen.items()) == [("detect", detect), ("classify", mine)]
    assert registry.choose("karyotype", ["classify"], []) == {"classify": classify}


def test_choose_refuses(both, save):
    parts = ("detect", "classify")
    with pytest.raises(ModelError, match="for the assay 'histo', not 'karyotype'"):
        registry.choose("karyotype", parts, [str(save("h", assay="histo"))])
    with pytest.raises(ModelError, match="the part 'nuclei'; here it can be detect or classify"):
        registry.choose("karyotype", parts, [str(save("n", part="nuclei"))])
    with pytest.raises(ModelError, match="a second model for the part 'detect'"):
        registry.choose("karyotype", parts, [str(save("x", 2.0)), "karyotype-detect"])
    damaged = registry.default_for("karyotype", "classify").path
    damaged.write_bytes(damaged.read_bytes()[:-1])
    for given in ([], ["karyotype-classify"]):
        with pytest.raises(ModelError, match="the built-in model karyotype-classify is damaged"):
            registry.choose("karyotype", parts, given)
