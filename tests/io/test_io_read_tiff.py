"""TIFF in all its variants: what tifffile and Pillow write must come back equal."""

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PilImage

from cellscope.errors import InputError
from cellscope.io.choice import Choice, Wants
from cellscope.io.read import describe, read

LOSSLESS = [None, "lzw", "zlib", "zstd", "packbits", "lzma"]
rng = np.random.default_rng(7)
OLD_CODECS = getattr(imagecodecs, "CCITTFAX4", None) is None
"""The newest for Python 3.10 neither packs bits nor reads fax."""


def noise(shape, dtype):
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 100, shape).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=st.integers(2, 40),
    width=st.integers(2, 40),
    dtype=st.sampled_from(["u1", "u2", "f4"]),
    channels=st.sampled_from([1, 3, 4]),
    planar=st.booleans(),
    compression=st.sampled_from(LOSSLESS),
    predictor=st.booleans(),
    layout=st.sampled_from(["strip", "strips", "tiles"]),
    order=st.sampled_from("<>"),
    big=st.booleans(),
)
def test_round_trip(tmp_path, height, width, dtype, channels, planar, compression, predictor, layout, order, big):
    pixels = noise((height, width, channels) if channels > 1 else (height, width), dtype)
    stored = np.moveaxis(pixels, -1, 0) if planar and channels > 1 else pixels
    options = {"compression": compression, "predictor": predictor if compression else None}
    if layout == "strips":
        options["rowsperstrip"] = 3
    elif layout == "tiles":
        options["tile"] = (16, 32)
    if channels > 1:
        options["planarconfig"] = "separate" if planar else "contig"
    if channels == 4:
        options["extrasamples"] = ["unspecified"]
    photometric = "rgb" if channels > 1 else "minisblack"
    tifffile.imwrite(
        tmp_path / "a.tif", stored, photometric=photometric, byteorder=order, bigtiff=big, metadata=None, **options
    )
    image = read(tmp_path / "a.tif")
    expected = pixels[..., None] if channels == 1 else pixels[..., :3]
    assert image.pixels.dtype == np.dtype(dtype)
    assert image.pixels.flags.c_contiguous
    assert image.pixels.flags.writeable
    np.testing.assert_array_equal(image.pixels, expected)
    assert image.warnings == ()


@pytest.mark.skipif(OLD_CODECS, reason="tifffile cannot write such files here")
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=st.integers(2, 30),
    width=st.integers(2, 30),
    bits=st.sampled_from([1, 2, 4, 8, 9, 12, 14, 16]),
    white=st.booleans(),
)
def test_any_number_of_bits(tmp_path, height, width, bits, white):
    values = rng.integers(0, 2**bits, (height, width), endpoint=False)
    dtype = bool if bits == 1 else np.uint8 if bits <= 8 else np.uint16
    tifffile.imwrite(
        tmp_path / "a.tif",
        values.astype(dtype),
        bitspersample=bits,
        photometric="miniswhite" if white else "minisblack",
        metadata=None,
    )
    shown = 2**bits - 1 - values if white else values
    expected = np.rint(shown * 255 / (2**bits - 1)) if bits < 8 else shown
    image = read(tmp_path / "a.tif")
    assert image.pixels.dtype == (np.uint8 if bits <= 8 else np.uint16)
    np.testing.assert_array_equal(image.pixels[..., 0], expected)


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_pillow_bilevel(tmp_path, compression):
    bits = rng.random((20, 33)) < 0.3
    PilImage.fromarray(bits).save(tmp_path / "a.tif", compression=compression)
    if OLD_CODECS and compression.startswith("group"):
        with pytest.raises(InputError, match="not supported"):
            read(tmp_path / "a.tif")
        return
    np.testing.assert_array_equal(read(tmp_path / "a.tif").pixels[..., 0], bits * 255)


