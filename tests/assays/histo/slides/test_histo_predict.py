"""Whole slides through `cellscope histo predict`: with the baseline, which needs no weights."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from contract_check import check
from drawn.scanners import write_mrxs, write_ndpi
from drawn.slides import draw_slide, spoil_tile, write_pyramid
from typer.testing import CliRunner

from cellscope.assays.histo.assay import OTSU_CARD
from cellscope.assays.histo.networks.registry import arguments_of, build_network
from cellscope.assays.histo.slides.overview import Overview
from cellscope.cli.root import app
from cellscope.engine.assay import Result
from cellscope.engine.predict.piece_store import PieceStore
from cellscope.engine.predict.workers import Workers
from cellscope.models.file import save_model


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.stderr
    return result.exit_code, result.stderr


def predict(inputs: Path, out: Path, *words: object, block: int = 128, model: str | None = "otsu") -> tuple[int, str]:
    chosen = ["-m", model] if model else []
    common = [*chosen, "--num-workers", 0, "--device", "cpu", "--set", f"block={block}"]
    return run("histo", "predict", inputs, "-o", out, *common, *words)


def breaches(out: Path) -> list[str]:
    """Check the contract; the baseline has no file and so no hash."""
    return [line for line in check("histo", out) if "sha256" not in line]


def tables(out: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return pd.read_csv(out / "images.csv"), pd.read_csv(out / "objects.csv")


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return draw_slide(1)


@pytest.fixture(scope="module")
def slide(image: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pyramid(tmp_path_factory.mktemp("slide") / "a.tif", image)


@pytest.fixture(scope="module")
def done(slide: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("done") / "out"
    assert predict(slide, out)[0] == 0
    return out


@pytest.fixture(autouse=True)
def plain_density(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw the density map, which takes most of a small slide's time, for `done` alone."""
    monkeypatch.setattr(Overview, "density", lambda self: np.zeros((8, 8, 3), np.uint8))


def test_a_slide_keeps_the_contract(done: Path, image: np.ndarray) -> None:
    assert breaches(done) == []
    images, objects = tables(done)
    assert list(images["kind"]) == ["slide"]
    assert len(objects) > 40
    labels = tifffile.imread(done / "a.labels.tif")
    assert labels.shape == image.shape[:2]
    assert sorted(np.unique(labels)[1:]) == sorted(objects["label"])
    areas = np.bincount(labels.ravel())
    np.testing.assert_array_equal(areas[objects["label"]], objects["area"])
    for row in objects.itertuples():
        rows, columns = np.nonzero(labels == row.label)
        assert (rows.mean(), columns.mean()) == pytest.approx(
            (row[objects.columns.get_loc("centroid-0") + 1], row[objects.columns.get_loc("centroid-1") + 1]), rel=1e-4
        )
    features = json.loads((done / "a.geojson").read_text())["features"]
    assert [feature["properties"]["measurements"]["label"] for feature in features] == list(objects["label"])
    density = images["n_objects"][0] / images["area_mm2"][0]
    assert images["density_per_mm2"][0] == pytest.approx(density)
    assert images["area_mm2"][0] <= image.shape[0] * image.shape[1] * 0.25**2 / 1e6
    assert cv2.imread(str(done / "a.density.png")).std() > 0
    assert not (done / "journal.parts").exists()


def test_no_nucleus_is_cut_or_lost_at_a_seam(done: Path, slide: Path, tmp_path: Path) -> None:
    """Windows of another size, the whole slide in one: the same nuclei, but for their numbers."""
    assert predict(slide, tmp_path / "whole", block=1024)[0] == 0
    one, other = (tifffile.imread(folder / "a.labels.tif") for folder in (done, tmp_path / "whole"))
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    assert pairs.shape[1] == one.max() + 1 == other.max() + 1


