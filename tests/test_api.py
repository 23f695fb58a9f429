"""``import cellscope``: the verbs from Python give what the commands give."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from drawn.histo import tissue, write_tiles
from drawn.karyotype import metaphase
from drawn.micronucleus import draw_field
from drawn.mitosis import division
from drawn.nucleus_seg import smear
from typer.testing import CliRunner

import cellscope
from cellscope.api import _write_array
from cellscope.cli.root import app
from cellscope.errors import CellscopeError, UsageError

QUIET = {"quiet": True, "num_workers": 0, "device": "cpu"}


def test_importing_is_light() -> None:
    code = (
        "import sys, cellscope; cellscope.predict; cellscope.open; cellscope.evaluate\n"
        "heavy = [name for name in ('torch', 'numpy', 'pandas', 'cv2', 'lightning') if name in sys.modules]\n"
        "assert not heavy, heavy\n"
        "assert {'predict', 'open', 'train', 'evaluate', 'prepare'} <= set(dir(cellscope))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'predictt'"):
        cellscope.predictt  # noqa: B018


ARRAYS = {
    "nucleus-seg": lambda: smear(1, (120, 110), cells=1)[0],
    "histo": lambda: tissue(1, 120, 9)[0],
    "karyotype": lambda: metaphase(11).pixels,
    "micronucleus": lambda: draw_field(3, size=200).grey,
    "mitosis": lambda: np.moveaxis(division(1, abnormal=True, frames=12, side=36), -1, 1),
}


@pytest.mark.parametrize("assay", sorted(ARRAYS))
def test_an_array_goes_in_and_tables_come_out(assay: str) -> None:
    pixels = ARRAYS[assay]()
    more = {"input": "field"} if assay == "micronucleus" else {}
    run = cellscope.predict(assay, {"mine": pixels}, **more, **QUIET)
    assert run.images["image"].tolist() == ["mine.tif"]
    assert run.images["status"].tolist() == ["ok"], run.failures
    assert run.images.loc[0, "n_objects"] == len(run.objects) == run.record["counts"]["objects"]
    shown = run._repr_html_()
    assert "mine.tif" in shown
    assert "data:image/png;base64," in shown
    if assay in ("nucleus-seg", "histo", "micronucleus", "karyotype"):
        assert run.labels("mine.tif").shape == pixels.shape[:2]
        assert run.overlay().ndim == 3
    if assay == "karyotype":
        assert run.karyogram(0).shape[2] == 3
    else:
        with pytest.raises(UsageError, match=r"mine.tif has no \*.karyogram.png; it has mine"):
            run.karyogram(0)
    if assay == "mitosis":
        assert run.filmstrip().shape[2] == 3
    folder = run.out
    assert folder.is_dir()
    del run
    assert not folder.exists()  # nobody asked for it to stay


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("api")
    (folder / "in").mkdir()
    for number in range(2):
        cv2.imwrite(str(folder / f"in/{number}.png"), smear(number, (120, 110))[0][..., ::-1])
    (folder / "in/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    return folder


def test_files_give_the_tables_of_the_command(written: Path, tmp_path: Path) -> None:
    words = ["nucleus-seg", "predict", written / "in", "-o", tmp_path / "cli", "-m", "otsu", "--pixel-size", 0.2, "-q"]
    assert CliRunner().invoke(app, [str(word) for word in words]).exit_code == 3
    run = cellscope.predict("nucleus-seg", written / "in", tmp_path / "api", model="otsu", pixel_size=0.2, **QUIET)
    for name in ("objects.csv", "0.labels.tif", "1.geojson"):
        assert (tmp_path / "api" / name).read_bytes() == (tmp_path / "cli" / name).read_bytes()
    assert list(run.failures) == ["broken.png"]
    again = cellscope.open(tmp_path / "cli")
    pd.testing.assert_frame_equal(again.objects, run.objects)
    np.testing.assert_array_equal(again.labels("1.png"), run.labels(1))
    assert len(again) == 3
    assert run.record["argv"][:3] == ["cellscope", "nucleus-seg", "predict"]
    with pytest.raises(UsageError, match="has no table 'cases'; there are images, objects"):
        run.table("cases")
    with pytest.raises(UsageError, match="has no image 7; it has 3"):
        run.overlay(7)


def test_errors_are_those_of_the_commands(written: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no option 'pixelsize'; did you mean 'pixel_size'"):
        cellscope.predict("nucleus-seg", written / "in", pixelsize=0.2)
    with pytest.raises(UsageError, match=r"--review-below: .*0 to 1"):
        cellscope.predict("nucleus-seg", written / "in", review_below=7)
    with pytest.raises(UsageError, match="did you mean 'karyotype'"):
        cellscope.predict("karyotpe", written / "in")
    with pytest.raises(UsageError, match="no such file"):
        cellscope.predict("nucleus-seg", tmp_path / "nothing.png")
    with pytest.raises(CellscopeError, match="all inputs failed"):
        cellscope.predict("nucleus-seg", written / "in/broken.png", model="otsu", **QUIET)
    with pytest.raises(UsageError, match=r"there is no run.json"):
        cellscope.open(tmp_path)
    with pytest.raises(UsageError, match="of numbers, not"):
        cellscope.predict("nucleus-seg", np.zeros((2, 2, 2, 2, 2)))
    with pytest.raises(UsageError, match="cannot be the name"):
        cellscope.predict("nucleus-seg", {"../../x": np.zeros((20, 20, 3), np.uint8)})
    cellscope.predict("nucleus-seg", written / "in/0.png", tmp_path / "twice", model="otsu", **QUIET)
    with pytest.raises(UsageError, match="already"):
        cellscope.predict("nucleus-seg", written / "in/0.png", tmp_path / "twice", model="otsu", **QUIET)


def test_a_shard_gives_its_own_tables(written: Path, tmp_path: Path) -> None:
    whole = cellscope.predict("nucleus-seg", written, **QUIET)
    parts = [cellscope.predict("nucleus-seg", written, tmp_path / "o", shard=f"{n}/2", **QUIET) for n in (1, 2)]
    assert sorted(name for part in parts for name in part.images["image"]) == list(whole.images["image"])
    assert all(part.labels(0).any() for part in parts)


@pytest.mark.parametrize("shape", [(40, 50, 2), (40, 50, 5), (3, 40, 50, 3)])
def test_channels_are_not_taken_for_pixels(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"an image is an array .*, not \(" + ", ".join(map(str, shape))):
        cellscope.predict("nucleus-seg", np.zeros(shape, np.uint8), **QUIET)


def test_one_channel_is_grey(tmp_path: Path) -> None:
    pixels = np.arange(2000, dtype=np.uint8).reshape(40, 50, 1)
    _write_array(tmp_path / "grey.tif", pixels)
    assert np.array_equal(tifffile.imread(tmp_path / "grey.tif"), pixels[..., 0])


def test_it_runs_outside_the_main_thread(written: Path) -> None:
    """As in a task of Dask: there, Python allows no signal handlers."""
    found: list[object] = []

    def work() -> None:
        try:
            found.append(len(cellscope.predict("nucleus-seg", written / "in/0.png", model="otsu", **QUIET).objects))
        except BaseException as error:  # the thread would swallow it
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [1]


def test_the_circle_of_the_verbs(tmp_path: Path) -> None:
    write_tiles(tmp_path / "source", 6)
    dataset = cellscope.prepare("histo", tmp_path / "source", tmp_path / "data", pixel_size=0.25)
    assert (dataset / "dataset.json").is_file()
    first = cellscope.evaluate("histo", dataset, tmp_path / "one", model="otsu", **QUIET)
    assert first.metrics.loc[first.metrics.index[0], "n"] >= 1
    second = cellscope.evaluate("histo", dataset, tmp_path / "two", model="otsu", compare=[tmp_path / "one"], **QUIET)
    assert (second.table("comparison")["difference"] == 0).all()
    assert second.per_image["image"].tolist() == first.per_image["image"].tolist()
    assert "<table" in second._repr_html_()


@pytest.mark.slow
def test_two_steps_of_a_training_give_a_model(tmp_path: Path) -> None:
    import drawn.networks  # noqa: F401 - a small network, for tests alone

    write_tiles(tmp_path / "source", 6)
    dataset = cellscope.prepare("histo", tmp_path / "source", tmp_path / "data", pixel_size=0.25)
    options = {"arch": "histonext-test", "steps": 2, "batch_size": 2, "core": 64, "val_every": 2, **QUIET}
    with pytest.raises(UsageError, match="no option 'step'; did you mean 'steps'"):
        cellscope.train("histo", dataset, tmp_path / "model", step=2)
    assert not (tmp_path / "model").exists()
    model = cellscope.train("histo", dataset, tmp_path / "model", **options)
    assert model == tmp_path / "model"
    steps = pd.read_csv(model / "metrics.csv")["step"]
    assert steps.max() == 2
    run = cellscope.predict("histo", {"tile": tissue(1)[0]}, model=model, pixel_size=0.25, **QUIET)
    assert run.images["status"].tolist() == ["ok"]
    assert run.record["models"][0]["sha256"]
    with pytest.raises(UsageError, match="overwrite"):
        cellscope.train("histo", dataset, model, **options)
