"""The inputs of ``same_outputs.py``: drawn by what draws the tests' inputs, the same bytes every time."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import tifffile

ROOT = Path(__file__).resolve().parents[1]


def draw_inputs(folder: Path) -> None:
    """Write everything that the commands read below an empty folder, one folder per assay."""
    sys.path.append(str(ROOT / "tests"))  # for the package `drawn`
    for write in (_karyotype, _histo, _micronucleus, _nucleus_seg, _mitosis):
        place = folder / write.__name__.strip("_")
        place.mkdir(parents=True)
        write(place)


def _png(path: Path, pixels: np.ndarray) -> None:
    """Write grey or RGB pixels in any format of OpenCV's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels):
        raise OSError(f"{path} was not written")


def _karyotype(folder: Path) -> None:
    from drawn.karyotype import karyotype, metaphase, single, write_adir, write_class_folders, write_coco

    cells = [metaphase(seed, sex=("XX", "XY")[seed % 2], inverted=seed % 2 == 0) for seed in range(5)]
    write_coco(folder / "masks", cells, singles=5, per_cell=6)
    write_coco(folder / "boxes", cells[:3], style="boxes")
    write_adir(folder / "classmaps", cells[:3])
    write_class_folders(folder / "folders", {f"cell{n}": ["1", "7", "16", "21", "X"] for n in range(4)})
    mixed = folder / "mixed"
    _png(mixed / "day1/dark.png", metaphase(11).pixels)
    tifffile.imwrite(mixed / "bright.tif", metaphase(12, inverted=True).pixels.astype(np.uint16) * 200)
    _png(mixed / "empty.png", np.full((260, 300), 30, np.uint8))
    for name in ("1", "9", "Y"):
        _png(mixed / f"single/{name}.bmp", single(name))
    (mixed / "broken.tif").write_bytes(b"II*\0 nothing")
    for number in range(1, 4):  # the last two of three cells have a chromosome 21 too many
        names = karyotype("XX") + (["21"] if number > 1 else [])
        cell = metaphase(20 + number, classes=names, crossing=0, touching=1)
        _png(folder / f"case/caseA_{number:02}.png", cell.pixels)
    shutil.copy(ROOT / "examples/metaphase.tif", folder)


def _histo(folder: Path) -> None:
    from drawn.histo import tissue, write_tiles
    from drawn.slides import draw_slide, write_pyramid

    write_tiles(folder / "typed", 6, side=96)
    write_tiles(folder / "untyped", 3, side=96, typed=False)
    mixed = folder / "mixed"
    for number in range(3):
        _png(mixed / f"day{number % 2}/tile{number}.png", tissue(number, 96, 9)[0])
    _png(mixed / "glass.png", np.full((80, 90, 3), 243, np.uint8))
    (mixed / "broken.tif").write_bytes(b"II*\0 nothing")
    write_pyramid(mixed / "slide.tif", draw_slide(4, 128, 14, glass=30))
    write_pyramid(folder / "slide.tif", draw_slide(1, 200, 30))
    _png(folder / "large.png", tissue(5, 200, 22)[0])
    ring = [[60, 50], [200, 50], [200, 180], [60, 180], [60, 50]]
    region = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    (folder / "region.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [region]}))


def _micronucleus(folder: Path) -> None:
    from drawn.micronucleus import draw_field, write_mnfinder

    write_mnfinder(folder / "masks", {"2024-01-01_RPE1": 3, "2024-01-02_HeLa": 2})
    for number in range(12):
        field = draw_field(number, carriers=(1,))
        for class_, (row, column) in (("micronucleus", (40, 40)), ("normal", (110, 110))):
            crop = field.grey[row - 32 : row + 32, column - 32 : column + 32]
            _png(folder / f"crops/{class_}/{number:02}.png", crop)
    mixed = folder / "mixed"
    for number in range(3):
        _png(mixed / f"cells/{number}.png", draw_field(number).grey[5:80, 5:80])
    tifffile.imwrite(mixed / "black.tif", np.zeros((280, 270), np.uint8))
    (mixed / "broken.tif").write_bytes(b"II*\0 nothing")
    for number, name in enumerate(("control/a", "control/b", "treated/c"), 1):
        for kind in ("fields", "nuclei"):
            (folder / kind / name).parent.mkdir(parents=True, exist_ok=True)
        field = draw_field(number, size=300, carriers=((1, 3), (), (1, 2, 4))[number - 1])
        tifffile.imwrite(folder / f"fields/{name}.tif", field.grey)
        labels = np.where(field.nuclei > 0, field.nuclei + 10, 0)
        _png(folder / f"nuclei/{name}_mask.png", labels.astype(np.uint16))
    # the worked example of the IAEA's manual (Cytogenetic Dosimetry, 2011)
    rows = [(0, 5000, 8), (0.1, 5002, 14), (0.5, 2002, 55), (1, 1168, 109), (2, 333, 103), (3, 193, 108), (5, 59, 107)]
    (folder / "calibration.csv").write_text("dose,cells,micronuclei\n" + "".join(f"{d},{n},{k}\n" for d, n, k in rows))


def _nucleus_seg(folder: Path) -> None:
    from drawn.nucleus_seg import smear, write_wbc

    write_wbc(folder / "pairs", 6, 3)
    mixed = folder / "mixed"
    for number in range(4):
        _png(mixed / f"day{number % 2}/cell{number}.bmp", smear(number, (60, 70))[0])
    tifffile.imwrite(mixed / "deep.tif", smear(3, (120, 100), cells=2)[0].astype(np.uint16) * 257)
    (mixed / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    _png(folder / "smear.png", smear(7, (420, 520), cells=9, radius=16)[0])


def _mitosis(folder: Path) -> None:
    from drawn.mitosis import division, field, write_composite, write_event_tables, write_source

    write_source(folder / "classes")
    for number in range(4):
        pair = division(number, abnormal=number % 2 == 0, frames=12 if number else 9, side=36)
        write_composite(folder / f"mixed/day{number % 2}/{number}.tif", pair)
    (folder / "mixed/broken.tif").write_bytes(b"II*\0 nothing")
    events = [(8, 40, 50, False), (12, 100, 140, True), (20, 60, 150, False)]
    movie = field(events)
    metadata = {"axes": "TCYX", "finterval": 600.0, "unit": "um"}
    tifffile.imwrite(folder / "movie.tif", np.moveaxis(movie, -1, 1), imagej=True, metadata=metadata)
    write_event_tables(folder / "events", [event[:3] for event in events], movie.shape[1:3])
