"""What is refused for what it is: no file, too large, no image that is understood; one line, a quiet terminal."""

import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from drawn.spoilt import GOOD, PIXELS, encoded, refusal, tiff

from cellscope.errors import InputError
from cellscope.io.read import describe, read


def test_what_is_not_a_file(tmp_path):
    assert "does not exist" in refusal(tmp_path / "gone.tif")
    (tmp_path / "a.tif").write_bytes(GOOD["raw.tif"])
    assert "does not exist" in refusal(tmp_path / "a.tif" / "b.tif")
    (tmp_path / "folder.tif").mkdir()
    assert "folder" in refusal(tmp_path / "folder.tif")
    (tmp_path / "empty.tif").touch()
    assert "empty" in refusal(tmp_path / "empty.tif")
    with pytest.raises(InputError, match="does not exist"):
        describe(tmp_path / "gone.tif")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "a.tif")
    assert "not a regular file" in refusal(tmp_path / "a.tif")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="the superuser may read everything")
def test_unreadable(tmp_path):
    (tmp_path / "a.tif").write_bytes(GOOD["raw.tif"])
    (tmp_path / "a.tif").chmod(0)
    assert "permission" in refusal(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("error", "words"),
    [(PermissionError(13, "Permission denied"), "permission"), (OSError(5, "I/O error"), "I/O error")],
)
def test_errors_of_the_file_system(tmp_path, monkeypatch, error, words):
    (tmp_path / "a.tif").write_bytes(GOOD["raw.tif"])

    def fail(self, *args, **kwargs):
        raise error

    monkeypatch.setattr(Path, "open", fail)
    assert words in refusal(tmp_path / "a.tif")


def test_text_named_tif(tmp_path):
    (tmp_path / "a.tif").write_text("hello, world\n")
    message = refusal(tmp_path / "a.tif")
    assert "not an image of a known kind" in message
    assert "hello" in message


def test_file_name_with_a_line_end(tmp_path):
    (tmp_path / "a\nb.tif").write_text("text")
    with pytest.raises(InputError) as caught:
        read(tmp_path / "a\nb.tif")
    assert "a\\nb.tif" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_not_finite(tmp_path, value, dtype):
    pixels = np.zeros((20, 20), dtype)
    pixels[19, 3] = value
    (tmp_path / "a.tif").write_bytes(tiff(pixels))
    assert "NaN or infinite" in refusal(tmp_path / "a.tif")


@pytest.mark.parametrize("shape", [(1, 20), (20, 1), (1, 1)])
def test_too_thin(tmp_path, shape):
    (tmp_path / "a.tif").write_bytes(tiff(np.zeros(shape, np.uint8)))
    (tmp_path / "a.png").write_bytes(encoded("PNG", np.zeros(shape, np.uint8)))
    (tmp_path / "a.jpg").write_bytes(encoded("JPEG", np.zeros(shape, np.uint8)))
    (tmp_path / "a.bmp").write_bytes(encoded("BMP", np.zeros(shape, np.uint8)))
    for suffix in ("tif", "png", "jpg", "bmp"):
        assert f"{shape[1]} x {shape[0]} pixels" in refusal(tmp_path / f"a.{suffix}")


def test_zero_width_png(tmp_path):
    data = bytearray(GOOD["a.png"])
    data[16:20] = bytes(4)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / "a.png").write_bytes(data)
    assert "0 x 48 pixels" in refusal(tmp_path / "a.png")


@pytest.mark.parametrize("name", GOOD)
def test_max_pixels(tmp_path, name):
    (tmp_path / name).write_bytes(GOOD[name])
    assert read(tmp_path / name, max_pixels=48 * 60).pixels.size
    assert "--max-pixels" in refusal(tmp_path / name, max_pixels=48 * 60 - 1)


def bomb(kind, side):
    """A small file that claims to be side x side pixels."""
    data = bytearray(encoded("PNG" if kind == "png" else "JPEG" if kind == "jpg" else "BMP"))
    if kind == "png":
        data[16:24] = struct.pack(">II", side, side)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif kind == "jpg":
        frame = data.index(b"\xff\xc0")
        data[frame + 5 : frame + 9] = struct.pack(">HH", min(side, 65500), min(side, 65500))
    else:
        data[18:26] = struct.pack("<ii", side, side)
    return bytes(data)


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp"])
def test_bombs_are_refused_before_decoding(tmp_path, kind, capfd):
    (tmp_path / f"a.{kind}").write_bytes(bomb(kind, 60000))
    assert "above the limit" in refusal(tmp_path / f"a.{kind}")
    assert capfd.readouterr() == ("", "")


