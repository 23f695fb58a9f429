"""Chromosomes as images of their own: the paper's Figure 4 (c to e)."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from drawn.karyotype import rod
from typer.testing import CliRunner

from cellscope.assays.karyotype.classify.separate import separated
from cellscope.assays.karyotype.classify.stage import PAD
from cellscope.assays.karyotype.classify.upright import main_axis
from cellscope.assays.karyotype.classify.views import view_settings
from cellscope.assays.karyotype.detect.detections import Detection
from cellscope.cli.root import app

EXAMPLE = Path(__file__).parents[4] / "examples" / "metaphase.tif"


def two_rods() -> tuple[np.ndarray, list[Detection]]:
    """Draw two tilted rods close to one another, so that each lies in the other's box."""
    image, found = np.zeros((120, 120), np.float32), []
    for centre in ((50.0, 50.0), (62.0, 62.0)):
        mask, level = rod((120, 120), centre, 0.7, 40.0, 9.0, bands=3)
        image = np.maximum(image, level)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        found.append(Detection(box, mask[box[1] : box[3], box[0] : box[2]], 0.9))
    return image.astype(np.float32), found


@pytest.mark.parametrize("bright", [True, False])
@pytest.mark.parametrize("rotate", ["moments", "hough"])
def test_each_is_alone_as_it_lies_and_upright(bright: bool, rotate: str) -> None:
    image, found = two_rods()
    named = [(number, class_, one) for number, (class_, one) in enumerate(zip(("1", "X"), found, strict=True), 1)]
    pictures = separated(image, named, view_settings(rotate=rotate), rotate="auto", bright_on_dark=bright)
    assert list(pictures) == [
        f".chromosomes/{name}.{kind}.png" for name in ("01-1", "02-X") for kind in ("cut", "turned")
    ]
    for (_, class_, one), cut, turned in zip(
        named, list(pictures.values())[::2], list(pictures.values())[1::2], strict=True
    ):
        shown, upright = (picture if bright else 255 - picture for picture in (cut, turned))
        assert cut.dtype == np.uint8
        assert cut.shape == tuple(side + 2 * PAD for side in one.mask.shape), class_
        assert not shown[~np.pad(one.mask, PAD)].any()  # nothing of the other
        assert shown[np.pad(one.mask, PAD)].max() > 200
        assert abs(main_axis(upright > 64)[1]) < 0.1  # vertical
        assert upright.shape[0] > upright.shape[1]


@pytest.mark.slow
def test_predict_writes_two_images_of_every_object(tmp_path: Path) -> None:
    words = ["karyotype", "predict", str(EXAMPLE), "-o", str(tmp_path / "out"), "--save-chromosomes", "--device", "cpu"]
    result = CliRunner().invoke(app, [*words, "--num-workers", "0", "-q"])
    assert result.exit_code == 0, result.output
    objects = pd.read_csv(tmp_path / "out/objects.csv", dtype={"class": str})
    wanted = {
        f"{label:02d}-{class_}.{kind}.png"
        for label, class_ in zip(objects["label"], objects["class"], strict=True)
        for kind in ("cut", "turned")
    }
    files = sorted((tmp_path / "out/metaphase.chromosomes").iterdir())
    assert {path.name for path in files} == wanted
    assert len(wanted) > 80
    assert all(np.ptp(cv2.imread(str(path), 0)) > 60 for path in files)
