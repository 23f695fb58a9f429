"""The formats of microscopes: the same stack in each reads the same, and what is not read is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
from drawn.formats import (
    PIXEL_UM,
    stack,
    write_czi,
    write_imagej,
    write_jpeg2000,
    write_lif,
    write_oif,
    write_ome,
    write_stk,
    write_zarr,
)

from cellscope.errors import InputError
from cellscope.io.choice import Choice, Wants
from cellscope.io.formats.czi import _channel_names
from cellscope.io.inputs import resolve_inputs
from cellscope.io.movie import open_movie
from cellscope.io.read import STACK_SUFFIXES, SUFFIXES, describe, read

WRITERS = {
    "a.ome.tif": write_ome,
    "a.tif": write_imagej,
    "a.czi": write_czi,
    "a.zarr": write_zarr,
    "b.zarr": lambda path, planes: write_zarr(path, planes, version=3),
    "a.lif": lambda path, planes: write_lif(path, {"field": planes}),
    "a.oif": write_oif,
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    planes = stack()
    return planes, {name: write(folder / name, planes) for name, write in WRITERS.items()}


@pytest.mark.parametrize("name", WRITERS)
def test_axes_channels_and_pixel_size(written, name):
    planes, paths = written
    facts = describe(paths[name])
    [scene] = facts.scenes
    sizes = dict(scene.sizes)
    assert {axis: sizes[axis] for axis in "TCZYX"} == dict(zip("TCZYX", planes.shape, strict=True))
    assert scene.pixel_size_um == pytest.approx(PIXEL_UM, rel=1e-6)
    assert scene.pixel_size_from
    if name in ("a.ome.tif", "a.czi", "a.zarr", "b.zarr"):
        assert scene.channels == ("DAPI", "FITC")
    if name not in ("a.oif",):
        assert scene.z_step_um == pytest.approx(2.0)


@pytest.mark.parametrize("name", WRITERS)
def test_every_plane(written, name):
    planes, paths = written
    for t, c, z in np.ndindex(*planes.shape[:3]):
        image = read(paths[name], choice=Choice(str(c), str(z), frame=str(t)), wants=Wants.STAIN)
        np.testing.assert_array_equal(image.pixels[..., 0], planes[t, c, z])
        assert image.warnings == ()
    movie = open_movie(paths[name], choice=Choice(z="max"))
    np.testing.assert_array_equal(movie.read(), np.moveaxis(planes.max(2), 1, -1))


def test_images_of_a_project_are_scenes(tmp_path):
    planes = stack(1, 1, 1)
    path = write_lif(tmp_path / "a.lif", {"well A1": planes, "well A2": planes + 1})
    assert [scene.name for scene in describe(path).scenes] == ["well A1", "well A2"]
    image = read(path, choice=Choice(scene="well A2"))
    np.testing.assert_array_equal(image.pixels[..., 0], planes[0, 0, 0] + 1)
    assert "2 scenes" in read(path).warnings[0]


def test_channels_of_a_leica_file_may_have_names(tmp_path, monkeypatch):
    import liffile

    given = liffile.LifImage.coords.func  # later liffile give names where others give no channels at all
    named = property(lambda image: {**given(image), "C": np.array(["Ch0", "Ch1"])})
    monkeypatch.setattr(liffile.LifImage, "coords", named)
    path = write_lif(tmp_path / "a.lif", {"field": stack()})
    [scene] = describe(path).scenes
    assert scene.pixel_size_um == pytest.approx(PIXEL_UM, rel=1e-6)
    assert scene.interval_s == pytest.approx(30.0)


def test_a_section_through_depth_is_read_as_it_was_scanned_and_said(tmp_path):
    planes = stack(1, 1, 3)
    path = write_lif(tmp_path / "a.lif", {"side view": planes}, section=True)
    [scene] = describe(path).scenes
    assert (scene.size("Z"), scene.height, scene.width) == planes.shape[2:]
    for number in range(3):
        image = read(path, choice=Choice(z=str(number)), wants=Wants.STAIN)
        np.testing.assert_array_equal(image.pixels[..., 0], planes[0, 0, number])
        assert any("section through depth" in line for line in image.warnings)


def test_colour_of_zeiss(tmp_path):
    from pylibCZIrw import czi

    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        file.write(np.ascontiguousarray(pixels[..., ::-1]))  # blue first
    np.testing.assert_array_equal(read(tmp_path / "a.czi", wants=Wants.COLOUR).pixels, pixels)


@pytest.mark.parametrize("place", ["Information", "DisplaySetting"])
def test_zeiss_channels_are_named_by_either_part_of_the_metadata(place):
    bare = {"Channels": {"Channel": [{"@Id": "Channel:0"}, {"@Id": "Channel:1"}]}}
    named = {"Channels": {"Channel": [{"@Name": "DAPI"}, {"@Name": "GFP"}]}}
    facts = {"Information": {"Image": {"Dimensions": bare}}, "DisplaySetting": bare}
    if place == "Information":
        facts["Information"]["Image"]["Dimensions"] = named
    else:
        facts["DisplaySetting"] = named
    assert _channel_names(facts, 2) == ("DAPI", "GFP")
    assert _channel_names(facts, 3) == ()


def test_zeiss_scenes(tmp_path):
    from pylibCZIrw import czi

    pixels = np.random.default_rng(0).integers(0, 255, (2, 20, 30, 1), np.uint8)
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        for number in range(2):
            file.write(pixels[number], location=(100 * number, 0), scene=number, plane={"C": 0})
    assert len(describe(tmp_path / "a.czi").scenes) == 2
    image = read(tmp_path / "a.czi", choice=Choice(scene="1"))
    np.testing.assert_array_equal(image.pixels, pixels[1])


def test_a_plate_in_ome_zarr_has_a_scene_for_each_field(tmp_path):
    import zarr

    planes = stack(1, 1, 1)
    path = tmp_path / "plate.zarr"
    root = zarr.open_group(str(path), mode="w", zarr_format=2)
    root.attrs["plate"] = {"wells": [{"path": "A/1"}, {"path": "B/2"}]}
    for well in ("A/1", "B/2"):
        root.create_group(well).attrs["well"] = {"images": [{"path": "0"}]}
    for number, well in enumerate(("A/1", "B/2")):
        write_zarr(path / well / "0", planes + number)
    assert [scene.name for scene in describe(path).scenes] == ["A/1/0", "B/2/0"]
    np.testing.assert_array_equal(read(path, choice=Choice(scene="B/2/0")).pixels[..., 0], planes[0, 0, 0] + 1)


def test_a_channel_of_ome_zarr_may_be_called_0(tmp_path):
    import zarr

    write_zarr(tmp_path / "a.zarr", stack(1, 2, 1))
    root = zarr.open_group(str(tmp_path / "a.zarr"), mode="a")
    root.attrs["omero"] = {"channels": [{"label": 0}, {"label": 1}]}
    assert describe(tmp_path / "a.zarr").scenes[0].channels == ("0", "1")


def test_metamorph_planes_are_not_lost(tmp_path):
    planes = stack(1, 1, 3)[0, 0]
    path = write_stk(tmp_path / "a.stk", planes)
    assert "3 pages" in read(path).warnings[0]
    for number in range(3):
        image = read(path, choice=Choice(z=str(number)), wants=Wants.STAIN)
        np.testing.assert_array_equal(image.pixels[..., 0], planes[number])
    cut = tmp_path / "cut.stk"
    cut.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="cut short"):
        read(cut, choice=Choice(z="2"), wants=Wants.STAIN)


@pytest.mark.parametrize(("shape", "dtype"), [((20, 30), "u1"), ((20, 30), "u2"), ((20, 30, 3), "u1")])
def test_jpeg_2000(tmp_path, shape, dtype):
    pixels = np.random.default_rng(0).integers(0, 4000 if dtype == "u2" else 255, shape).astype(dtype)
    path = write_jpeg2000(tmp_path / "a.jp2", pixels)
    image = read(path)
    np.testing.assert_array_equal(image.pixels, pixels.reshape(20, 30, -1))
    assert image.pixels.dtype == np.dtype(dtype)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(InputError, match="JPEG 2000"):
        read(path)
    with pytest.raises(InputError, match="above the limit"):
        read(write_jpeg2000(tmp_path / "b.jp2", pixels), max_pixels=100)


@pytest.mark.parametrize(
    ("name", "start", "words"),
    [
        ("a.gif", b"GIF89a", "is a GIF.*TIFF or PNG"),
        ("a.vsi", b"II*\0", "Olympus VSI.*OME-TIFF"),
        ("a.ets", b"SIS\0", "Olympus VSI.*OME-TIFF"),
        ("a.zvi", b"\xd0\xcf\x11\xe0", "Zeiss ZVI.*OME-TIFF"),
        ("a.ims", b"\x89HDF\r\n\x1a\n", "HDF5.*OME-TIFF"),
        ("a.dv", b"\0\0\0\0", "DeltaVision.*OME-TIFF"),
        ("a.dcm", bytes(128) + b"DICM", "DICOM"),
        ("a.pdf", b"%PDF-1.7", "PDF"),
        ("a.zip", b"PK\3\4", "ZIP"),
        ("a.heic", b"\0\0\0\x18ftypheic", "HEIC"),
        ("a.nd2", b"\xda\xce\xbe\x0a", r"a\.nd2: "),
        ("a.czi", b"ZISRAWFILE", r"CZI file is damaged"),
        ("a.lif", b"\x70\0\0\0", r"LIF file is damaged"),
        ("a.oib", b"\xd0\xcf\x11\xe0", r"OIB file is damaged"),
        ("a.jp2", b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    ],
)
def test_what_is_not_read_is_said_in_one_line(tmp_path, name, start, words):
    path = tmp_path / name
    path.write_bytes(start + bytes(300))
    with pytest.raises(InputError, match=words) as error:
        read(path)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_a_library_that_is_not_there_is_named(tmp_path, monkeypatch):
    path = write_lif(tmp_path / "a.lif", {"field": stack(1, 1, 1)})
    monkeypatch.setitem(__import__("sys").modules, "liffile", None)
    with pytest.raises(InputError, match="need the package liffile: pip install liffile"):
        read(path)


def test_folders_that_are_images_are_found_and_companions_are_not(tmp_path):
    planes = stack(1, 1, 1)
    write_zarr(tmp_path / "day" / "a.zarr", planes)
    write_oif(tmp_path / "day" / "b.oif", planes)
    found = resolve_inputs([tmp_path], SUFFIXES)
    assert [entry.image for entry in found] == ["day/a.zarr", "day/b.oif"]
    assert [entry.image for entry in resolve_inputs([tmp_path / "day" / "a.zarr"], SUFFIXES)] == ["a.zarr"]
    assert STACK_SUFFIXES < SUFFIXES
