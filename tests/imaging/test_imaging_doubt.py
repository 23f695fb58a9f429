"""White levels that single pixels do not move, and pixel sizes against what is seen."""

from __future__ import annotations

import numpy as np
import pytest

from cellscope.imaging.doubt import stained_sizes, trusted_pixel_size
from cellscope.imaging.smear import to_rgb8
from cellscope.imaging.white import white_level
from cellscope.io.image import Image

rng = np.random.default_rng(0)
LIGHT = rng.uniform(0.5, 0.95, (80, 80, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("pixels", "white"),
    [
        (LIGHT, 1), (LIGHT * 255, 255), (LIGHT * 4095, 4095), (LIGHT * 60000, 65535),
        ((LIGHT * 1000).astype(np.uint16), 1023), ((LIGHT * 250).astype(np.uint16), 255),
    ],
)  # fmt: skip
def test_one_bright_pixel_does_not_move_white(pixels, white):
    spoilt = pixels.copy()
    spoilt[3, 3] = pixels.max() * (1.3 if pixels.dtype.kind == "f" else 1) + (pixels.dtype.kind == "u") * 9000
    assert white_level(pixels) == white_level(spoilt) == white
    plain, odd = to_rgb8(pixels), to_rgb8(spoilt)
    assert np.array_equal(np.delete(plain.reshape(-1, 3), 243, 0), np.delete(odd.reshape(-1, 3), 243, 0))
    assert (odd[3, 3] == 255).all()


def test_floats_of_any_range_keep_their_brightness():
    odd = LIGHT * 2.5
    odd[3, 3] = 90
    assert white_level(LIGHT * 2.5) == pytest.approx(2.37, abs=0.02)
    assert white_level(odd) == pytest.approx(2.37, abs=0.02)


def test_overshoot_of_interpolation_is_white():
    over = LIGHT.copy()
    over[::5] = 1.03
    assert white_level(over) == 1
    assert (to_rgb8(over)[::5] == 255).all()


def test_a_pixel_size_is_believed_unless_what_is_seen_contradicts_it():
    def image(size, given=False):
        return Image(np.zeros((4, 4, 1), np.uint8), size, pixel_size_given=given)

    assert trusted_pixel_size(image(0.3), 30, (2.25, 36), "nuclei") == (0.3, [])
    assert trusted_pixel_size(image(None), 30, (2.25, 36), "nuclei") == (None, [])
    assert trusted_pixel_size(image(0.3), None, (2.25, 36), "nuclei") == (0.3, [])
    for size in (0.03, 3.0):
        believed, warnings = trusted_pixel_size(image(size), 30, (2.25, 36), "nuclei")
        assert believed is None
        assert f"pixel size of {size:g} um" in warnings[0]
        assert trusted_pixel_size(image(size, True), 30, (2.25, 36), "nuclei")[0] == size


def test_dark_objects_are_measured():
    rows, columns = np.mgrid[:200, :200]
    rgb = np.full((200, 200, 3), 230, np.uint8)
    rgb[np.hypot(rows % 40 - 20, columns % 40 - 20) < 9] = (90, 60, 140)
    rgb[:, :, 1] -= rng.integers(0, 9, (200, 200)).astype(np.uint8)
    typical, large = stained_sizes(rgb)
    assert typical == pytest.approx(18, abs=2)
    assert large == pytest.approx(18, abs=2)
    assert stained_sizes(np.full((50, 50, 3), 200, np.uint8)) is None
