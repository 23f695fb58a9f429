"""How every assay is taken down its road in little time: a data set, two steps of training, images to predict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import tifffile
from drawn.histo import tissue
from drawn.karyotype import metaphase, single
from drawn.micronucleus import draw_field
from drawn.mitosis import division, write_composite
from drawn.nucleus_seg import smear
from drawn.slides import draw_slide, write_pyramid


@dataclass(frozen=True)
class Recipe:
    """How to take an assay down the road in little time.

    Attributes
    ----------
    source : str
        Name of the fixture that gives a data set in a public layout.
    training : dict
        Part -> options of ``train``.
    inputs : callable
        Writes images to a folder; gives the expected kind by image name, None for a broken file.
    options : list of str
        For ``predict`` and ``eval``.
    predict_options : list of str
        For ``predict`` alone.
    """

    source: str
    training: dict[str, list[str]]
    inputs: Callable[[Path], dict[str, str | None]]
    options: list[str]
    predict_options: list[str] = field(default_factory=list)


def karyotype_inputs(folder: Path) -> dict[str, str | None]:
    (folder / "day1").mkdir(parents=True)
    cv2.imwrite(str(folder / "day1" / "dark.png"), metaphase(11).pixels)
    tifffile.imwrite(folder / "bright.tif", metaphase(12, inverted=True).pixels.astype(np.uint16) * 200)
    cv2.imwrite(str(folder / "empty.png"), np.full((260, 300), 30, np.uint8))
    cv2.imwrite(str(folder / "one.bmp"), single("3"))
    (folder / "broken.tif").write_bytes(b"II*\0 nothing")
    return {
        "bright.tif": "metaphase",
        "broken.tif": None,
        "day1/dark.png": "metaphase",
        "empty.png": "metaphase",
        "one.bmp": "chromosome",
    }


def nucleus_inputs(folder: Path) -> dict[str, str | None]:
    (folder / "day1").mkdir(parents=True)
    for number in range(11):
        cv2.imwrite(str(folder / "day1" / f"cell{number:02}.bmp"), smear(number, (60, 70))[0][..., ::-1])
    tifffile.imwrite(folder / "deep.tif", smear(3, (120, 100), cells=2)[0].astype(np.uint16) * 257)
    (folder / "unreadable.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    cells = {f"day1/cell{number:02}.bmp": "image" for number in range(11)}
    return dict(sorted({"unreadable.png": None, **cells, "deep.tif": "image"}.items()))


def micronucleus_inputs(folder: Path) -> dict[str, str | None]:
    (folder / "day1").mkdir(parents=True)
    expected: dict[str, str | None] = {"broken.tif": None}
    for number in range(11):
        cell = draw_field(number).grey[5:80, 5:80]
        cv2.imwrite(str(folder / "day1" / f"cell{number:02d}.png"), cell)
        expected[f"day1/cell{number:02d}.png"] = "crop"
    tifffile.imwrite(folder / "field.tif", draw_field(3, size=280).grey)
    tifffile.imwrite(folder / "black.tif", np.zeros((280, 270), np.uint8))
    (folder / "broken.tif").write_bytes(b"II*\0 nothing")
    return dict(sorted((expected | {"field.tif": "field", "black.tif": "field"}).items()))


def mitosis_inputs(folder: Path) -> dict[str, str | None]:
    expected: dict[str, str | None] = {"unreadable.tif": None}
    for number in range(12):
        name = f"day{number % 2}/{number:02}.tif"
        write_composite(folder / name, division(number, abnormal=number % 3 == 0, frames=12 if number else 9, side=36))
        expected[name] = "sequence"
    (folder / "unreadable.tif").write_bytes(b"II*\0 nothing")
    return dict(sorted(expected.items()))


def histo_inputs(folder: Path) -> dict[str, str | None]:
    (folder / "day1").mkdir(parents=True)
    expected: dict[str, str | None] = {}  # the first input is one that works
    for number in range(11):
        image = tissue(number, 80, 8)[0]
        cv2.imwrite(str(folder / f"day1/tile{number:02}.png"), image[..., ::-1])
        expected[f"day1/tile{number:02}.png"] = "image"
    write_pyramid(folder / "slide.tif", draw_slide(4, 100, 10, glass=20))
    (folder / "unreadable.tif").write_bytes(b"II*\0 nothing")
    expected["unreadable.tif"] = None
    return dict(sorted((expected | {"slide.tif": "slide"}).items()))


def sets(*options: str) -> list[str]:
    """Give options as ``--set`` takes them."""
    return [word for option in options for word in ("--set", option)]


RECIPES = {
    "histo": Recipe(
        source="histo_source",
        training={"nuclei": ["--arch", "histonext-test", "--set", "core=64"]},
        inputs=histo_inputs,
        # Two steps teach nothing: everything counts as nucleus, parted by what noise there is.
        options=sets("probability_threshold=0", "edge=0.01", "min_area=4"),
        predict_options=["--no-tissue", *sets("block=96")],
    ),
    "micronucleus": Recipe(
        source="micronucleus_source",
        training={
            "nuclei": ["--arch", "unet-xs", "--set", "crop=64"],
            "classify": ["--arch", "mv2-se-tr1", "--input-size", "32"],
        },
        inputs=micronucleus_inputs,
        options=["--threshold", "0.4"],
    ),
    "mitosis": Recipe(
        source="mitosis_source",
        training={"classify": ["--arch", "mitonet-test"]},
        inputs=mitosis_inputs,
        options=[],
    ),
    "karyotype": Recipe(
        source="karyotype_source",
        training={
            "detect": ["--arch", "chrrender-test", "--set", "crop=128", "--set", "val_limit=1"],
            "classify": ["--arch", "chrnet4-test"],
        },
        inputs=karyotype_inputs,
        # Two steps teach nothing: take whatever the detector is unsure of, so that there are objects.
        options=["--score-threshold", "0", "--set", "mask_threshold=0.3"],
    ),
    "nucleus-seg": Recipe(
        source="nucleus_source",
        training={"nuclei": ["--arch", "compact-test", "--set", "crop=64"]},
        inputs=nucleus_inputs,
        # Two steps teach nothing: everything counts as nucleus, so that there are objects.
        options=["--set", "probability_threshold=0.05", "--nucleus-diameter", "40"],
    ),
}