def patched(data, tag, value):
    """Overwrite the inline value of a tag in a little-endian classic TIFF."""
    start = struct.unpack_from("<I", data, 4)[0]
    for entry in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        if struct.unpack_from("<H", data, entry)[0] == tag:
            return data[: entry + 2] + struct.pack("<HII", 4, 1, value) + data[entry + 12 :]
    raise AssertionError(f"no tag {tag}")


def test_tiff_bombs(tmp_path, monkeypatch):
    good = tiff(np.zeros((64, 64), np.uint8), compression="zlib", tile=(16, 16))
    monkeypatch.setattr(tifffile.TiffPage, "asarray", None)  # nothing may be decoded
    for change, words in (
        ([(256, 10**6), (257, 10**6)], "which no scanner makes"),
        ([(256, 10**5), (257, 10**5)], "above the limit"),
        ([(322, 2**20), (323, 2**20)], "tiles of"),
        ([(277, 60000)], "channels"),
    ):
        data = good
        for tag, value in change:
            data = patched(data, tag, value)
        (tmp_path / "a.tif").write_bytes(data)
        assert words in refusal(tmp_path / "a.tif", max_pixels=10**6)


def test_missing_strips_are_not_filled_in(tmp_path):
    good = tiff(PIXELS[..., 0], compression="zlib", rowsperstrip=48)
    for tag in (273, 279):  # no offset, no length: tifffile itself would return zeros
        (tmp_path / "a.tif").write_bytes(patched(good, tag, 0))
        assert "1 of its 1 strips are missing" in refusal(tmp_path / "a.tif")
    (tmp_path / "a.tif").write_bytes(patched(tiff(PIXELS[..., 0], compression="zlib", rowsperstrip=48), 278, 4))
    refusal(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", ["c8", "c16"])
def test_complex_is_refused(tmp_path, dtype):
    (tmp_path / "a.tif").write_bytes(tiff(np.zeros((4, 4), dtype)))
    assert "not supported" in refusal(tmp_path / "a.tif")


def test_integers_out_of_range(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(np.array([[0, 2**40], [0, 0]], np.uint64)))
    assert str(2**40) in refusal(tmp_path / "a.tif")


@pytest.mark.parametrize(("photometric", "name"), [(8, "CIELab"), (6, "YCbCr"), (32803, "colour filter"), (99, "99")])
def test_colour_spaces_refused(tmp_path, photometric, name):
    (tmp_path / "a.tif").write_bytes(patched(tiff(), 262, photometric))
    message = refusal(tmp_path / "a.tif")
    assert "colour space" in message
    assert name in message


def test_volume_is_refused(tmp_path):
    volume = np.zeros((4, 16, 16), np.uint8)
    (tmp_path / "a.tif").write_bytes(tiff(volume, photometric="minisblack", volumetric=True, tile=(4, 16, 16)))
    assert "volume of 4 slices" in refusal(tmp_path / "a.tif")


def test_palette_too_short(tmp_path):
    indices = np.full((8, 8), 3, np.uint8)
    indices[0, 0] = 200
    data = tiff(indices, photometric="palette", colormap=np.zeros((3, 256), np.uint16))
    start = struct.unpack_from("<I", data, 4)[0]
    for entry in range(start + 2, len(data), 12):
        if struct.unpack_from("<H", data, entry)[0] == 320:
            data = data[: entry + 4] + struct.pack("<I", 3 * 16) + data[entry + 8 :]
            break
    (tmp_path / "a.tif").write_bytes(data)
    assert "palette" in refusal(tmp_path / "a.tif")


def test_decoder_noise_stays_off_the_terminal(tmp_path, capfd, caplog):
    data = tiff()
    start = struct.unpack_from("<I", data, 4)[0]
    end = start + 2 + 12 * struct.unpack_from("<H", data, start)[0]
    # the next page lies outside the file: tifffile logs that as an error
    (tmp_path / "a.tif").write_bytes(data[:end] + b"\xff\xff\xff\x7f" + data[end + 4 :])
    np.testing.assert_array_equal(read(tmp_path / "a.tif").pixels, PIXELS)
    # too many pixels in a PNG: libpng complains through imagecodecs' log
    png = bytearray(GOOD["a.png"])
    png[20:24] = struct.pack(">I", 40)
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    (tmp_path / "a.png").write_bytes(png)
    np.testing.assert_array_equal(read(tmp_path / "a.png").pixels, PIXELS[:40])
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []  # pytest takes the place of Python's last resort, which prints what nobody else handles
