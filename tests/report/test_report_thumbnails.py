import base64
import io

import numpy as np
import pytest
from PIL import Image

from cellscope.errors import InputError
from cellscope.report.thumbnails import LONGEST, encode, shrink, thumbnail, to_display


def decode(uri):
    head, body = uri.split(",", 1)
    picture = Image.open(io.BytesIO(base64.b64decode(body, validate=True)))
    assert head == f"data:image/{picture.format.lower()};base64"
    return np.asarray(picture.convert("RGB")), picture.format


def photograph(height, width, seed=0):
    import cv2

    rough = np.random.default_rng(seed).integers(0, 256, (height // 8 + 2, width // 8 + 2, 3)).astype(np.float32)
    return np.clip(cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


def test_a_large_picture_is_shrunk_and_keeps_its_shape_and_colours():
    made = thumbnail(photograph(1200, 1800))
    pixels, kind = decode(made.uri)
    assert (made.width, made.height, made.pixelated) == (LONGEST, 600, False)
    assert pixels.shape == (600, 900, 3)
    assert kind == "JPEG"
    expected = photograph(1200, 1800).reshape(600, 2, 900, 2, 3).mean((1, 3))
    assert np.abs(pixels - expected).mean() < 4


def test_thin_coloured_contours_keep_their_colour():
    picture = np.repeat(photograph(500, 500)[..., :1], 3, 2) // 2
    picture[250, 50:450] = (255, 0, 0)
    pixels, kind = decode(encode(picture))
    assert kind == "JPEG"
    line = pixels[250, 60:440].astype(int)
    # With halved chroma the red of a line one pixel wide fades to half.
    assert np.median(line[:, 0] - line[:, 1]) > 200


def test_drawings_and_small_crops_are_kept_exactly():
    drawing = np.full((400, 700, 3), 255, np.uint8)
    drawing[100:103, 50:600] = (200, 30, 0)
    assert np.array_equal(decode(thumbnail(drawing).uri)[0], drawing)
    crop = photograph(50, 64)
    made = thumbnail(crop)
    assert np.array_equal(decode(made.uri)[0], crop)
    assert (made.width, made.height, made.pixelated) == (192, 150, True)


def test_grey_pictures_stay_grey():
    pixels, _ = decode(thumbnail(photograph(700, 700)[..., 0]).uri)
    assert np.array_equal(pixels[..., 0], pixels[..., 2])


def test_other_depths_are_stretched_and_transparency_lies_on_white():
    ramp = np.linspace(1000, 5000, 256).reshape(1, 256).repeat(64, 0)
    for pixels in (ramp.astype(np.uint16), ramp.astype(np.float32), ramp.astype(np.int64)):
        shown = to_display(pixels)
        assert shown.dtype == np.uint8
        assert shown[0, 0] == 0
        assert shown[0, -1] == 255
        assert shown[0, 128] == pytest.approx(128, abs=2)
    assert to_display(np.array([[0.0, 0.5, 1.0]])).tolist() == [[0, 128, 255]]
    assert to_display(np.array([[False, True]])).tolist() == [[0, 255]]
    assert to_display(np.full((4, 4), 7.5)).tolist() == [[0] * 4] * 4
    assert to_display(np.array([[np.nan, 0.0, 1.0]], np.float32)).tolist() == [[0, 0, 255]]
    clear = np.array([[[10, 20, 30, 0], [10, 20, 30, 255]]], np.uint8)
    assert to_display(clear).tolist() == [[[255, 255, 255], [10, 20, 30]]]


def test_channels_are_chosen_as_described():
    pixels = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    assert np.array_equal(to_display(pixels), pixels[..., :3])
    assert np.array_equal(to_display(pixels[..., :2]), pixels[..., 0])
    assert np.array_equal(to_display(pixels[..., :1]), pixels[..., 0])


def test_shrink_never_enlarges_and_averages():
    small = photograph(40, 60)
    assert shrink(small, 100) is small
    board = (np.indices((64, 64)).sum(0) % 2).astype(bool)
    assert set(np.unique(shrink(board, 32))) <= {127, 128}
    assert shrink(np.zeros((3, 5000), np.uint8), 100).shape == (1, 100)


def test_a_file_is_read_and_a_bad_one_is_refused(tmp_path):
    picture = photograph(300, 400)
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert thumbnail(tmp_path / "a.png") == thumbnail(picture)
    (tmp_path / "b.png").write_bytes(b"not a picture")
    for name in ("b.png", "absent.png"):
        with pytest.raises(InputError):
            thumbnail(tmp_path / name)
    for bad in (np.zeros((0, 5)), np.zeros(5), np.zeros((2, 2, 2, 2))):
        with pytest.raises(ValueError, match="a figure must be"):
            thumbnail(bad)