@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}, {"rowsperstrip": 16}])
@pytest.mark.parametrize("colour", [False, True])
def test_jpeg_compressed(tmp_path, colour, options):
    ramp = np.add.outer(np.arange(48), np.arange(40)).astype(np.uint8) * 2
    pixels = np.stack([ramp, ramp[::-1], ramp[:, ::-1]], -1) if colour else ramp
    options = {"compression": "jpeg", "compressionargs": {"level": 95}, "metadata": None, **options}
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    result = read(tmp_path / "a.tif").pixels
    assert result.shape == (48, 40, 3 if colour else 1)
    error = np.abs(result.astype(int) - pixels.reshape(result.shape))
    assert error.mean() < 2  # edge tiles are padded before compression, which costs a few pixels more
    assert error.max() < 40


def test_jpeg_compressed_by_libtiff_is_rgb(tmp_path):
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[..., 0] = 200
    PilImage.fromarray(pixels).save(tmp_path / "a.tif", compression="jpeg", quality=95)
    result = read(tmp_path / "a.tif").pixels
    assert np.abs(result.astype(int) - pixels).max() < 6


def test_alpha_and_extra_channels(tmp_path):
    pixels = noise((6, 7, 4), "u1")
    pixels[0, 0, 3] = 0  # nothing of its colour is seen
    tifffile.imwrite(tmp_path / "rgba.tif", pixels, photometric="rgb", extrasamples=["unassalpha"], metadata=None)
    share = pixels[..., 3:] / 255
    image = read(tmp_path / "rgba.tif")
    assert np.abs(image.pixels - (pixels[..., :3] * share + 255 * (1 - share))).max() <= 0.51
    assert image.pixels[0, 0].tolist() == [255, 255, 255]
    assert len(image.warnings) == 1
    assert "transparent" in image.warnings[0]
    premultiplied = np.concatenate([np.rint(pixels[..., :3] * share).astype(np.uint8), pixels[..., 3:]], 2)
    tifffile.imwrite(tmp_path / "pre.tif", premultiplied, photometric="rgb", extrasamples=["assocalpha"], metadata=None)
    assert np.abs(read(tmp_path / "pre.tif").pixels.astype(int) - image.pixels).max() <= 1
    opaque = np.concatenate([pixels[..., :3], np.full((6, 7, 1), 255, np.uint8)], 2)
    tifffile.imwrite(tmp_path / "opaque.tif", opaque, photometric="rgb", extrasamples=["unassalpha"], metadata=None)
    assert read(tmp_path / "opaque.tif").warnings == ()
    np.testing.assert_array_equal(read(tmp_path / "opaque.tif").pixels, pixels[..., :3])
    grey = {"photometric": "minisblack", "planarconfig": "contig", "metadata": None}
    tifffile.imwrite(tmp_path / "la.tif", pixels[..., :2], extrasamples=["unassalpha"], **grey)
    grey_share = pixels[..., 1] / 255
    usual = np.median(pixels[..., 0][grey_share >= 0.5])
    expected = pixels[..., 0] * grey_share + usual * (1 - grey_share)
    assert np.abs(read(tmp_path / "la.tif").pixels[..., 0] - expected).max() <= 0.51
    tifffile.imwrite(tmp_path / "multi.tif", pixels, extrasamples=["unspecified"] * 3, **grey)
    np.testing.assert_array_equal(read(tmp_path / "multi.tif").pixels, pixels)


def test_palette(tmp_path):
    indices = noise((5, 6), "u1")
    table = noise((3, 256), "u1").astype(np.uint16)
    expected = table.astype(np.uint8).T[indices]
    for name, scale in (("sixteen.tif", 257), ("eight.tif", 1)):
        tifffile.imwrite(tmp_path / name, indices, photometric="palette", colormap=table * scale, metadata=None)
        np.testing.assert_array_equal(read(tmp_path / name).pixels, expected)


