"""Random valid TIFFs are read as tifffile's own series say: every plane, its axes, whatever the layout of the file.

A few examples by default; ``TIFF_EXAMPLES=5000 pytest tests/io/test_io_tiff_series.py`` draws as many as that.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cellscope.errors import InputError
from cellscope.io.choice import Choice, Wants
from cellscope.io.open import open_source
from cellscope.io.read import describe, read

EXAMPLES = int(os.environ.get("TIFF_EXAMPLES", "60"))
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@st.composite
def layouts(draw: st.DrawFn) -> dict[str, Any]:
    """Draw what a file is: kind, axes over planes, pixels, how they are stored."""
    kind = draw(st.sampled_from(["plain", "shaped", "imagej", "ome"]))
    colour = draw(st.booleans())
    if kind in ("plain", "shaped"):
        axes = "Q" if draw(st.booleans()) else ""
    else:
        axes = "".join(axis for axis in "TZC" if draw(st.booleans()))
        if kind == "ome":
            axes = "".join(draw(st.permutations(axes)))
    dtypes = ["u1"] if kind == "imagej" and colour else ["u1", "u2", "f4"]
    if kind != "imagej":
        dtypes += ["u4", "i2"] if not colour else []
    free = kind != "imagej"
    return {
        "kind": kind,
        "axes": axes,
        "sizes": tuple(draw(st.integers(2, 4)) for _ in axes),
        "height": draw(st.integers(2, 40)),
        "width": draw(st.integers(2, 40)),
        "samples": draw(st.sampled_from([3, 4] if free else [3])) if colour else 1,
        "planar": free and colour and kind == "plain" and draw(st.booleans()),
        "dtype": draw(st.sampled_from(dtypes)),
        "white": free and not colour and draw(st.booleans()),
        "compression": draw(st.sampled_from([None, "zlib", "zstd", "lzma", "packbits"])) if free else None,
        "layout": draw(st.sampled_from(["strip", "strips", "tiles"])) if free else "strip",
        "order": draw(st.sampled_from("<>")),
        "big": free and draw(st.booleans()),
        "seed": draw(st.integers(0, 2**16)),
    }


def pixels_of(case: dict[str, Any]) -> np.ndarray:
    """Give (planes..., H, W[, S]) values, no two planes alike."""
    shape = (*case["sizes"], case["height"], case["width"], *((case["samples"],) if case["samples"] > 1 else ()))
    rng = np.random.default_rng(case["seed"])
    dtype = np.dtype(case["dtype"])
    return rng.normal(0, 9, shape).astype(dtype) if dtype.kind == "f" else rng.integers(0, 250, shape).astype(dtype)


def write(path: Any, case: dict[str, Any], pixels: np.ndarray) -> None:
    """Write a case with tifffile."""
    colour = case["samples"] > 1
    options: dict[str, Any] = {"byteorder": case["order"], "compression": case["compression"]}
    options["photometric"] = "rgb" if colour else "miniswhite" if case["white"] else "minisblack"
    if case["layout"] == "strips":
        options["rowsperstrip"] = 3
    elif case["layout"] == "tiles":
        options["tile"] = (16, 16)
    if case["samples"] == 4:
        options["extrasamples"] = ["unspecified"]
    if case["kind"] in ("imagej", "ome"):
        options[case["kind"]] = True
        options["metadata"] = {"axes": case["axes"] + "YX" + ("S" if colour else "")}
    elif case["kind"] == "plain":
        options["metadata"] = None
    if case["big"] and case["kind"] != "imagej":
        options["bigtiff"] = True
    if case["planar"]:
        pixels, options["planarconfig"] = np.moveaxis(pixels, -1, -3), "separate"
    elif colour:
        options["planarconfig"] = "contig"
    tifffile.imwrite(path, np.ascontiguousarray(pixels), **options)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=QUIET)
@given(case=layouts())
def test_every_plane_is_what_tifffile_says(tmp_path, case):
    path = tmp_path / "a.tif"
    pixels = pixels_of(case)
    write(path, case, pixels)
    with tifffile.TiffFile(path) as tif:
        assert len(tif.series) == 1
        series = tif.series[0]
        stored = series.asarray().reshape(-1)
        wanted = np.moveaxis(pixels, -1, -3) if case["planar"] else pixels
        np.testing.assert_array_equal(stored, wanted.reshape(-1))  # the oracle reads what was written
        named = {axis: size for axis, size in zip(series.axes, series.shape, strict=True) if axis in "TZC"}
    with closing(open_source(path)) as source:
        [scene] = source.scenes
        shown = {axis: size for axis, size in scene.sizes if axis in "TZC"}
        assert shown == named
        assert (scene.height, scene.width) == (case["height"], case["width"])
        assert scene.size("S") == (3 if case["samples"] > 1 else 1)
        assert np.prod([size for axis, size in scene.sizes if axis not in "YXS"], dtype=int) == np.prod(case["sizes"])
        for place in np.ndindex(*case["sizes"]):
            plane = source.plane(0, dict(zip(case["axes"], place, strict=True))).pixels
            expected = pixels[place]
            if case["white"] and expected.dtype.kind == "u":
                expected = np.iinfo(expected.dtype).max - expected
            np.testing.assert_array_equal(plane, expected[..., :3] if case["samples"] > 1 else expected)


@pytest.mark.parametrize("compressions", [(None, "zlib"), ("zlib", "zstd", None), ("packbits", None)])
@pytest.mark.parametrize("described", [True, False])
def test_a_stack_written_in_several_ways_is_one(tmp_path, compressions, described):
    frames = np.random.default_rng(1).integers(0, 255, (9, 12, 14), np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for number, frame in enumerate(frames):
            options = {} if described else {"metadata": None}
            writer.write(
                frame, photometric="minisblack", compression=compressions[number % len(compressions)], **options
            )
    [scene] = describe(tmp_path / "a.tif").scenes
    assert scene.sizes == (("Q", 9), ("Y", 12), ("X", 14))
    for number in range(9):
        image = read(tmp_path / "a.tif", choice=Choice(frame=str(number)), wants=Wants.STAIN)
        np.testing.assert_array_equal(image.pixels[..., 0], frames[number])


def test_scenes_are_told_and_chosen(tmp_path):
    small, first, second = (np.full((side, side), value, np.uint8) for side, value in ((8, 1), (32, 2), (32, 3)))
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        for pixels, name in ((small, "map of it"), (first, "left"), (second, "right")):
            writer.write(pixels, metadata={"axes": "YX", "Name": name})
    image = read(tmp_path / "a.ome.tif")
    assert (image.pixels == 2).all()
    assert "scene 1 of 3 (left)" in image.taken
    assert "3 scenes" in image.warnings[0]
    assert "1 (left), 2 (right)" in image.warnings[0]
    for name in ("2", "right", "Right"):
        chosen = read(tmp_path / "a.ome.tif", choice=Choice(scene=name))
        assert (chosen.pixels == 3).all()
        assert chosen.warnings == ()
    with pytest.raises(InputError, match=r"there is no scene middle; .*1 \(left\)"):
        read(tmp_path / "a.ome.tif", choice=Choice(scene="middle"))


def test_the_sharpest_slice_and_the_projection(tmp_path):
    import cv2

    rng = np.random.default_rng(2)
    sharp = np.where(rng.random((64, 64)) > 0.9, 200.0, 20.0)
    blurred = [cv2.GaussianBlur(sharp, (0, 0), sigma) for sigma in (4, 2)]
    planes = np.stack([blurred[0], blurred[1], sharp, blurred[1]]) + rng.normal(0, 4, (4, 64, 64))
    planes = planes.clip(0, 255).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", planes, imagej=True, metadata={"axes": "ZYX"})
    image = read(tmp_path / "a.tif", wants=Wants.STAIN)
    np.testing.assert_array_equal(image.pixels[..., 0], planes[2])
    assert "slice 2 of 4" in image.taken
    assert "4 slices" in image.warnings[0]
    projected = read(tmp_path / "a.tif", choice=Choice(z="max"), wants=Wants.STAIN)
    np.testing.assert_array_equal(projected.pixels[..., 0], planes.max(0))
    assert projected.warnings == ()


@pytest.mark.parametrize(
    ("axes", "shape", "wants", "words"),
    [
        ("CYX", (2, 9, 9), Wants.STAIN, "2 channels; say which one"),
        ("CYX", (4, 9, 9), Wants.COLOUR, "4 channels and no colour image"),
        ("CYX", (3, 9, 9), Wants.COLOUR, "do not look like red, green and blue"),
        ("CYX", (5, 9, 9), Wants.MOVIE, "5 channels; name the one of transmitted light"),
    ],
)
def test_what_only_a_person_can_choose_is_refused_with_the_list(tmp_path, axes, shape, wants, words):
    from cellscope.io.movie import open_movie

    dark = np.random.default_rng(0).integers(0, 60, shape).astype(np.uint8)
    dark[..., 0, 0] = 255
    tifffile.imwrite(tmp_path / "a.tif", dark, imagej=True, metadata={"axes": axes})
    with pytest.raises(InputError, match=words) as error:
        open_movie(tmp_path / "a.tif") if wants is Wants.MOVIE else read(tmp_path / "a.tif", wants=wants)
    assert "0, 1" in str(error.value)


def test_equal_channels_need_no_choice(tmp_path):
    grey = np.random.default_rng(0).integers(0, 255, (9, 9), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", np.stack([grey, grey]), imagej=True, metadata={"axes": "CYX"})
    image = read(tmp_path / "a.tif", wants=Wants.STAIN)
    np.testing.assert_array_equal(image.pixels[..., 0], grey)
