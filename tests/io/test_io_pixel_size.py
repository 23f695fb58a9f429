"""Pixel sizes, from hand-made files: what must be believed, and what must not."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PilImage

from cellscope.io.pixel_size import UNKNOWN, from_imagej, from_ome, from_resolution, unit_um
from cellscope.io.read import read

PIXELS = np.zeros((8, 9), np.uint8)


def size_of(path):
    image = read(path)
    return image.pixel_size_um, image.warnings


@pytest.mark.parametrize(
    ("resolution", "unit", "expected"),
    [
        ((40000, 40000), "CENTIMETER", 0.25),  # 10000 um / 40000
        ((101600, 101600), "INCH", 0.25),  # 25400 um / 101600
        ((2540, 2540), "INCH", 10.0),
        ((5080, 5080), "INCH", 5.0),
        ((1000, 1000), "CENTIMETER", 10.0),
        ((72, 72), "INCH", None),
        ((96, 96), "INCH", None),
        ((300, 300), "INCH", None),
        ((1, 1), "INCH", None),
        ((28.35, 28.35), "CENTIMETER", None),
        ((2400, 2400), "INCH", None),
        ((4800, 4800), "INCH", None),
        ((1890, 1890), "CENTIMETER", None),  # 4800 dpi
        ((2**31, 2**31), "INCH", None),
        ((40000, 40000), "NONE", None),
    ],
)
def test_tiff_resolution(tmp_path, resolution, unit, expected):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, resolution=resolution, resolutionunit=unit, metadata=None)
    size, warnings = size_of(tmp_path / "a.tif")
    assert size == (None if expected is None else pytest.approx(expected, rel=1e-6))
    assert warnings == ()


def test_tiff_without_resolution_unit_means_inches(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, resolution=(50800, 50800), resolutionunit="INCH", metadata=None)
    data = (tmp_path / "a.tif").read_bytes()
    entry = data.index(struct.pack("<HHI", 296, 3, 1))
    (tmp_path / "a.tif").write_bytes(data[:entry] + struct.pack("<H", 65000) + data[entry + 2 :])  # a private tag
    assert size_of(tmp_path / "a.tif") == (0.5, ())


def test_pixels_that_are_not_square(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, resolution=(10000, 20000), resolutionunit="CENTIMETER", metadata=None)
    size, warnings = size_of(tmp_path / "a.tif")
    assert size is None
    assert "1 x 0.5 um" in warnings[0]
    tifffile.imwrite(tmp_path / "b.tif", PIXELS, resolution=(10000, 10050), resolutionunit="CENTIMETER", metadata=None)
    assert size_of(tmp_path / "b.tif") == (pytest.approx(1.0, rel=0.01), ())


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("um", 0.25), ("micron", 0.25), ("microns", 0.25), ("\\u00B5m", 0.25), ("\\u00b5m", 0.25), ("\\u03BCm", 0.25),
        ("nm", 0.00025), ("mm", 250.0), ("pixel", None), ("", None), ("furlong", None),
    ],
)  # fmt: skip
def test_imagej_units(tmp_path, unit, expected):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, imagej=True, resolution=(4, 4), metadata={"unit": unit})
    size, warnings = size_of(tmp_path / "a.tif")
    assert size == (None if expected is None else pytest.approx(expected))
    doubt = ("the unit 'furlong' of the pixel size is not understood; give --pixel-size",)
    assert warnings == (doubt if unit == "furlong" else ())


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("letter", ["\u00b5", "\u03bc"])
def test_imagej_unit_as_raw_letter(tmp_path, encoding, letter):
    if (encoding, letter) == ("latin-1", "\u03bc"):
        return
    description = f"ImageJ=1.54f\nunit={letter}m\n".encode(encoding)
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, resolution=(2, 2), description=description, metadata=None)
    assert size_of(tmp_path / "a.tif") == (0.5, ())


def test_imagej_stack_page_has_the_files_size(tmp_path):
    stack = np.zeros((3, 8, 9), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, resolution=(5, 5), metadata={"unit": "micron"})
    assert read(tmp_path / "a.tif").pixel_size_um == pytest.approx(0.2)


def test_imagej_inch_is_the_resolution_of_a_photograph():
    assert from_imagej("ImageJ=1.54f\nunit=inch\n", 72, 72) == UNKNOWN
    assert from_imagej("ImageJ=1.54f\nunit=inch\n", 50800, 50800) == (0.5, ())
    assert from_imagej("unit=um\n", 2, 2) == UNKNOWN
    assert from_imagej("ImageJ=1.54f\nunit=um\n", 0, 0) == UNKNOWN
    assert from_imagej("ImageJ=1.54f\nunit=um\nyunit=nm\n", 2, 0.002) == (0.5, ())
    size, warnings = from_imagej("ImageJ=1.54f\nunit=mm\n", 1e-4, 1e-4)
    assert size is None
    assert "implausible" in warnings[0]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"PhysicalSizeX": 0.3, "PhysicalSizeY": 0.3}, 0.3),
        ({"PhysicalSizeX": 0.3, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.3, "PhysicalSizeYUnit": "µm"}, 0.3),
        ({"PhysicalSizeX": 300, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.3, "PhysicalSizeYUnit": "µm"}, 0.3),
        ({"PhysicalSizeX": 2e-4, "PhysicalSizeXUnit": "mm", "PhysicalSizeY": 2e-4, "PhysicalSizeYUnit": "mm"}, 0.2),
        ({"PhysicalSizeX": 0.3, "PhysicalSizeXUnit": "pixel", "PhysicalSizeY": 1, "PhysicalSizeYUnit": "pixel"}, None),
        ({"PhysicalSizeX": 0.3}, 0.3),
        ({}, None),
    ],
)
def test_ome(tmp_path, metadata, expected):
    tifffile.imwrite(tmp_path / "a.ome.tif", PIXELS, ome=True, resolution=(72, 72), metadata=metadata)
    size, warnings = size_of(tmp_path / "a.ome.tif")
    assert size == (None if expected is None else pytest.approx(expected))
    assert warnings == ()


def test_ome_goes_before_the_resolution(tmp_path):
    metadata = {"PhysicalSizeX": 0.3, "PhysicalSizeY": 0.3}
    options = {"resolution": (1e4, 1e4), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(tmp_path / "a.ome.tif", PIXELS, ome=True, metadata=metadata, **options)
    assert size_of(tmp_path / "a.ome.tif") == (pytest.approx(0.3), ())


def test_ome_picks_the_image_of_the_same_size():
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="x">'
        '<Image><Pixels SizeX="5" SizeY="5" PhysicalSizeX="9"/></Image>'
        '<Image><Pixels SizeX="8" SizeY="7" PhysicalSizeX="0.5" PhysicalSizeY="0.5"/></Image></OME>'
    )
    assert from_ome(xml, 8, 7) == (0.5, ())
    assert from_ome(xml, 1, 1) == (9.0, ())


def test_ome_that_is_broken():
    size, warnings = from_ome("<OME><Image></OME>", 8, 8)
    assert size is None
    assert "cannot be parsed" in warnings[0]
    assert from_ome('<OME><Pixels PhysicalSizeX="wide"/></OME>', 8, 8) == UNKNOWN
    assert from_ome('<OME><Pixels PhysicalSizeX="nan"/></OME>', 8, 8) == UNKNOWN
    assert from_ome("nothing of the kind", 8, 8) == UNKNOWN


@pytest.mark.parametrize(("dpi", "expected"), [(72, None), (300, None), (50800, 0.5), (None, None)])
@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
def test_raster_resolution(tmp_path, suffix, dpi, expected):
    options = {} if dpi is None else {"dpi": (dpi, dpi)}
    PilImage.fromarray(PIXELS).save(tmp_path / f"a.{suffix}", **options)
    size, warnings = size_of(tmp_path / f"a.{suffix}")
    assert size == (None if expected is None else pytest.approx(expected, rel=1e-3))
    assert warnings == ()


def test_jpeg_resolution_from_exif(tmp_path):
    exif = PilImage.Exif()
    exif[282], exif[283], exif[296] = 20000.0, 20000.0, 3
    PilImage.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=exif)
    assert size_of(tmp_path / "a.jpg") == (0.5, ())


def test_png_aspect_ratio_is_no_size(tmp_path):
    PilImage.fromarray(PIXELS).save(tmp_path / "a.png")
    body = b"pHYs" + struct.pack(">IIB", 10**6, 10**6, 0)
    chunk = struct.pack(">I", 9) + body + struct.pack(">I", zlib.crc32(body))
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[:33] + chunk + data[33:])
    assert size_of(tmp_path / "a.png") == (None, ())


@given(size=st.floats(0.002, 5), unit=st.sampled_from([25400.0, 10000.0]))
def test_resolution_inverts(size, unit):
    found, _ = from_resolution(unit / size, unit / size, unit)
    assert found is None or found == pytest.approx(size)
    assert found is not None or abs(25400 / size - round(25400 / size, -2)) < 2.1  # only scanners' values are ignored


@pytest.mark.parametrize("value", [0.0, -5.0, float("inf"), float("nan")])
def test_resolution_nonsense(value):
    assert from_resolution(value, value, 25400.0) == UNKNOWN


def test_units():
    assert unit_um(" Micron ") == 1.0
    assert unit_um('"um"') == 1.0
    assert unit_um("\u212b") == unit_um("angstrom") == 1e-4
    assert unit_um("inch") == 25400.0
    assert unit_um("px") is None
