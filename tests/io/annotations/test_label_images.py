"""Label images: the stored numbers count; what they mean is told or refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from cellscope.errors import DatasetError, InputError
from cellscope.io.annotations.label_image import read_label_image
from cellscope.io.annotations.meaning import as_instances, pieces_of, whole_numbers
from cellscope.io.annotations.tally import gathering


def labels(count: int = 6, side: int = 60) -> np.ndarray:
    found = np.zeros((side, side), np.uint16)
    for number in range(count):
        cv2.circle(found, (10 + 20 * (number % 3), 10 + 20 * (number // 3)), 5, number + 1, -1)
    return found


WRITERS: dict[str, Any] = {
    "a.tif": lambda path, x: tifffile.imwrite(path, x),
    "white.tif": lambda path, x: tifffile.imwrite(path, x.astype(np.uint8), photometric="miniswhite"),
    "big.tif": lambda path, x: tifffile.imwrite(path, x.astype(">u2"), bigtiff=True, tile=(16, 16), compression="zlib"),
    "int32.tif": lambda path, x: tifffile.imwrite(path, x.astype(np.int32)),
    "float.tif": lambda path, x: tifffile.imwrite(path, x.astype(np.float32)),
    "imagej.tif": lambda path, x: tifffile.imwrite(path, x, imagej=True),
    "ome.tif": lambda path, x: tifffile.imwrite(path, x, ome=True, metadata={"axes": "YX"}),
    "planar.tif": lambda path, x: tifffile.imwrite(path, np.stack([x] * 3), photometric="rgb", planarconfig="separate"),
    "pages.tif": lambda path, x: tifffile.imwrite(path, np.stack([x * 0, x, x * 0]), photometric="minisblack"),
    "pyramid.tif": lambda path, x: _pyramid(path, x),
    "a.png": lambda path, x: cv2.imwrite(str(path), x.astype(np.uint8)),
    "16.png": lambda path, x: cv2.imwrite(str(path), x),
    "palette.png": lambda path, x: _palette(path, x),
    "4bit.png": lambda path, x: _bits(path, x),
    "alpha.png": lambda path, x: cv2.imwrite(str(path), np.dstack([np.full((*x.shape, 3), 255), x]).astype(np.uint8)),
    "opaque.png": lambda path, x: cv2.imwrite(str(path), np.dstack([x, x, x, x * 0 + 255]).astype(np.uint8)),
    "a.bmp": lambda path, x: cv2.imwrite(str(path), x.astype(np.uint8)),
    "a.npy": lambda path, x: np.save(path, x),
    "fortran.npy": lambda path, x: np.save(path, np.asfortranarray(x)),
    "one.npy": lambda path, x: np.save(path, x[None]),
}


def _pyramid(path: Path, x: np.ndarray) -> None:
    with tifffile.TiffWriter(path) as writer:
        writer.write(x)
        writer.write(x[::2, ::2])


def _palette(path: Path, x: np.ndarray) -> None:
    picture = Image.fromarray(x.astype(np.uint8), "P")
    picture.putpalette(np.random.default_rng(0).integers(0, 255, 768, np.uint8).tobytes())
    picture.save(path)


def _bits(path: Path, x: np.ndarray) -> None:
    """Write a grey PNG of four bits by hand: no library at hand does."""
    rows = b"".join(b"\0" + bytes((row[0::2] << 4 | row[1::2]).astype(np.uint8)) for row in x)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", x.shape[1], x.shape[0], 4, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    packed = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_the_stored_numbers_are_read_whatever_the_file_says_of_white(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, labels())
    found = read_label_image(tmp_path / name)
    assert found.values.ndim == 2
    np.testing.assert_array_equal(found.values, labels())


def test_one_bit_is_zero_and_one(tmp_path: Path) -> None:
    mask = labels() > 0
    tifffile.imwrite(tmp_path / "a.tif", mask)
    Image.fromarray(mask).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", mask)
    for name in ("a.tif", "a.png", "a.npy"):
        np.testing.assert_array_equal(read_label_image(tmp_path / name).values, mask.astype(int))


def test_what_alpha_decides_is_said(tmp_path: Path) -> None:
    mask = labels().astype(np.uint8)
    hidden = np.dstack([mask + 7, mask + 7, mask + 7, np.where(mask > 0, 255, 0)]).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), hidden)
    with gathering() as tally:
        found = read_label_image(tmp_path / "a.png").values
    np.testing.assert_array_equal(found, np.where(mask > 0, mask + 7, 0))
    assert any("transparent" in line for line in tally.lines())
    grey = np.dstack([mask, np.where(mask > 0, 255, 0)]).astype(np.uint8)
    Image.fromarray(grey, "LA").save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_label_image(tmp_path / "b.png").values, mask)


def test_files_that_cannot_be_label_images(tmp_path: Path) -> None:
    np.save(tmp_path / "a_seg.npy", {"masks": labels()}, allow_pickle=True)
    with pytest.raises(InputError, match=r"a_seg\.npy: holds Cellpose's own record.*File > Save masks"):
        read_label_image(tmp_path / "a_seg.npy")
    np.save(tmp_path / "b.npy", np.zeros((3, 4, 5)))
    with pytest.raises(InputError, match=r"shape \(3, 4, 5\)"):
        read_label_image(tmp_path / "b.npy")
    (tmp_path / "c.npy").write_bytes((tmp_path / "b.npy").read_bytes()[:-9].replace(b"(3, 4, 5)", b"(3, 20)  "))
    with pytest.raises(InputError, match="cut short"):
        read_label_image(tmp_path / "c.npy")
    (tmp_path / "d.npy").write_bytes(b"\x93NUMPY\x01\x00\x76\x00{'descr'")
    with pytest.raises(InputError, match=r"d\.npy"):
        read_label_image(tmp_path / "d.npy")
    tifffile.imwrite(tmp_path / "e.tif", np.stack([labels(), labels()[::-1]]), photometric="minisblack")
    with pytest.raises(InputError, match=r"several of its 2 pages hold labels \(pages 0, 1"):
        read_label_image(tmp_path / "e.tif")
    data = bytearray((tmp_path / "e.tif").read_bytes())
    (tmp_path / "f.tif").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"cut short|missing|damaged"):
        read_label_image(tmp_path / "f.tif")
    with pytest.raises(InputError, match="does not exist"):
        read_label_image(tmp_path / "g.tif")


def test_what_numbers_mean(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    numbered = labels().astype(np.int32)
    np.testing.assert_array_equal(as_instances(numbered, path), numbered)
    assert as_instances(np.zeros((9, 9), np.int32), path).max() == 0
    for value in (1, 7, 255, 65535):
        binary = np.where(numbered > 0, value, 0).astype(np.int32)
        with pytest.raises(DatasetError, match=rf"one number only \({value}\) for 6 separate pieces.*--binary split"):
            as_instances(binary, path)
        assert as_instances(binary, path, binary="split").max() == 6
    one = np.where(numbered == 3, 255, 0).astype(np.int32)
    one[5, 50] = 255  # a slip of the brush
    np.testing.assert_array_equal(as_instances(one, path), one)
    classes = np.where(numbered > 0, 1 + numbered % 3, 0).astype(np.int32)
    with pytest.raises(
        DatasetError, match=r"the numbers \(1, 2, 3\) come in 6 separate pieces: they look like classes"
    ):
        as_instances(classes, path)
    levels = cv2.dilate((numbered > 0).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.int32)
    levels[numbered > 0] = 2
    with pytest.raises(DatasetError, match="look like classes"):
        as_instances(levels, path)
    for background in (numbered + 1, np.where(numbered > 0, 0, 255)):
        with pytest.raises(DatasetError, match="looks like the background"):
            as_instances(background.astype(np.int32), path)
    with pytest.raises(DatasetError, match="everywhere"):
        as_instances(np.full((9, 9), 5, np.int32), path)
    touching = np.zeros((20, 20), np.int32)
    touching[2:9, 2:9], touching[2:9, 9:16] = 1, 2
    assert pieces_of(touching).instances
    np.testing.assert_array_equal(as_instances(touching, path), touching)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((5, 5)), "5 x 5 pixels but its image is 60 x 60"),
        (np.full((60, 60), 0.5), "fractions"),
        (np.full((60, 60), np.nan), "fractions"),
        (np.full((60, 60), -1), "must lie in 0"),
        (np.full((60, 60), 2**25), "must lie in 0"),
        (np.dstack([labels(), labels() * 2, labels()]), "colours"),
    ],
)
def test_values_that_are_no_numbers_of_objects(values: np.ndarray, words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        whole_numbers(values, (60, 60), Path("m.png"))
