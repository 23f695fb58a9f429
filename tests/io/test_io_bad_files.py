"""Files cut short or damaged: one line that names them, never half an image."""

import io
import struct

import numpy as np
import pytest
import tifffile
from drawn.spoilt import GOOD, PIXELS, attempt, encoded, refusal, tiff
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cellscope.io.read import read


@pytest.mark.parametrize("name", GOOD)
def test_the_good_files_are_good(tmp_path, name):
    (tmp_path / name).write_bytes(GOOD[name])
    assert read(tmp_path / name).pixels.shape[:2] == (48, 60)


@pytest.mark.parametrize("name", GOOD)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(part=st.floats(0, 0.99))
def test_cut_files_are_refused_or_whole(tmp_path, name, part):
    (tmp_path / name).write_bytes(GOOD[name])
    whole = read(tmp_path / name).pixels
    (tmp_path / name).write_bytes(GOOD[name][: int(part * len(GOOD[name]))])
    result = attempt(tmp_path / name)
    if result is not None:  # only what is not pixels may be missing
        np.testing.assert_array_equal(result.pixels, whole)


@pytest.mark.parametrize("name", GOOD)
def test_half_a_file_is_refused(tmp_path, name, capfd):
    (tmp_path / name).write_bytes(GOOD[name][: len(GOOD[name]) // 2])
    assert "cut short" in refusal(tmp_path / name)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "progressive.jpg", "lzw.tif", "deflate-tiles.tif", "jpeg.tif"])
def test_half_a_file_padded_with_zeros_is_refused(tmp_path, name):
    half = len(GOOD[name]) // 2
    (tmp_path / name).write_bytes(GOOD[name][:half] + bytes(len(GOOD[name]) - half))
    refusal(tmp_path / name)


@pytest.mark.parametrize("options", [{"rowsperstrip": 48}, {"tile": (32, 32)}])
def test_jpeg_in_tiff_that_ends_early_is_refused(tmp_path, options):
    data = bytearray(tiff(compression="jpeg", **options))
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        offset, size = tif.pages[0].dataoffsets[-1], tif.pages[0].databytecounts[-1]
    (tmp_path / "a.tif").write_bytes(data)
    read(tmp_path / "a.tif")
    data[offset + size // 2 : offset + size] = bytes(size - size // 2)
    (tmp_path / "a.tif").write_bytes(data)
    assert "cut short" in refusal(tmp_path / "a.tif")


def test_jpeg_in_tiff_that_claims_to_be_larger_than_its_page(tmp_path):
    data = bytearray(tiff(compression="jpeg", rowsperstrip=48))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 60000, 60000)
    (tmp_path / "a.tif").write_bytes(data)
    assert "claims to be 60000 x 60000" in refusal(tmp_path / "a.tif")


@pytest.mark.parametrize("part", [0.5, 0.7, 0.9])
@pytest.mark.parametrize("grey", [False, True])
def test_jpeg_cut_and_closed_again_is_refused(tmp_path, part, grey):
    data = encoded("JPEG", PIXELS[..., 0] if grey else PIXELS)
    (tmp_path / "a.jpg").write_bytes(data[: int(len(data) * part)] + b"\xff\xd9")
    assert "end before the image does" in refusal(tmp_path / "a.jpg")


@pytest.mark.parametrize("name", GOOD)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 0.999), value=st.integers(0, 255))
def test_damage_never_escapes_as_another_error(tmp_path, name, place, value):
    data = bytearray(GOOD[name])
    data[int(place * len(data))] = value
    (tmp_path / name).write_bytes(data)
    attempt(tmp_path / name, max_pixels=10**6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    magic=st.sampled_from(
        [b"", b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"RIFF\0\0\0\0WEBP"]
    ),
    rest=st.binary(max_size=200),
)
def test_random_bytes_are_refused(tmp_path, magic, rest):
    (tmp_path / "a.tif").write_bytes(magic + rest)
    refusal(tmp_path / "a.tif")
