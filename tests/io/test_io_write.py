"""Writing: whole files or none, and what is written reads back equal."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PilImage

from cellscope.errors import CellscopeError
from cellscope.io.read import read
from cellscope.io.write import atomic, write_csv, write_json, write_labels, write_png, write_text

rng = np.random.default_rng(3)
WRITERS = {
    "a.labels.tif": lambda path: write_labels(path, np.eye(4, dtype=int)),
    "a.png": lambda path: write_png(path, np.zeros((4, 4), np.uint8)),
    "a.json": lambda path: write_json(path, {"a": 1}),
    "a.csv": lambda path: write_csv(path, pd.DataFrame({"a": [1]})),
    "a.txt": lambda path: write_text(path, "text"),
}


def listing(folder):
    return sorted(path.name for path in folder.rglob("*"))


def test_atomic_makes_folders_and_renames(tmp_path):
    with atomic(tmp_path / "x" / "y" / "a.labels.tif") as temporary:
        assert temporary.parent == tmp_path / "x" / "y"
        assert temporary.suffix == ".tif"
        assert temporary.name.startswith(".")
        temporary.write_text("new")
        assert not (tmp_path / "x" / "y" / "a.labels.tif").exists()
    assert (tmp_path / "x" / "y" / "a.labels.tif").read_text() == "new"
    assert listing(tmp_path) == ["a.labels.tif", "x", "y"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_atomic_leaves_the_old_file_when_the_block_fails(tmp_path, error):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(error), atomic(tmp_path / "a.txt") as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise error
    assert (tmp_path / "a.txt").read_text() == "old"
    assert listing(tmp_path) == ["a.txt"]


def test_atomic_disk_full(tmp_path):
    with pytest.raises(CellscopeError, match="No space left") as caught, atomic(tmp_path / "a.txt") as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise OSError(28, "No space left on device")
    assert str(caught.value).startswith(str(tmp_path / "a.txt"))
    assert listing(tmp_path) == []


@pytest.mark.parametrize("name", WRITERS)
def test_folder_in_the_way(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(CellscopeError, match="cannot be written") as caught:
        WRITERS[name](tmp_path / name)
    assert "\n" not in str(caught.value)
    assert listing(tmp_path) == [name]


@pytest.mark.parametrize("name", WRITERS)
def test_file_where_the_folder_should_be(tmp_path, name):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(CellscopeError, match="cannot be written"):
        WRITERS[name](tmp_path / "out" / name)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="the superuser may write everywhere")
@pytest.mark.parametrize("name", WRITERS)
def test_read_only_folder(tmp_path, name):
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(CellscopeError, match="Permission denied"):
        WRITERS[name](tmp_path / "out" / name)


@pytest.mark.parametrize("name", WRITERS)
def test_permission_denied(tmp_path, name, monkeypatch):
    def deny(source, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", deny)
    with pytest.raises(CellscopeError, match="Permission denied"):
        WRITERS[name](tmp_path / name)
    assert listing(tmp_path) == []


def test_long_names_are_no_obstacle(tmp_path):
    name = "n" * 240 + ".labels.tif"
    write_labels(tmp_path / name, np.eye(3, dtype=np.uint8))
    assert (tmp_path / name).is_file()


def test_new_files_follow_the_umask(tmp_path):
    (tmp_path / "plain").touch()
    write_text(tmp_path / "a.txt", "")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "plain").stat().st_mode


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    top=st.sampled_from([0, 1, 255, 65535, 65536, 2**32 - 1]),
    dtype=st.sampled_from([np.int64, np.uint32]),
)
def test_labels_round_trip(tmp_path, height, width, top, dtype):
    labels = rng.integers(0, top, (height, width), dtype=np.int64, endpoint=True).astype(dtype)
    labels[0, 0] = top
    write_labels(tmp_path / "a.labels.tif", labels)
    with tifffile.TiffFile(tmp_path / "a.labels.tif") as tif:
        assert len(tif.pages) == 1
        assert tif.pages[0].compression == 8
        assert tif.pages[0].predictor == 1
        stored = tif.asarray()
    assert stored.dtype == (np.uint16 if top < 65536 else np.uint32)
    assert stored.shape == labels.shape
    np.testing.assert_array_equal(stored, labels)


def test_labels_open_elsewhere_and_are_deterministic(tmp_path):
    labels = np.arange(600).reshape(20, 30)
    write_labels(tmp_path / "a.tif", labels, pixel_size_um=0.25)
    write_labels(tmp_path / "b.tif", labels, pixel_size_um=0.25)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    np.testing.assert_array_equal(np.asarray(PilImage.open(tmp_path / "a.tif")), labels)
    assert read(tmp_path / "a.tif").pixel_size_um == pytest.approx(0.25)


@pytest.mark.parametrize(
    "labels",
    [np.zeros((3, 3, 3), int), np.zeros((3, 3)), np.array([[-1, 0]]), np.array([[2**32]]), np.zeros((0, 3), int)],
)
def test_labels_refused(tmp_path, labels):
    with pytest.raises(ValueError, match="labels must"):
        write_labels(tmp_path / "a.tif", labels)
    assert listing(tmp_path) == []


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1), (5, 6, 3), (5, 6, 4)])
def test_png_round_trip(tmp_path, dtype, shape):
    pixels = rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype)
    write_png(tmp_path / "a.png", pixels, dpi=300)
    expected = pixels.reshape(5, 6, -1)
    if expected.shape[2] == 4:
        expected[..., 3] = np.iinfo(dtype).max
        write_png(tmp_path / "a.png", expected, dpi=300)
    np.testing.assert_array_equal(read(tmp_path / "a.png").pixels, expected[..., : min(3, expected.shape[2])])
    with PilImage.open(tmp_path / "a.png") as picture:
        picture.load()
        assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.02)


def test_png_of_booleans_views_and_no_dpi(tmp_path):
    mask = rng.random((9, 8)) < 0.5
    write_png(tmp_path / "a.png", mask[::-1, ::2])
    with PilImage.open(tmp_path / "a.png") as picture:
        assert "dpi" not in picture.info
        np.testing.assert_array_equal(np.asarray(picture), mask[::-1, ::2] * 255)


@pytest.mark.parametrize("pixels", [np.zeros((4, 4)), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4), np.uint8)])
def test_png_refused(tmp_path, pixels):
    with pytest.raises(ValueError, match="a PNG needs"):
        write_png(tmp_path / "a.png", pixels)


def test_json_plain_and_numpy(tmp_path):
    value = {
        "z": np.float32(0.5), "a": np.int64(3), "flag": np.bool_(True), "none": None, "list": (1, np.uint8(2)),
        "array": np.array([[1, 2], [3, 4]]), np.int64(7): "key", "path": Path("a") / "b", "µ": "染",
    }  # fmt: skip
    write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert '"µ": "染"' in text
    loaded = json.loads(text)
    assert list(loaded) == ["z", "a", "flag", "none", "list", "array", "7", "path", "µ"]
    expected = [0.5, 3, True, None, [1, 2], [[1, 2], [3, 4]], "key", "a/b", "染"]
    assert list(loaded.values()) == expected


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), np.float32("nan"), np.float64("-inf"), np.array([1.0, np.nan])]
)
def test_json_refuses_what_is_not_a_number(tmp_path, value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"a": [value]})
    assert listing(tmp_path) == []


def test_json_refuses_unknown_types(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": {1, 2}})


def test_json_keeps_undecodable_file_names(tmp_path):
    write_json(tmp_path / "a.json", {"image": "a\udcff.tif"}, indent=None)
    assert (tmp_path / "a.json").read_bytes() == b'{"image": "a\\udcff.tif"}\n'
    assert json.loads((tmp_path / "a.json").read_text())["image"] == "a\udcff.tif"


def test_csv_hand_worked(tmp_path):
    frame = pd.DataFrame(
        {
            "image": ["a,b.tif", "µ.tif"],
            "label": np.array([1, 2], np.uint16),
            "score": np.array([1 / 3, 1], np.float32),
            "area": [123456.0, 12345678.5],
            "area_um2": [np.nan, 0.00001234567],
            "review": [True, False],
            "class": ["1", None],
        }
    )
    write_csv(tmp_path / "a.csv", frame)
    assert (tmp_path / "a.csv").read_bytes().decode("utf-8") == (
        "image,label,score,area,area_um2,review,class\n"
        '"a,b.tif",1,0.333333,123456,,True,1\n'
        "µ.tif,2,1,12345678.5,1.23457e-05,False,\n"
    )


def test_csv_empty_table_has_its_header(tmp_path):
    write_csv(tmp_path / "a.csv", pd.DataFrame(columns=["image", "label"]))
    assert (tmp_path / "a.csv").read_text() == "image,label\n"


def test_csv_refuses_infinity(tmp_path):
    with pytest.raises(ValueError, match="column score"):
        write_csv(tmp_path / "a.csv", pd.DataFrame({"score": [np.inf]}))
    assert listing(tmp_path) == []


def test_text_keeps_line_ends(tmp_path):
    write_text(tmp_path / "a.html", "é\nb\r\nc")
    assert (tmp_path / "a.html").read_bytes() == "é\nb\r\nc".encode()