def test_workers_and_shards_change_nothing(done: Path, slide: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert predict(slide, out, "--shard", "1/1")[0] == 0
    assert run("merge", out)[0] == 0
    for name in ("a.labels.tif", "objects.csv", "a.geojson", "a.overlay.png"):
        assert (out / name).read_bytes() == (done / name).read_bytes()


def test_a_network_s_results_do_not_depend_on_batches(image: np.ndarray, tmp_path: Path) -> None:
    """With random weights nothing is sure, so whatever could change a bit would change nuclei."""
    torch.manual_seed(0)
    arguments = arguments_of("histonext-test", 4)
    card = replace(OTSU_CARD, arch="histonext-test", arch_args=arguments, classes=("a", "b", "c", "d"))
    save_model(tmp_path / "net.safetensors", build_network(arguments).state_dict(), card)
    write_pyramid(tmp_path / "a.tif", image[30:230, 30:190])
    noise = [word for name in ("probability_threshold=0", "edge=0.01", "min_area=4") for word in ("--set", name)]
    common = ("-m", tmp_path / "net.safetensors", "--check-grid", "--no-tissue", "--precision", "32", *noise)
    for name, batch in (("one", 1), ("all", 64)):
        code, said = predict(tmp_path / "a.tif", tmp_path / name, *common, "--batch-size", batch, block=96, model=None)
        assert code == 0, said
        assert check("histo", tmp_path / name) == []
    for name in ("a.labels.tif", "objects.csv", "a.geojson"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "all" / name).read_bytes()
    images, objects = tables(tmp_path / "one")
    assert len(objects) > 1
    assert 0 <= images["shifted_grid_dice"][0] <= 1
    assert images["shifted_grid_count"][0] > 0
    assert images["n_a"][0] == (objects["class"] == "a").sum()
    unsure = objects["reasons"].fillna("").str.contains("type unsure")
    assert unsure.sum() > len(objects) / 2
    assert images["n_unsure"][0] == unsure.sum()
    blank = write_pyramid(tmp_path / "blank.tif", np.full((120, 100, 3), 243, np.uint8))
    assert predict(blank, tmp_path / "none", "-m", tmp_path / "net.safetensors", model=None)[0] == 0
    assert check("histo", tmp_path / "none") == []


def test_a_large_image_goes_the_same_way(image: np.ndarray, done: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    assert predict(tmp_path / "a.png", tmp_path / "out", "--pixel-size", 0.25)[0] == 0
    assert breaches(tmp_path / "out") == []
    images, objects = tables(tmp_path / "out")
    assert list(images["kind"]) == ["image"]
    assert len(objects) == pytest.approx(len(tables(done)[1]), abs=2)


def test_what_was_done_survives_a_full_disk(
    slide: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    store, calls = PieceStore.put, itertools.count()

    def fill(self: PieceStore, number: int, result: Result, *about: float) -> None:
        if next(calls) >= 3:  # calls, not what is kept: several threads may be writing
            raise OSError(28, "No space left on device")
        store(self, number, result, *about)
        kept.append(number)

    monkeypatch.setattr(PieceStore, "put", fill)
    code, said = predict(slide, tmp_path / "out")
    assert (code, "No space left" in said) == (1, True), said
    assert len(list((tmp_path / "out/journal.parts").glob("*/*.npz"))) == 3
    again: list[int] = []

    def note(self: PieceStore, number: int, result: Result, *about: float) -> None:
        store(self, number, result, *about)
        again.append(number)

    monkeypatch.setattr(PieceStore, "put", note)
    assert predict(slide, tmp_path / "out", "--skip-existing")[0] == 0
    assert not set(again) & set(kept)
    assert (tmp_path / "out/objects.csv").read_bytes() == (done / "objects.csv").read_bytes()
    assert (tmp_path / "out/a.labels.tif").read_bytes() == (done / "a.labels.tif").read_bytes()
    assert not (tmp_path / "out/journal.parts").exists()


@pytest.mark.slow
def test_workers_killed_while_busy_with_pieces_cost_nothing(
    slide: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a piece begins with is not lost with the process that had it in hand."""
    monkeypatch.setattr("cellscope.engine.predict.workers.WORTH_SECONDS", float("-inf"))
    submit, calls = Workers.submit, itertools.count()

    def kill(self: Workers, *about: Any) -> Any:
        future = submit(self, *about)
        if self.pool is not None and next(calls) == 4:
            for pid in list(self.pool._processes):
                os.kill(pid, signal.SIGKILL)
        return future

    monkeypatch.setattr(Workers, "submit", kill)
    code, said = predict(slide, tmp_path / "out", "--num-workers", 2)
    assert (code, "a worker process died" in said) == (0, True), said
    for name in ("a.labels.tif", "objects.csv", "a.geojson"):
        assert (tmp_path / "out" / name).read_bytes() == (done / name).read_bytes()


def test_rows_may_be_too_many_for_memory(
    slide: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cellscope.engine.predict.tables.LONG", 5)
    monkeypatch.setattr("cellscope.assays.histo.slides.joining.LARGE", 1000)
    out = tmp_path / "out"
    assert predict(slide, out, "--shard", "1/1")[0] == 0
    assert run("merge", out)[0] == 0
    assert breaches(out) == []
    assert (out / "objects.csv").read_bytes() == (done / "objects.csv").read_bytes()
    assert json.loads(gzip.decompress((out / "a.geojson.gz").read_bytes())) == json.loads(
        (done / "a.geojson").read_text()
    )
    assert predict(slide, tmp_path / "two", "--limit", 1)[0] == 0
    assert predict(slide, tmp_path / "two", "--skip-existing")[0] == 0
    assert (tmp_path / "two/objects.csv").read_bytes() == (done / "objects.csv").read_bytes()


def test_a_corrupt_tile_is_reported_and_the_rest_written(image: np.ndarray, done: Path, tmp_path: Path) -> None:
    path = write_pyramid(tmp_path / "a.tif", image)
    spoil_tile(path, 15)  # 7 across: third row, second column
    code, _ = predict(path, tmp_path / "out")
    assert code == 0
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert "1 tiles of the slide are corrupt" in " ".join(record["inputs"][0]["warnings"])
    assert "(128, 64)" in " ".join(record["inputs"][0]["warnings"])
    _, objects = tables(tmp_path / "out")
    assert 30 < len(objects) < len(tables(done)[1])
    hole = (objects["centroid-0"].between(130, 190)) & (objects["centroid-1"].between(66, 126))
    assert not hole.any()


@pytest.mark.parametrize(("write", "name"), [(write_ndpi, "a.ndpi"), (write_mrxs, "a.mrxs")])
def test_scanners_own_formats(image: np.ndarray, tmp_path: Path, write, name: str) -> None:
    """What the scanner's file and a plain pyramid of the same pixels give differs by two builds of libjpeg only."""
    pytest.importorskip("openslide")
    (tmp_path / "in").mkdir()
    room = [(0, 512 - side) for side in image.shape[:2]] + [(0, 0)]
    pixels, _ = write(tmp_path / "in" / name, np.pad(image, room, mode="edge"))
    write_pyramid(tmp_path / "plain.tif", pixels, levels=2)
    assert predict(tmp_path / "in", tmp_path / "own")[0] == 0
    assert predict(tmp_path / "plain.tif", tmp_path / "out")[0] == 0
    assert breaches(tmp_path / "own") == []
    images, objects = tables(tmp_path / "own")
    _, expected = tables(tmp_path / "out")
    assert (list(images["image"]), list(images["kind"])) == ([name], ["slide"])
    assert len(expected) > 40
    assert len(objects) == pytest.approx(len(expected), abs=1)
    own, plain = (
        tifffile.imread(path) > 0 for path in (tmp_path / "own/a.labels.tif", tmp_path / "out/plain.labels.tif")
    )
    assert 2 * (own & plain).sum() > 0.99 * (own.sum() + plain.sum())


def test_a_slide_without_tissue_is_a_result(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.tif", np.full((300, 260, 3), 242, np.uint8))
    code, _ = predict(tmp_path / "a.tif", tmp_path / "out")
    assert code == 0
    assert breaches(tmp_path / "out") == []
    images, objects = tables(tmp_path / "out")
    assert (images["n_objects"][0], len(objects), images["area_mm2"][0]) == (0, 0, 0)
    warnings = json.loads((tmp_path / "out/run.json").read_text())["inputs"][0]["warnings"]
    assert any("no tissue" in line for line in warnings)


def test_resolutions(image: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_pyramid(tmp_path / "in/none.tif", image, pixel_size_um=None)
    write_pyramid(tmp_path / "in/far.tif", image[:200, :200], pixel_size_um=1.5)
    write_pyramid(tmp_path / "in/map.tif", image, pixel_size_um=4.0)
    cv2.imwrite(str(tmp_path / "in/plain.png"), image[40:140, 40:140, ::-1])
    code, said = predict(tmp_path / "in", tmp_path / "out")
    assert code == 3
    assert "map.tif: at 4 um per pixel nuclei are 2.0 pixels wide" in said
    assert "--pixel-size" in said
    images = pd.read_csv(tmp_path / "out/images.csv").set_index("image")
    status = {"far.tif": "ok", "map.tif": "failed", "none.tif": "failed", "plain.png": "ok"}
    assert images["status"].to_dict() == status
    assert "does not say its resolution" in images.loc["none.tif", "error"]
    notes = {
        entry["image"]: " ".join(entry["warnings"])
        for entry in json.loads((tmp_path / "out/run.json").read_text())["inputs"]
    }
    assert "far from the model's 0.25" in notes["far.tif"]
    assert "0.25 um per pixel is assumed" in notes["plain.png"]
    assert tifffile.imread(tmp_path / "out/far.labels.tif").shape == (200, 200)


def test_a_slide_at_twice_the_pixel_size_gives_the_same_nuclei(image: np.ndarray, done: Path, tmp_path: Path) -> None:
    half = cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)
    write_pyramid(tmp_path / "a.tif", half, pixel_size_um=0.5)
    assert predict(tmp_path / "a.tif", tmp_path / "out")[0] == 0
    _, objects = tables(tmp_path / "out")
    _, expected = tables(done)
    assert len(objects) == pytest.approx(len(expected), rel=0.15)
    assert objects["area_um2"].median() == pytest.approx(expected["area_um2"].median(), rel=0.2)
    away = [
        2 * objects[name].to_numpy()[:, None] + 0.5 - expected[name].to_numpy() for name in ("centroid-0", "centroid-1")
    ]
    nearest = np.hypot(*away).argmin(1)
    for axis in away:  # nothing is shifted on the way to the model's scale and back
        assert abs(np.median(axis[np.arange(len(nearest)), nearest])) < 0.25


def test_every_region_is_counted_named_and_drawn(slide: Path, done: Path, tmp_path: Path) -> None:
    boxes = {"Gland": (60, 60, 200, 250), "Rim": (150, 60, 300, 400), "Empty": (2000, 2000, 2010, 2010)}
    features = [
        {
            "type": "Feature",
            "properties": {"name": name},
            "geometry": {"type": "Polygon", "coordinates": [[[a, b], [c, b], [c, d], [a, d], [a, b]]]},
        }
        for name, (a, b, c, d) in boxes.items()
    ]
    (tmp_path / "roi.geojson").write_text(json.dumps(features))
    assert predict(slide, tmp_path / "out", "--roi", tmp_path / "roi.geojson", "--no-tissue")[0] == 0
    _, objects = tables(tmp_path / "out")
    x, y = objects["centroid-1"] + 0.5, objects["centroid-0"] + 0.5
    rois = pd.read_csv(tmp_path / "out/rois.csv").set_index("roi")
    assert list(rois.index) == list(boxes)
    for name, (a, b, c, d) in boxes.items():
        inside = x.between(a, c) & y.between(b, d)
        assert rois.loc[name, "n_objects"] == inside.sum()
        assert (objects["roi"].str.split("; ").map(lambda names, name=name: name in names) == inside).all()
    assert objects["roi"].isin(["Gland", "Gland; Rim", "Rim"]).all()
    assert objects["roi"].nunique() == 3
    assert rois.loc["Gland", "area_mm2"] == pytest.approx(140 * 190 * 0.0625e-6, rel=1e-3)
    assert rois.loc["Rim", "density_per_mm2"] == pytest.approx(
        rois.loc["Rim", "n_objects"] / (150 * 340 * 0.0625e-6), rel=1e-3
    )
    assert not (done / "rois.csv").exists()
    assert "roi" not in tables(done)[1]


def test_regions(slide: Path, done: Path, tmp_path: Path) -> None:
    ring = [[60, 60], [200, 60], [200, 250], [60, 250], [60, 60]]
    hole = [[100, 100], [150, 100], [150, 150], [100, 150], [100, 100]]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring, hole]}}
    (tmp_path / "roi.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    assert predict(slide, tmp_path / "out", "--roi", tmp_path / "roi.geojson", "--no-tissue")[0] == 0
    _, objects = tables(tmp_path / "out")
    _, expected = tables(done)
    x, y = expected["centroid-1"] + 0.5, expected["centroid-0"] + 0.5
    inside = x.between(60, 200) & y.between(60, 250) & ~(x.between(100, 150) & y.between(100, 150))
    assert len(objects) == pytest.approx(inside.sum(), abs=2)  # the baseline's threshold sees the region alone
    images, _ = tables(tmp_path / "out")
    assert images["area_mm2"][0] == pytest.approx((140 * 190 - 50 * 50) * 0.0625e-6, rel=0.05)
    (tmp_path / "bad.geojson").write_text('{"type": "Point", "coordinates": [1, 2]}')
    assert predict(slide, tmp_path / "bad", "--roi", tmp_path / "bad.geojson")[0] == 2
    assert predict(slide, tmp_path / "bad", "--roi", tmp_path / "none.geojson")[0] == 2
