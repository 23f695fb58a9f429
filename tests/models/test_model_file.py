"""The model file: what goes in comes out, the same every time, and everything that is wrong is refused by name."""

import json
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from cellscope.errors import ModelError
from cellscope.models.file import FORMAT, ModelCard, load_model, read_card, save_model, sha256

CARD = ModelCard(
    assay="karyotype",
    part="classify",
    arch="chrnet4-slim",
    arch_args={"width": 32},
    classes=("1", "2", "X"),
    channels=("grey",),
    normalisation={"mean": [0.5], "std": [0.25]},
    pixel_size_um=0.1,
    thresholds={"review": 0.6},
    training={"sets": [{"name": "made up", "licence": "CC0"}]},
    metrics={"accuracy": 0.5, "recall": None},
    cellscope_version="0.1.0",
)


def tensors():
    return {
        "b.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3) / 4,
        "a.steps": torch.tensor([70000, -3]),
        "c.large": torch.tensor([1e6, 2.0]),
    }


def edit(path: Path, change) -> None:
    """Rewrite the JSON in the metadata of a model file, leaving the tensors as they are."""
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + length])
    description = json.loads(header["__metadata__"]["cellscope"])
    header["__metadata__"]["cellscope"] = json.dumps(change(description))
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(path, tensors(), CARD)
    return path


def refused(path, match, **purpose):
    with pytest.raises(ModelError, match=match) as caught:
        load_model(path, assay=purpose.get("assay", "karyotype"), part=purpose.get("part"))
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert caught.value.exit_code == 2


def test_round_trip(model):
    card, loaded = load_model(model, assay="karyotype", part="classify")
    assert card == CARD == read_card(model)
    assert loaded.keys() == tensors().keys()
    for name, value in tensors().items():
        assert loaded[name].dtype == value.dtype
        assert torch.equal(loaded[name], value)
    loaded["b.weight"] += 1  # writable


def test_half_stores_float16_and_gives_float32_back(tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(path, {**tensors(), "d": torch.tensor([0.1, 1 / 3])}, CARD, half=True)
    stored = load_file(path)
    assert stored["b.weight"].dtype == stored["d"].dtype == torch.float16
    assert stored["a.steps"].dtype == torch.int64
    assert stored["c.large"].dtype == torch.float32, "1e6 is beyond float16, so the tensor must stay float32"
    _, loaded = load_model(path, assay="karyotype")
    assert loaded["d"].dtype == torch.float32
    assert torch.equal(loaded["d"], torch.tensor([0.1, 1 / 3]).half().float())
    assert loaded["c.large"].tolist() == [1e6, 2.0]
    assert loaded["a.steps"].tolist() == [70000, -3]


def test_same_input_same_bytes_whatever_the_order(tmp_path):
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    save_model(one, tensors(), CARD)
    save_model(two, dict(reversed(tensors().items())), replace(CARD, metrics=dict(reversed(CARD.metrics.items()))))
    assert one.read_bytes() == two.read_bytes()
    assert sha256(one) == sha256(two)


def test_views_tied_and_strided_tensors_are_saved(tmp_path):
    base = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    path = tmp_path / "m.safetensors"
    save_model(path, {"a": base, "tied": base, "t": base.t(), "row": base[1]}, CARD)
    _, loaded = load_model(path, assay="karyotype")
    assert torch.equal(loaded["tied"], base)
    assert torch.equal(loaded["t"], base.t())
    assert torch.equal(loaded["row"], base[1])


def test_numpy_scalars_paths_and_tuples_fit_in_a_card(tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(
        path, tensors(), replace(CARD, training={"n": np.int64(3), "loss": np.float32(0.5), "source": Path("a/b")})
    )
    assert read_card(path).training == {"n": 3, "loss": 0.5, "source": "a/b"}


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"metrics": {"ap": float("nan")}}, "JSON"),
        ({"training": {"x": object()}}, "JSON"),
    ],
)
def test_a_card_json_cannot_hold_is_refused_and_nothing_written(tmp_path, changes, match):
    with pytest.raises(ModelError, match=match):
        save_model(tmp_path / "m.safetensors", tensors(), replace(CARD, **changes))
    assert list(tmp_path.iterdir()) == []


