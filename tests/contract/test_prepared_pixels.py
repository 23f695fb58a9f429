"""A prepared dataset holds images as `predict` reads them: the original and the prepared copy give the same objects."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from drawn.formats import write_czi
from drawn.nucleus_seg import smear
from typer.testing import CliRunner

from cellscope.cli.root import app


def call(*words: object) -> None:
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == 0, result.stderr


def objects(folder: Path) -> pd.DataFrame:
    table = pd.read_csv(folder / "objects.csv").drop(columns="image")
    return table[[name for name in table.columns if not name.endswith(("_um", "_um2"))]]


def transparent(path: Path, rgb: np.ndarray) -> None:
    alpha = np.full(rgb.shape[:2], 255, np.uint8)
    alpha[:20] = 0
    cv2.imwrite(str(path), np.dstack([rgb[..., ::-1], alpha]))


def planes(path: Path, rgb: np.ndarray) -> None:
    stored = np.ascontiguousarray(np.moveaxis(rgb, -1, 0))
    tifffile.imwrite(path, stored, imagej=True, metadata={"axes": "CYX", "mode": "composite"})


def deep(path: Path, rgb: np.ndarray) -> None:
    pixels = rgb.astype(np.uint16) * 16
    pixels[3, 3] = 60000
    tifffile.imwrite(path, pixels, photometric="rgb")


def scenes(path: Path, rgb: np.ndarray) -> None:
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(rgb[::8, ::8], photometric="rgb", metadata={"axes": "YXS"})
        writer.write(rgb, photometric="rgb", metadata={"axes": "YXS"})


WAYS = {"a.png": transparent, "b.tif": planes, "c.tif": deep, "d.ome.tif": scenes}


@pytest.mark.slow
@pytest.mark.parametrize("name", WAYS)
def test_smears(tmp_path, name):
    rgb, mask = smear(5, (256, 256), cells=5)
    for folder in ("images", "masks"):
        (tmp_path / "source" / folder).mkdir(parents=True)
    for number in range(3):  # of one name each, so that nobody has to pair them
        WAYS[name](tmp_path / "source" / "images" / f"{number}{name}", rgb)
        stem = f"{number}{name}"[: -len(Path(name).suffix)]
        cv2.imwrite(str(tmp_path / "source" / "masks" / f"{stem}.png"), mask)
    data = tmp_path / "data"
    call("nucleus-seg", "prepare", tmp_path / "source", "-o", data, "--splits", "0.4,0.3,0.3")
    items = pd.read_csv(data / "items.csv")
    options = ["--device", "cpu", "--num-workers", 0, "-q"]
    call("nucleus-seg", "predict", tmp_path / "source" / "images" / f"0{name}", "-o", tmp_path / "one", *options)
    call("nucleus-seg", "predict", data / items["image"][0], "-o", tmp_path / "two", *options)
    first, second = objects(tmp_path / "one"), objects(tmp_path / "two")
    assert len(first) > 1
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_a_channel_of_a_stack(tmp_path):
    rng = np.random.default_rng(0)
    stack = rng.integers(0, 4000, (1, 2, 1, 72, 72), dtype=np.uint16)
    rows, columns = np.mgrid[:72, :72]
    stack[0, 1, 0][np.hypot(rows - 36, columns - 36) < 12] += 20000
    for class_ in ("normal", "micronucleus"):
        (tmp_path / "source" / class_).mkdir(parents=True)
        for number in range(3):
            write_czi(tmp_path / "source" / class_ / f"{class_[0]}{number}.czi", stack)
    data = tmp_path / "data"
    call("micronucleus", "prepare", tmp_path / "source", "-o", data, "--channel", "FITC")
    for image in pd.read_csv(data / "items.csv")["image"]:
        np.testing.assert_array_equal(cv2.imread(str(data / image), cv2.IMREAD_UNCHANGED), stack[0, 1, 0])
