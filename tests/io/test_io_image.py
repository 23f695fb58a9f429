"""The Image type, number types, orientation, CMYK."""

import numpy as np
import pytest
from PIL import Image as PilImage
from PIL import ImageOps

from cellscope.errors import InputError
from cellscope.io.convert import Refused, check_size, cmyk_to_rgb, standard_type, stretch_bits, upright
from cellscope.io.image import Image
from cellscope.io.text import one_line


def test_image_keeps_pixels_without_copy():
    pixels = np.zeros((3, 5, 1), np.uint16)
    image = Image(pixels, 0.25, "a.tif", ("note",))
    assert image.pixels is pixels
    assert (image.height, image.width, image.channels) == (3, 5, 1)
    assert (image.pixel_size_um, image.name, image.warnings) == (0.25, "a.tif", ("note",))


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.zeros((4, 4), np.uint8), "height x width x channels"),
        ([[1, 2], [3, 4]], "height x width x channels"),
        (np.zeros((1, 4, 1), np.uint8), "4 x 1 pixels"),
        (np.zeros((4, 1, 1), np.uint8), "1 x 4 pixels"),
        (np.zeros((0, 4, 1), np.uint8), "4 x 0 pixels"),
        (np.zeros((4, 4, 0), np.uint8), "no channel"),
        (np.zeros((4, 4, 1), np.float64), "not float64"),
        (np.zeros((4, 4, 1), np.int16), "not int16"),
        (np.zeros((4, 4, 1), ">u2"), "not >u2"),
        (np.zeros((4, 8, 1), np.uint8)[:, ::2], "C-contiguous"),
        (np.full((4, 4, 1), np.nan, np.float32), "NaN"),
        (np.array([[[0], [np.inf]], [[0], [0]]], np.float32), "infinite"),
        (np.array([[[0], [-np.inf]], [[0], [0]]], np.float32), "infinite"),
    ],
)
def test_image_refuses(pixels, words):
    with pytest.raises(InputError, match=words) as caught:
        Image(pixels, name="odd.tif")
    assert str(caught.value).startswith("odd.tif: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan"), float("inf")])
def test_image_refuses_pixel_size(size):
    with pytest.raises(InputError, match="pixel size"):
        Image(np.zeros((2, 2, 1), np.uint8), size)


def test_one_line_escapes_what_breaks_a_line_or_a_terminal():
    assert one_line("a\nb\r\x1b[31m\udcff") == "a\\nb\\r\\x1b[31m\\udcff"
    assert one_line("übersicht µ 染色体.tif") == "übersicht µ 染色体.tif"


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (np.array([[0, 255]], np.uint8), np.array([[0, 255]], np.uint8)),
        (np.array([[0, 65535]], np.uint16), np.array([[0, 65535]], np.uint16)),
        (np.array([[0, 65535]], ">u2"), np.array([[0, 65535]], np.uint16)),
        (np.array([[-1.5, 2]], ">f4"), np.array([[-1.5, 2]], np.float32)),
        (np.array([[False, True]]), np.array([[0, 255]], np.uint8)),
        (np.array([[0, 127]], np.int8), np.array([[0, 127]], np.uint8)),
        (np.array([[-1, 127]], np.int8), np.array([[-1, 127]], np.float32)),
        (np.array([[0, 32767]], np.int16), np.array([[0, 32767]], np.uint16)),
        (np.array([[-32768, 32767]], np.int16), np.array([[-32768, 32767]], np.float32)),
        (np.array([[0, 65535]], np.uint32), np.array([[0, 65535]], np.uint16)),
        (np.array([[0, 65536]], np.uint32), np.array([[0, 65536]], np.float32)),
        (np.array([[0, 2**24]], np.int64), np.array([[0, 2**24]], np.float32)),
        (np.array([[0.5, -2]], np.float16), np.array([[0.5, -2]], np.float32)),
        (np.array([[0.1, 1e30]], np.float64), np.array([[0.1, 1e30]], np.float32)),
    ],
)
def test_number_types_keep_values(stored, expected):
    result, warnings = standard_type(stored)
    assert result.dtype == expected.dtype
    assert result.dtype.isnative
    assert warnings == ()
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_supported_types_are_not_copied(dtype):
    stored = np.ones((4, 4), dtype)
    assert np.shares_memory(standard_type(stored)[0], stored)


def test_large_integers_are_rounded_with_a_warning():
    result, warnings = standard_type(np.array([[0, 2**32 - 1]], np.uint32))
    np.testing.assert_array_equal(result, np.array([[0, 2.0**32]], np.float32))
    assert "rounded" in warnings[0]


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (np.array([[0, 2**32 + 1]], np.int64), "4294967297"),
        (np.array([[0, -(2**40)]], np.int64), "int64"),
        (np.array([[0, 2**64 - 1]], np.uint64), "uint64"),
        (np.array([[0, 1e300]], np.float64), "beyond the range"),
        (np.array([[1j]], np.complex64), "complex64"),
        (np.array([["a"]]), "not supported"),
    ],
)
def test_number_types_refused(stored, words):
    with pytest.raises(Refused, match=words):
        standard_type(stored)


def test_stretch_bits_reaches_both_ends():
    np.testing.assert_array_equal(stretch_bits(np.arange(4, dtype=np.uint8), 2), [0, 85, 170, 255])
    np.testing.assert_array_equal(stretch_bits(np.array([0, 1, 15], np.uint8), 4), [0, 17, 255])


def test_cmyk_hand_worked():
    cmyk = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 255, 0], [0, 0, 0, 255], [0, 51, 102, 128]]], np.uint8)
    # light left by black 128: 127 / 255; 204 * 127 / 255 = 101.6 -> 102; 153 * 127 / 255 = 76.2 -> 76
    expected = [[[255, 255, 255], [0, 255, 255], [255, 0, 0], [0, 0, 0], [127, 102, 76]]]
    np.testing.assert_array_equal(cmyk_to_rgb(cmyk), np.array(expected, np.uint8))
    np.testing.assert_array_equal(
        cmyk_to_rgb(np.array([[[0, 65535, 0, 0], [0, 0, 0, 65535]]], np.uint16)),
        np.array([[[65535, 0, 65535], [0, 0, 0]]], np.uint16),
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_agrees_with_pillow(orientation):
    array = np.arange(24, dtype=np.uint8).reshape(4, 6)
    picture = PilImage.fromarray(array)
    picture.getexif()[274] = orientation
    np.testing.assert_array_equal(upright(array, orientation), np.asarray(ImageOps.exif_transpose(picture)))


@pytest.mark.parametrize("orientation", [0, 9, 65535, -1])
def test_upright_ignores_nonsense(orientation):
    array = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(upright(array, orientation), array)


def test_check_size_limits():
    check_size(10, 10, 4, 100)
    for width, height, channels in [(1, 10, 1), (10, 1, 1), (0, 0, 1), (101, 10, 1), (10, 10, 5)]:
        with pytest.raises(Refused):
            check_size(width, height, channels, 100)
