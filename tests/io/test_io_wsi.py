"""Whole slides: what counts as one, levels, regions, resolution, corrupt tiles."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from drawn.scanners import write_mrxs, write_ndpi
from drawn.slides import spoil_tile, write_pyramid

from cellscope.errors import InputError
from cellscope.io.read import describe
from cellscope.io.wsi import open_slide
from cellscope.io.wsi_reader import BLANK


def picture(height: int = 150, width: int = 210) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("ome", [False, True])
def test_a_pyramid_has_levels_and_a_resolution(tmp_path: Path, ome: bool) -> None:
    slide = open_slide(write_pyramid(tmp_path / "a.tif", picture(), pixel_size_um=0.5, ome=ome))
    assert slide is not None
    assert [(level.height, level.width) for level in slide.levels] == [(150, 210), (75, 105), (37, 52)]
    assert [round(level.downsample, 2) for level in slide.levels] == [1.0, 2.0, 4.05]
    assert slide.pixel_size_um == pytest.approx(0.5)
    # the coarsest level that is fine enough, with 5 % of slack
    assert [slide.level_for(value) for value in (0.5, 1.0, 1.9, 1.93, 3.0, 3.9, 100.0)] == [0, 0, 0, 1, 1, 2, 2]


def test_regions_are_the_image_and_blank_outside(tmp_path: Path) -> None:
    image = picture()
    slide = open_slide(write_pyramid(tmp_path / "a.tif", image))
    reader = slide.open()
    np.testing.assert_array_equal(reader.read(0, 0, 0, 150, 210), image)
    np.testing.assert_array_equal(reader.read(0, 61, 63, 5, 70), image[61:66, 63:133])
    around = reader.read(0, -10, -20, 180, 250)
    np.testing.assert_array_equal(around[10:160, 20:230], image)
    around[10:160, 20:230] = BLANK
    assert (around == BLANK).all()
    assert (reader.read(0, 400, 0, 3, 4) == BLANK).all()
    half = cv2.resize(image, (105, 75), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(reader.read(1, 3, 4, 70, 100), half[3:73, 4:104])
    reader.close()


def test_both_backends_read_the_same(tmp_path: Path) -> None:
    pytest.importorskip("openslide")
    from cellscope.io.wsi_openslide import OpenSlideSlide

    image = cv2.GaussianBlur(picture(), (0, 0), 3)
    path = write_pyramid(tmp_path / "a.tif", image, compression="jpeg")
    one, other = open_slide(path), OpenSlideSlide(path)
    assert other.shapes == [(level.height, level.width) for level in one.levels]
    here, there = one.open().read(0, -5, 10, 170, 190), other.read(0, -5, 10, 170, 190)
    assert np.abs(here.astype(int) - there).max() <= 2  # two builds of libjpeg


def test_a_corrupt_tile_costs_one_tile(tmp_path: Path) -> None:
    image = picture()
    path = write_pyramid(tmp_path / "a.tif", image)
    spoil_tile(path, 5)  # second row, second of four columns
    reader = open_slide(path).open()
    found = reader.read(0, 0, 0, 150, 210)
    assert reader.corrupt == {(0, 64, 64)}
    assert (found[64:128, 64:128] == BLANK).all()
    found[64:128, 64:128] = image[64:128, 64:128]
    np.testing.assert_array_equal(found, image)


def test_a_file_cut_short_loses_its_last_tiles_only(tmp_path: Path) -> None:
    path = write_pyramid(tmp_path / "a.tif", picture(), levels=1)
    with tifffile.TiffFile(path) as tif:
        end = tif.pages[0].dataoffsets[-2]
    path.write_bytes(path.read_bytes()[:end])
    reader = open_slide(path, largest=1000).open()
    reader.read(0, 0, 0, 150, 210)
    assert reader.corrupt == {(0, 128, 128), (0, 128, 192)}


def test_thumbnails_average(tmp_path: Path) -> None:
    image = cv2.GaussianBlur(picture(400, 300), (0, 0), 8)
    slide = open_slide(write_pyramid(tmp_path / "a.tif", image))
    small = slide.thumbnail(80)
    assert small.shape == (80, 60, 3)
    expected = cv2.resize(image, (60, 80), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - expected).max() <= 3
    assert slide.thumbnail(1000).shape == image.shape


def test_what_is_no_slide(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "flat.tif", picture(), tile=(64, 64), photometric="rgb")
    tifffile.imwrite(tmp_path / "strips.tif", picture(), photometric="rgb", rowsperstrip=7)
    cv2.imwrite(str(tmp_path / "a.png"), picture())
    grey = picture()[..., 0]
    with tifffile.TiffWriter(tmp_path / "stack.tif") as writer:
        writer.write(grey)
        writer.write(grey[::2, ::2].copy(), subfiletype=1)
    for name in ("flat.tif", "strips.tif", "a.png", "stack.tif"):
        assert open_slide(tmp_path / name) is None
    # above the limit of ordinary images a file is read piece by piece, tiled or not
    tifffile.imwrite(tmp_path / "zip.tif", picture(), photometric="rgb", rowsperstrip=7, compression="zlib")
    for name in ("flat.tif", "strips.tif", "zip.tif"):
        slide = open_slide(tmp_path / name, largest=1000)
        np.testing.assert_array_equal(slide.open().read(0, 20, 30, 100, 90), picture()[20:120, 30:120])


def test_damaged_files_say_so_in_one_line(tmp_path: Path) -> None:
    for name, content in (("a.svs", b"II*\0 nothing"), ("b.mrxs", b"nothing"), ("c.ndpi", b""), ("d.svs", b"hello")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name) as error:
            open_slide(tmp_path / name)
        assert "\n" not in str(error.value)
    (tmp_path / "e.tif").write_bytes(b"II*\0 nothing")
    assert open_slide(tmp_path / "e.tif") is None  # the reader of ordinary images says what is wrong


@pytest.mark.parametrize(("write", "name"), [(write_ndpi, "a.ndpi"), (write_mrxs, "a.mrxs")])
def test_scanners_own_formats_are_read_by_openslide(tmp_path: Path, write, name: str) -> None:
    pytest.importorskip("openslide")
    fine, coarse = write(tmp_path / name, cv2.GaussianBlur(picture(256, 384), (0, 0), 3), pixel_size_um=0.22)
    slide = open_slide(tmp_path / name)
    assert (slide.backend, slide.pixel_size_um) == ("openslide", pytest.approx(0.22, rel=1e-4))
    assert [(level.height, level.width) for level in slide.levels][:2] == [(256, 384), (128, 192)]
    reader = slide.open()
    around = reader.read(0, -10, -20, 300, 450)  # over tiles and over the edge
    assert np.abs(around[10:266, 20:404].astype(int) - fine).max() <= 2  # two builds of libjpeg
    around[10:266, 20:404] = BLANK
    assert (around == BLANK).all()
    assert np.abs(reader.read(1, 50, 60, 70, 100).astype(int) - coarse[50:120, 60:160]).max() <= 2
    assert not reader.corrupt
    reader.close()


def test_what_a_scanner_left_out_is_glass(tmp_path: Path) -> None:
    pytest.importorskip("openslide")
    fine, _ = write_mrxs(tmp_path / "a.mrxs", np.full((128, 256, 3), 90, np.uint8), unscanned=(1,))
    assert (fine[:64, 64:128] == 255).all()
    found = open_slide(tmp_path / "a.mrxs").open().read(0, 0, 0, 128, 256)
    assert np.abs(found.astype(int) - fine).max() <= 2


def test_a_mirax_slide_needs_its_folder(tmp_path: Path) -> None:
    pytest.importorskip("openslide")
    write_mrxs(tmp_path / "a.mrxs", np.full((128, 128, 3), 90, np.uint8))
    (tmp_path / "a" / "Data0000.dat").unlink()
    with pytest.raises(InputError, match=r"a\.mrxs: the slide is damaged or incomplete .*copy it again"):
        open_slide(tmp_path / "a.mrxs")
    (tmp_path / "a").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"a\.mrxs: the folder a with its pixels is not beside it"):
        open_slide(tmp_path / "a.mrxs")


@pytest.mark.realdata
def test_a_scanner_s_slide(real_data: Path) -> None:
    path = real_data / "histo/wsi/CMU-1-Small-Region.svs"
    slide = open_slide(path)
    assert (slide.height, slide.width, slide.pixel_size_um, slide.backend) == (2967, 2220, 0.499, "tifffile")
    scenes = describe(path).scenes
    assert [(scene.name, scene.pixel_size_um) for scene in scenes[:2]] == [("Baseline", 0.499), ("Thumbnail", None)]
    pytest.importorskip("openslide")
    from cellscope.io.wsi_openslide import OpenSlideSlide

    other = OpenSlideSlide(path)
    assert (other.shapes, other.pixel_size_um) == ([(2967, 2220)], 0.499)
    box = (0, 900, -30, 300, 400)
    here, there = slide.open().read(*box), other.read(*box)
    assert np.abs(here.astype(int) - there).max() <= 2
