"""Sequences and movies: axes by any name, one frame at a time, and one clear line for what is not whole."""

from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest
import tifffile

from cellscope.errors import InputError
from cellscope.io.movie import open_movie
from cellscope.io.sequence import write_sequence

T, H, W = 5, 9, 11


def stack(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, 255, shape).astype(dtype)


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ("TYX", (T, H, W)),
        ("ZYX", (T, H, W)),
        ("TCYX", (T, 2, H, W)),
        ("ZCYX", (T, 2, H, W)),
        ("TZCYX", (T, 1, 2, H, W)),
        ("TYXS", (T, H, W, 3)),
        ("ZYXS", (T, H, W, 3)),
    ],
)
def test_imagej_axes(tmp_path, axes, shape):
    saved = stack(*shape)
    tifffile.imwrite(tmp_path / "a.tif", saved, imagej=True, metadata={"axes": axes, "finterval": 600.0})
    movie = open_movie(tmp_path / "a.tif")
    frames = movie.read()
    assert (movie.frames, movie.height, movie.width, movie.channels) == frames.shape
    expected = saved.reshape(T, -1, H, W).transpose(0, 2, 3, 1) if axes[-1] != "S" else saved
    np.testing.assert_array_equal(frames, expected)
    assert movie.interval_s == 600.0


@pytest.mark.parametrize("axes", ["CTYX", "TCYX"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_ome_axes_in_any_order(tmp_path, axes, compression):
    saved = stack(*(2, T, H, W) if axes == "CTYX" else (T, 2, H, W), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.ome.tif", saved, metadata={"axes": axes}, compression=compression)
    expected = np.moveaxis(saved, axes.index("C"), -1)
    np.testing.assert_array_equal(open_movie(tmp_path / "a.ome.tif").read(), expected)


def test_plain_pages_are_frames(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", stack(T, H, W), photometric="minisblack", compression="zlib")
    movie = open_movie(tmp_path / "a.tif")
    np.testing.assert_array_equal(movie.read([1, 3])[..., 0], stack(T, H, W)[[1, 3]])


def test_big_endian(tmp_path):
    saved = stack(T, 2, H, W, dtype=np.uint16) * 200
    tifffile.imwrite(tmp_path / "a.tif", saved, imagej=True, metadata={"axes": "TCYX"}, byteorder=">")
    frames = open_movie(tmp_path / "a.tif").read()
    assert frames.dtype == np.uint16
    assert frames.dtype.isnative
    np.testing.assert_array_equal(frames, saved.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_what_is_written_is_read(tmp_path, channels):
    frames = stack(T, H, W, channels)
    write_sequence(tmp_path / "a.tif", frames, pixel_size_um=0.5, interval_s=600.0)
    write_sequence(tmp_path / "b.tif", frames, pixel_size_um=0.5, interval_s=600.0)
    movie = open_movie(tmp_path / "a.tif")
    np.testing.assert_array_equal(movie.read(), frames)
    assert (movie.pixel_size_um, movie.interval_s) == (pytest.approx(0.5), 600.0)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_a_movie_travels_to_another_process(tmp_path):
    write_sequence(tmp_path / "a.tif", stack(T, H, W, 2))
    movie = pickle.loads(pickle.dumps(open_movie(tmp_path / "a.tif")))
    assert movie.read([4]).shape == (1, H, W, 2)


@pytest.mark.parametrize(("suffix", "codec"), [("avi", "MJPG"), ("mp4", "mp4v")])
def test_video(tmp_path, suffix, codec):
    path = tmp_path / f"a.{suffix}"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 10, (64, 48))
    if not writer.isOpened():
        pytest.skip(f"this OpenCV cannot write {codec}")
    for t in range(6):
        writer.write(np.full((48, 64, 3), (40 * t, 10, 200), np.uint8))  # blue, green, red
    writer.release()
    movie = open_movie(path)
    assert (movie.frames, movie.height, movie.width, movie.channels) == (6, 48, 64, 3)
    frames = movie.read([1, 4])
    assert np.abs(frames.astype(int).mean((1, 2)) - [[200, 10, 40], [200, 10, 160]]).max() < 12
    later, earlier = movie.read([4]), movie.read([1])
    assert later[..., 2].mean() > earlier[..., 2].mean()
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(InputError, match=r"a\.\w+"):
        open_movie(path).read()


def test_a_file_cut_short_is_refused(tmp_path):
    write_sequence(tmp_path / "a.tif", stack(T, 64, 64, 2))
    whole = (tmp_path / "a.tif").read_bytes()
    first = tifffile.TiffFile(tmp_path / "a.tif").series[0].dataoffset
    (tmp_path / "a.tif").write_bytes(whole[: first + 5 * 64 * 64])  # two frames and a half
    with pytest.raises(InputError, match=r"a\.tif: .*cut short: it says 10 images and holds 1"):
        open_movie(tmp_path / "a.tif")


def test_a_damaged_frame_is_named_and_the_others_are_read(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack(T, 64, 64), photometric="minisblack", compression="zlib")
    with tifffile.TiffFile(path) as tif:
        start, length = tif.pages[2].dataoffsets[0], tif.pages[2].databytecounts[0]
    broken = bytearray(path.read_bytes())
    broken[start : start + length] = bytes(length)
    path.write_bytes(broken)
    movie = open_movie(path)
    assert movie.read([0, 1]).shape[0] == 2
    with pytest.raises(InputError, match=r"a\.tif: frame 2 of 5 cannot be read") as error:
        movie.read()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda p: tifffile.imwrite(p, stack(2, 4, H, W), imagej=True, metadata={"axes": "ZCYX"}), "holds 4 channels"),
        (lambda p: p.write_bytes(b"\x89PNX not a movie at all"), "not an image of a known kind"),
        (lambda p: p.write_bytes(b""), "empty"),
        (lambda p: p.write_bytes(b"II*\0 nothing here"), "damaged|cannot be decoded|holds no image"),
        (lambda p: p.write_bytes(b"\0\0\0\x18ftypmp42 nothing"), "cannot be opened as a video"),
    ],
    ids=["four channels", "unknown", "empty", "no tiff", "no video"],
)
def test_what_is_wrong_is_one_line(tmp_path, write, words):
    path = tmp_path / "a.tif"
    write(path)
    with pytest.raises(InputError, match=words) as error:
        open_movie(path)
    assert "\n" not in str(error.value)


def test_pages_of_different_sizes_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for side in (20, 20, 24):
            writer.write(stack(side, side), photometric="minisblack")
    with pytest.raises(InputError, match="differ in size"):
        open_movie(tmp_path / "a.tif")


def test_large_frames_are_refused_before_decoding(tmp_path):
    write_sequence(tmp_path / "a.tif", stack(T, H, W, 1))
    with pytest.raises(InputError, match="above the limit of 50 pixels"):
        open_movie(tmp_path / "a.tif", max_pixels=50)
