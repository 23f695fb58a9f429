"""What a laboratory does with its own data, in every assay: train on from the built-in weights, and predict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from drawn.histo import write_tiles
from drawn.karyotype import karyotype, metaphase, write_class_folders, write_coco
from drawn.micronucleus import write_mnfinder
from drawn.mitosis import write_source
from drawn.nucleus_seg import write_wbc
from typer.testing import CliRunner

from cellscope.cli.root import app
from cellscope.models.registry import BuiltIn, builtin

SOURCES: dict[str, Callable[[Path], object]] = {
    "histo": lambda folder: write_tiles(folder, 4),
    "nucleus-seg": lambda folder: write_wbc(folder, 4, 2),
    "micronucleus": lambda folder: write_mnfinder(folder, {"2024-01-01_RPE1": 4}),
    "karyotype": lambda folder: write_coco(folder, [metaphase(seed) for seed in range(3)]),
    "mitosis": write_source,
    "karyotype-classify": lambda folder: write_class_folders(folder, {name: karyotype() for name in "abcd"}),
}


def run(*words: object) -> None:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code in (0, 3), result.output


def prepared(assay: str, folder: Path, source: str | None = None) -> tuple[Path, Path]:
    given, out = folder / "source", folder / "data"
    SOURCES[source or assay](given)
    run(assay, "prepare", given, "-o", out, "--splits", "0.5,0.5,0")
    assert (out / "preview.png").is_file()
    return given, out


@pytest.mark.slow
@pytest.mark.parametrize("entry", builtin(), ids=lambda entry: entry.name)
def test_every_built_in_model_can_be_trained_on(tmp_path: Path, entry: BuiltIn) -> None:
    assay, name = entry.assay, entry.name
    _, data = prepared(assay, tmp_path, name if name in SOURCES else None)
    run(
        assay,
        "train",
        data,
        "--part",
        entry.part,
        "--init",
        name,
        "--steps",
        1,
        "-o",
        tmp_path / "run",
        "--device",
        "cpu",
    )
    assert (tmp_path / "run" / "model.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("assay", ["histo", "nucleus-seg", "micronucleus", "karyotype", "mitosis"])
def test_a_prepared_copy_gives_what_the_original_gives(tmp_path: Path, assay: str) -> None:
    given, data = prepared(assay, tmp_path)
    row = pd.read_csv(data / "items.csv", dtype=str, keep_default_na=False).query("target != '' or image != ''").iloc[0]
    copy = data / row["image"]
    name = Path(row["image"]).stem
    fitting = sorted(
        path for path in given.rglob("*") if path.is_file() and path.stem in (name, name.split("-")[-1])
        and "mask" not in path.as_posix() and path.suffix in (".png", ".tif", ".bmp", ".jpg")
        and not set(path.parts) & {"instances", "types", "labels"}
    )  # fmt: skip
    assert fitting, row["image"]
    found = []
    for number, path in enumerate((fitting[0], copy)):
        out = tmp_path / f"out{number}"
        run(assay, "predict", path, "-o", out, "--device", "cpu", "--num-workers", 0)
        found.append(pd.read_csv(out / "objects.csv").drop(columns="image"))
    pd.testing.assert_frame_equal(*found)
    assert len(found[0]) > 0


def test_images_are_prepared_as_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    write_tiles(tmp_path / "source", 1, typed=False)
    [path] = (tmp_path / "source/images").iterdir()
    from cellscope.io.read import read

    pixels = read(path).pixels
    tifffile.imwrite(path.with_suffix(".tif"), np.moveaxis(pixels, -1, 0), photometric="rgb", planarconfig="separate")
    path.unlink()
    run("histo", "prepare", tmp_path / "source", "-o", tmp_path / "data", "--pixel-size", 0.25)
    [copy] = (tmp_path / "data/images/source").iterdir()
    np.testing.assert_array_equal(read(copy).pixels, pixels)