def test_pillow_palette(tmp_path):
    picture = PilImage.fromarray(noise((9, 9, 3), "u1")).quantize(16)
    picture.save(tmp_path / "p.tif")
    np.testing.assert_array_equal(read(tmp_path / "p.tif").pixels, np.asarray(picture.convert("RGB")))


def test_cmyk(tmp_path):
    cmyk = np.array([[[0, 0, 0, 0], [255, 0, 0, 0]], [[0, 0, 255, 0], [0, 0, 0, 255]]], np.uint8)
    PilImage.fromarray(cmyk, "CMYK").save(tmp_path / "c.tif")
    expected = [[[255, 255, 255], [0, 255, 255]], [[255, 255, 0], [0, 0, 0]]]
    np.testing.assert_array_equal(read(tmp_path / "c.tif").pixels, expected)


@pytest.mark.parametrize(("orientation", "turn"), [(3, lambda a: a[::-1, ::-1]), (6, lambda a: np.rot90(a, -1))])
def test_orientation_tag(tmp_path, orientation, turn):
    pixels = noise((4, 6), "u1")
    tag = (274, "H", 1, orientation, True)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", metadata=None, extratags=[tag])
    np.testing.assert_array_equal(read(tmp_path / "a.tif").pixels[..., 0], turn(pixels))


KINDS = [{"metadata": None}, {"imagej": True}, {"ome": True}, {"imagej": True, "truncate": True}]


@pytest.mark.parametrize("kind", KINDS, ids=["plain", "imagej", "ome", "truncated"])
@pytest.mark.parametrize("axis", ["T", "Z", "C"])
def test_one_plane_of_several(tmp_path, kind, axis):
    stack = noise((5, 8, 9), "u2")
    options = kind if "metadata" in kind else {**kind, "metadata": {"axes": f"{axis}YX"}}
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", **options)
    name = {"T": "frame", "Z": "z", "C": "channel"}[axis]
    for place in range(5):
        chosen = read(tmp_path / "a.tif", choice=Choice(**{name: str(place)}), wants=Wants.STAIN)
        np.testing.assert_array_equal(chosen.pixels[..., 0], stack[place])
        assert f"{place} of 5" in chosen.taken
        assert bool(chosen.warnings) == ("metadata" in kind)  # that nobody said what the pages are
    for place in ("5", "-1", "DAPI"):
        with pytest.raises(InputError, match=f"there is no .* {place}; the file holds 5"):
            read(tmp_path / "a.tif", choice=Choice(**{name: place}), wants=Wants.STAIN)


def test_thumbnails_are_neither_read_nor_counted(tmp_path):
    full, small = noise((16, 16), "u1"), noise((4, 4), "u1")
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(small, subfiletype=1, photometric="minisblack", metadata=None)
        tif.write(full, photometric="minisblack", metadata=None)
    image = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.pixels[..., 0], full)
    assert image.warnings == ()
    assert len(describe(tmp_path / "a.tif").scenes) == 1


@pytest.mark.parametrize("dtype", ["i1", "i2", "u4", "i4", "i8", "f2", "f8"])
def test_other_number_types_keep_values(tmp_path, dtype):
    values = np.array([[0, 1, 100], [3, 50, 127]], dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack", metadata=None)
    image = read(tmp_path / "a.tif")
    assert image.pixels.dtype in (np.uint8, np.uint16, np.float32)
    np.testing.assert_array_equal(image.pixels[..., 0], values)


def test_miniswhite_float_is_left_with_a_warning(tmp_path):
    values = noise((4, 4), "f4")
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="miniswhite", metadata=None)
    image = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.pixels[..., 0], values)
    assert "low values are bright" in image.warnings[0]


def test_content_counts_not_the_suffix(tmp_path):
    pixels = noise((5, 5, 3), "u1")
    PilImage.fromarray(pixels).save(tmp_path / "a.tif", format="PNG")
    np.testing.assert_array_equal(read(tmp_path / "a.tif").pixels, pixels)
