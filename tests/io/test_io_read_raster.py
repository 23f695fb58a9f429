"""PNG, JPEG, BMP and WebP: what Pillow and OpenCV write must come back equal."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PilImage
from PIL import ImageOps

from cellscope.errors import InputError
from cellscope.imaging.white import white_level
from cellscope.io.read import describe, read

rng = np.random.default_rng(11)
CODE = {1: None, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}


def noise(shape, dtype="u1"):
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def smooth(height=48, width=64):
    y, x = np.mgrid[:height, :width]
    return np.stack([y * 3, x * 3, y + x], -1).astype(np.uint8)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, bits, colour, rows, *extra):
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=st.integers(2, 30),
    width=st.integers(2, 30),
    channels=st.sampled_from([1, 3, 4]),
    dtype=st.sampled_from(["u1", "u2"]),
)
def test_png_round_trip(tmp_path, height, width, channels, dtype):
    pixels = noise((height, width, channels), dtype)
    stored = pixels if channels == 1 else cv2.cvtColor(pixels, CODE[channels])
    assert cv2.imwrite(str(tmp_path / "a.png"), stored)
    image = read(tmp_path / "a.png")
    assert image.pixels.dtype == np.dtype(dtype)
    if channels == 4:
        share, white = pixels[..., 3:] / np.iinfo(dtype).max, 255 if dtype == "u1" else white_level(pixels[..., :3])
        expected = np.rint(pixels[..., :3] * share + white * (1 - share)) if share.any() else pixels[..., :3]
        assert np.abs(image.pixels - expected).max() <= 1
    else:
        np.testing.assert_array_equal(image.pixels, pixels)
    assert image.pixels.flags.c_contiguous
    assert image.pixels.flags.writeable
    assert describe(tmp_path / "a.png").scenes[0].many == ()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("interlace", [False, True])
def test_png_modes(tmp_path, mode, interlace):
    colour = PilImage.fromarray(smooth())
    sixteen = PilImage.fromarray(noise((48, 64), "u2"))
    picture = sixteen if mode == "I;16" else colour.convert(mode)
    picture.save(tmp_path / "a.png", interlace=interlace)
    expected = np.asarray(picture.convert("RGB") if mode in ("P", "RGBA") else picture).reshape(48, 64, -1)
    if mode == "1":
        expected = expected * np.uint8(255)
    if mode == "LA":
        expected = expected[..., :1]
    np.testing.assert_array_equal(read(tmp_path / "a.png").pixels, expected)


def test_png_few_bits_and_transparency(tmp_path):
    rows = bytes([0, 0b00011011]) * 4
    (tmp_path / "grey.png").write_bytes(png(4, 4, 2, 0, rows))
    np.testing.assert_array_equal(read(tmp_path / "grey.png").pixels[0, :, 0], [0, 85, 170, 255])
    palette, alpha = chunk(b"PLTE", bytes(range(12))), chunk(b"tRNS", bytes([0, 128]))
    (tmp_path / "palette.png").write_bytes(png(4, 4, 2, 3, rows, palette, alpha))
    shown = read(tmp_path / "palette.png")
    assert shown.pixels[0].tolist() == [[255] * 3, [129, 129, 130], [6, 7, 8], [9, 10, 11]]  # alpha 0, 128, 255, 255
    assert "25% of the pixels are transparent" in shown.warnings[0]
    (tmp_path / "key.png").write_bytes(png(4, 4, 2, 0, rows, chunk(b"tRNS", b"\0\1")))
    assert read(tmp_path / "key.png").channels == 1


def test_png_profile_complaints_stay_off_the_terminal(tmp_path, capfd):
    rows = bytes(5) * 4
    (tmp_path / "a.png").write_bytes(png(4, 4, 8, 0, rows * 2, chunk(b"iCCP", b"x\0\0junk"), chunk(b"gAMA", b"\0")))
    assert read(tmp_path / "a.png").pixels.max() == 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_exif_orientation(tmp_path, orientation, suffix):
    picture = PilImage.fromarray(smooth())
    exif = PilImage.Exif()
    exif[274] = orientation
    picture.save(tmp_path / f"a.{suffix}", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(PilImage.open(tmp_path / f"a.{suffix}")))
    image = read(tmp_path / f"a.{suffix}")
    assert image.pixels.flags.c_contiguous
    np.testing.assert_array_equal(image.pixels, expected)


def test_damaged_exif_is_ignored(tmp_path, capfd):
    out = io.BytesIO()
    PilImage.fromarray(smooth()).save(out, "JPEG")
    data = out.getvalue()
    body = b"Exif\0\0" + b"MM\0*\0\0\0\x08\xff\xff"
    (tmp_path / "a.jpg").write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:])
    assert read(tmp_path / "a.jpg").pixels.shape == (48, 64, 3)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 2}])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_equals_pillow(tmp_path, mode, options):
    PilImage.fromarray(smooth()).convert(mode).save(tmp_path / "a.jpg", quality=90, **options)
    expected = np.asarray(PilImage.open(tmp_path / "a.jpg")).reshape(48, 64, -1)
    image = read(tmp_path / "a.jpg")
    # the two may bring different builds of libjpeg-turbo
    assert np.abs(image.pixels.astype(int) - expected).max() <= 2
    assert image.pixels.flags.writeable


def test_jpeg_cmyk_becomes_rgb(tmp_path):
    rgb = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    PilImage.fromarray(rgb).convert("CMYK").save(tmp_path / "a.jpg", quality=98)
    image = read(tmp_path / "a.jpg")
    assert image.channels == 3
    assert np.abs(image.pixels.astype(int) - rgb).max() <= 4


def test_jpeg_may_be_followed_by_junk(tmp_path):
    out = io.BytesIO()
    PilImage.fromarray(smooth()).save(out, "JPEG")
    (tmp_path / "a.jpg").write_bytes(out.getvalue() + b"junk" * 50)
    assert read(tmp_path / "a.jpg").pixels.shape == (48, 64, 3)


def test_jpeg_of_flat_mid_grey_is_not_mistaken_for_a_cut_one(tmp_path):
    PilImage.fromarray(np.full((40, 40, 3), 128, np.uint8)).save(tmp_path / "a.jpg")
    assert (read(tmp_path / "a.jpg").pixels == 128).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("width", [63, 64])
def test_bmp_modes(tmp_path, mode, width):
    picture = PilImage.fromarray(smooth(48, width)).convert(mode)
    picture.save(tmp_path / "a.bmp")
    expected = np.asarray(picture if mode in ("1", "L") else picture.convert("RGB")).reshape(48, width, -1)
    np.testing.assert_array_equal(read(tmp_path / "a.bmp").pixels, expected * np.uint8(255 if mode == "1" else 1))


def test_bmp_run_length_encoded(tmp_path):
    palette = bytes(v for i in range(256) for v in (i, 0, 255 - i, 0))
    body = bytes([4, 7, 0, 0, 2, 1, 2, 9, 0, 1])  # bottom row: 7 7 7 7; top row: 1 1 9 9
    header = struct.pack("<IiiHHIIiiII", 40, 4, 2, 1, 8, 1, len(body), 0, 0, 256, 0)
    offset = 14 + 40 + 1024
    data = b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset) + header + palette + body
    (tmp_path / "a.bmp").write_bytes(data)
    expected = [[(254, 0, 1), (254, 0, 1), (246, 0, 9), (246, 0, 9)], [(248, 0, 7)] * 4]
    np.testing.assert_array_equal(read(tmp_path / "a.bmp").pixels, expected)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_webp_lossless(tmp_path, mode):
    picture = PilImage.fromarray(smooth()).convert(mode)
    picture.save(tmp_path / "a.webp", lossless=True)
    np.testing.assert_array_equal(read(tmp_path / "a.webp").pixels, np.asarray(picture.convert("RGB")))


def test_webp_lossy_of_grey_stays_near_and_grey(tmp_path):
    grey = cv2.GaussianBlur(noise((48, 64)), (0, 0), 3)
    PilImage.fromarray(grey).save(tmp_path / "a.webp", quality=80)
    pixels = read(tmp_path / "a.webp").pixels.astype(int)
    assert np.abs(pixels[..., 0] - grey).mean() < 4
    assert np.ptp(pixels, axis=2).max() <= 2


def test_animations_are_refused_by_name(tmp_path):
    pictures = [PilImage.fromarray(np.full((20, 30, 3), value, np.uint8)) for value in (40, 200)]
    for suffix, options, words in (
        ("webp", {"lossless": True}, "animated WebP.*TIFF stack"),
        ("png", {}, "animated PNG.*TIFF stack"),
        ("gif", {}, "is a GIF.*TIFF or PNG"),
    ):
        pictures[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=pictures[1:], **options)
        with pytest.raises(InputError, match=words):
            read(tmp_path / f"a.{suffix}")


def test_webp_too_large_is_refused_before_it_is_decoded(tmp_path):
    PilImage.fromarray(smooth()).save(tmp_path / "a.webp")
    with pytest.raises(InputError, match=r"48|64"):
        read(tmp_path / "a.webp", max_pixels=48 * 64 - 1)