def test_diverged_weights_are_not_saved(tmp_path):
    with pytest.raises(ModelError, match=r"'w' holds NaN"):
        save_model(tmp_path / "m.safetensors", {"w": torch.tensor([1.0, float("nan")])}, CARD)
    with pytest.raises(ModelError, match="no tensors"):
        save_model(tmp_path / "m.safetensors", {}, CARD)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("assay", ""),
        ("arch", 3),
        ("classes", "abc"),
        ("classes", ["1", "1"]),
        ("classes", []),
        ("arch_args", [1]),
        ("thresholds", {"review": "high"}),
        ("thresholds", {"review": float("inf")}),
        ("pixel_size_um", 0),
        ("pixel_size_um", "0.1"),
        ("format", "1"),
    ],
)
def test_a_wrong_card_names_the_field(field, value):
    with pytest.raises(ModelError, match=f"'{field}'"):
        replace(CARD, **{field: value})


def test_wrong_purpose(model):
    refused(model, "for the assay 'karyotype', not 'mitosis'", assay="mitosis")
    refused(model, "the part 'classify' of karyotype, not 'detect'", part="detect")


def test_wrong_format_version(model):
    edit(model, lambda card: {**card, "format": FORMAT + 1})
    refused(model, f"version {FORMAT + 1}.*update cellscope")
    edit(model, lambda card: {**card, "format": "old"})
    refused(model, "version 'old'.*train it again")


@pytest.mark.parametrize("key", ["assay", "classes", "thresholds", "tensors_sha256"])
def test_missing_key(model, key):
    edit(model, lambda card: {name: value for name, value in card.items() if name != key})
    refused(model, f"lacks '{key}'")


def test_wrong_type_in_the_file(model):
    edit(model, lambda card: {**card, "classes": "many"})
    refused(model, "'classes'")


def test_one_flipped_bit_in_the_tensors(model):
    raw = bytearray(model.read_bytes())
    raw[-1] ^= 1
    model.write_bytes(raw)
    assert read_card(model) == CARD
    refused(model, "do not match their hash")


def test_renamed_tensor_is_found_by_the_hash(model):
    model.write_bytes(model.read_bytes().replace(b'"b.weight"', b'"x.weight"'))
    refused(model, "do not match their hash")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "not a safetensors file .it is empty"),
        (b"abc", "not a safetensors"),
        (b"just some text that is long enough", "not a safetensors"),
        (b"PK\x03\x04" + bytes(60), "PyTorch pickle"),
        (b"\x80\x02}q\x00." + bytes(60), "PyTorch pickle"),
        (struct.pack("<Q", 20) + b"{}", "truncated"),
        (struct.pack("<Q", 4) + b"[1] ", "not a safetensors"),
        (struct.pack("<Q", 12) + b'{"a":"wrong"', "not a safetensors"),
        (struct.pack("<Q", 2) + b"{}", "not a cellscope model"),
    ],
)
def test_other_files_by_any_name(tmp_path, content, match):
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    refused(path, match)


def test_every_truncation_is_refused(model):
    raw = model.read_bytes()
    for size in range(0, len(raw), 37):
        model.write_bytes(raw[:size])
        with pytest.raises(ModelError):
            read_card(model)
    model.write_bytes(raw[:-1])
    refused(model, f"truncated: {len(raw) - 1} of {len(raw)} bytes")
    model.write_bytes(raw + b"x")
    refused(model, "1 unexpected bytes")


def test_missing_file_and_folder(tmp_path):
    refused(tmp_path / "none.safetensors", "no such model file")
    refused(tmp_path, "cannot be read")
    with pytest.raises(ModelError, match="cannot be read"):
        sha256(tmp_path / "none")


def test_another_programs_safetensors(tmp_path):
    path = tmp_path / "m.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata={"author": "x"})
    refused(path, "not a cellscope model")


def test_a_pickle_is_never_executed(tmp_path):
    path = tmp_path / "m.safetensors"
    torch.save({"a": torch.zeros(1)}, path)
    refused(path, "PyTorch pickle")


def test_sha256_of_known_content(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert sha256(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_reading_a_card_needs_no_torch(model):
    code = (
        "import sys; from cellscope.models.file import read_card; read_card(sys.argv[1]);"
        "assert not {'torch', 'numpy', 'cv2', 'pandas', 'safetensors'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(model)], check=True)
