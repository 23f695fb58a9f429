"""A stated pixel size ten times too small or large: said, and the image's own estimate used, in every assay."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from drawn.histo import tissue
from drawn.karyotype import metaphase
from drawn.micronucleus import draw_field
from drawn.mitosis import division
from drawn.nucleus_seg import smear
from typer.testing import CliRunner

from cellscope.cli.root import app
from cellscope.io.sequence import write_sequence


def write_ome(path: Path, pixels: np.ndarray, size: float) -> None:
    unit = {"PhysicalSizeXUnit": "\u00b5m", "PhysicalSizeYUnit": "\u00b5m"}
    metadata = {"axes": "YXS" if pixels.ndim == 3 else "YX", "PhysicalSizeX": size, "PhysicalSizeY": size, **unit}
    tifffile.imwrite(path, pixels, ome=True, metadata=metadata, photometric="rgb" if pixels.ndim == 3 else "minisblack")


def sequence(path: Path, frames: np.ndarray, size: float) -> None:
    write_sequence(path, frames, pixel_size_um=size)


CASES = {
    "nucleus-seg": (lambda: smear(5, (256, 256), cells=5)[0], 0.32, write_ome, (0.1, 10)),
    "histo": (lambda: tissue(1, 256, 30)[0], 0.25, write_ome, (0.1,)),
    "micronucleus": (lambda: draw_field(1, size=300).grey.astype(np.uint16), 0.5, write_ome, (0.1, 10)),
    "karyotype": (lambda: metaphase(1).pixels, 0.15, write_ome, (0.1, 10)),
    "mitosis": (lambda: division(3, abnormal=False), 1.15, sequence, (0.1, 12)),
}


@pytest.mark.slow
@pytest.mark.parametrize("assay", CASES)
def test_it_is_said_and_the_objects_are_found_all_the_same(assay, tmp_path):
    draw, right, write, factors = CASES[assay]
    pixels = draw()
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "good.tif", pixels, right)
    for number, factor in enumerate(factors):
        write(folder / f"odd{number}.tif", pixels, right * factor)
    out = tmp_path / "out"
    words = [assay, "predict", folder, "-o", out, "--device", "cpu", "--num-workers", 0]
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == 0, result.stderr
    images = pd.read_csv(out / "images.csv").set_index("image")
    entries = {entry["image"]: entry for entry in json.loads((out / "run.json").read_text())["inputs"]}
    assert not any("pixel size of" in line for line in entries["good.tif"]["warnings"])
    assert images.loc["good.tif", "n_objects"] > 0
    objects = pd.read_csv(out / "objects.csv").set_index("image")
    physical = [name for name in objects.columns if name.endswith(("_um", "_um2"))]
    for number, factor in enumerate(factors):
        name = f"odd{number}.tif"
        assert any(f"stated pixel size of {right * factor:.3g} um" in line for line in entries[name]["warnings"]), name
        near = images.loc["good.tif", "n_objects"]
        assert abs(images.loc[name, "n_objects"] - near) <= 0.1 * near
        assert objects.loc[[name], physical].isna().all(axis=None)
