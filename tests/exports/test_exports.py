"""``cellscope export``: every format is opened by the program's own reader and compared with what the run holds."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from drawn.finished import IMAGES, PIXEL_UM, Finished, write_run
from typer.testing import CliRunner

import cellscope
from cellscope.cli.root import app
from cellscope.errors import UsageError
from cellscope.exports.formats import FORMATS
from cellscope.exports.results import Results
from cellscope.imaging.polygons import fill

ASSAYS = ("karyotype", "nucleus-seg")


@pytest.fixture(scope="module", params=ASSAYS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return write_run(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def nuclei(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return write_run(tmp_path_factory.mktemp("nuclei"), "nucleus-seg")


def call(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["export", *map(str, words)])
    return result.exit_code, result.output


def test_parquet(run: Finished, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert call(run.out, "--to", "parquet", "-o", tmp_path / "t") == (0, f"{tmp_path / 't'}\n")
    objects = pd.read_parquet(tmp_path / "t/objects.parquet")
    expected = cellscope.open(run.out).objects
    pd.testing.assert_frame_equal(objects.astype(object).fillna(""), expected.astype(object).fillna(""))
    assert objects["review"].dtype == bool
    images = pd.read_parquet(tmp_path / "t/images.parquet").set_index("image")
    assert images.loc[IMAGES[0], "path"] == str(run.images / IMAGES[0])
    assert images.loc[IMAGES[0], "pixel_size_um"] == PIXEL_UM
    assert images["pixel_size_um"].isna().tolist() == [
        False,
        True,
        True,
    ]  # nothing says what the others were measured with
    told = json.loads(parquet.read_schema(tmp_path / "t/objects.parquet").metadata[b"cellscope"])
    assert told["images"][IMAGES[0]] == str(run.images / IMAGES[0])
    assert told["run"]["assay"] == cellscope.open(run.out).record["assay"]


def test_anndata(run: Finished, tmp_path: Path) -> None:
    anndata = pytest.importorskip("anndata")
    cellscope.export(cellscope.open(run.out), "anndata", tmp_path / "t.h5ad")
    found = anndata.read_h5ad(tmp_path / "t.h5ad")
    assert found.obs_names.tolist() == [f"{IMAGES[0]}:{number}" for number in (1, 2, 3)]
    assert found.obs["class"].tolist() == list(run.classes.values())
    assert found.obs["review"].tolist() == [False, True, False]
    assert found.obs["reasons"].tolist() == ["", "odd shape", ""]
    areas = [float(mask.sum()) for mask in run.masks.values()]
    np.testing.assert_array_equal(found[:, "area"].X.ravel(), areas)
    assert np.isnan(found[:, "solidity"].X.ravel()).tolist() == [False, True, True]
    assert found.var.loc["area_um2", "unit"] == "µm²"
    assert found.var.loc["area", "unit"] == "pixel²"
    assert not {"label", "score", "review", "p_1"} & set(found.var_names)
    x = [np.nonzero(mask)[1].mean() for mask in run.masks.values()]
    np.testing.assert_allclose(found.obsm["spatial"][:, 0], x, rtol=1e-5)
    if "probabilities" in found.obsm:
        assert found.obsm["probabilities"]["p_1"].tolist() == [0.75] * 3
    assert found.uns["images"]["status"].tolist() == ["ok", "ok", "failed"]
    assert json.loads(found.uns["cellscope"])["images"][IMAGES[0]] == str(run.images / IMAGES[0])


def filled(geometry: dict, shape: tuple[int, int]) -> np.ndarray:
    drawn = np.zeros(shape, np.uint8)
    fill(drawn, geometry, 1)
    return drawn.astype(bool)


@pytest.mark.slow  # SpatialData takes ten seconds to import
def test_spatialdata(run: Finished, tmp_path: Path) -> None:
    spatialdata = pytest.importorskip("spatialdata")
    from shapely.geometry import mapping
    from spatialdata.transformations import get_transformation

    code, said = call(run.out, "--to", "spatialdata", "-o", tmp_path / "t.zarr")
    assert code == 0, said
    found = spatialdata.read_zarr(tmp_path / "t.zarr")
    sort = "chromosomes" if "X" in run.classes.values() else "nuclei"
    np.testing.assert_array_equal(np.asarray(found.images["day_1_a.b_image"]), np.moveaxis(run.pixels, -1, 0))
    shapes = found.shapes[f"day_1_a.b_{sort}_shapes"]
    assert shapes.index.tolist() == [1, 2, 3]
    for number, mask in run.masks.items():
        geometry = mapping(shapes.loc[number, "geometry"])
        np.testing.assert_array_equal(filled(geometry, mask.shape), mask)
    table = found.tables["objects"]
    assert table.obs["region"].unique().tolist() == [f"day_1_a.b_{sort}_shapes"]
    assert table.obs["class"].tolist() == list(run.classes.values())
    matrix = get_transformation(shapes, "day_1_a.b").to_affine_matrix(("x", "y"), ("x", "y"))
    np.testing.assert_allclose(np.diag(matrix), [PIXEL_UM, PIXEL_UM, 1])
    joined = spatialdata.join_spatialelement_table(sdata=found, spatial_element_names=table.obs["region"].iloc[0],
                                                   table_name="objects")  # fmt: skip
    assert len(joined[1]) == 3
    assert found.attrs["cellscope"]["elements"][IMAGES[0]] == "day_1_a.b"
    assert call(run.out, "--to", "spatialdata", "-o", tmp_path / "t.zarr")[0] == 2
    assert call(run.out, "--to", "spatialdata", "-o", tmp_path / "t.zarr", "--overwrite")[0] == 0


def test_ome_zarr(run: Finished, tmp_path: Path) -> None:
    pytest.importorskip("ome_zarr")
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    assert call(run.out, "--to", "ome-zarr", "-o", tmp_path / "t")[0] == 0
    store = tmp_path / "t/day 1/a.b.ome.zarr"
    nodes = {Path(str(node.zarr)).name if "labels" in str(node.zarr) else "image": node
             for node in Reader(parse_url(str(store)))()}  # fmt: skip
    np.testing.assert_array_equal(np.asarray(nodes["image"].data[0]), np.moveaxis(run.pixels, -1, 0))
    assert nodes["image"].metadata["coordinateTransformations"][0][0]["scale"] == [1.0, PIXEL_UM, PIXEL_UM]
    assert nodes["image"].metadata["axes"][-1] == {"name": "x", "type": "space", "unit": "micrometer"}
    [label] = [node for node in nodes.values() if node.metadata.get("properties")]
    np.testing.assert_array_equal(np.asarray(label.data[0]), tifffile.imread(run.out / "day 1/a.b.labels.tif"))
    assert label.metadata["properties"][2]["class"] == run.classes[2]
    assert label.metadata["properties"][2]["reasons"] == "odd shape"
    # and what reads images here reads it too
    from cellscope.io.read import read

    again = read(store)
    np.testing.assert_array_equal(again.pixels, run.pixels)
    assert again.pixel_size_um == pytest.approx(PIXEL_UM)


def test_imagej_rois(run: Finished, tmp_path: Path) -> None:
    import roifile

    assert call(run.out, "--to", "imagej-rois", "-o", tmp_path / "t")[0] == 0
    rois = roifile.roiread(tmp_path / "t/day 1/a.b.zip")
    assert [roi.name for roi in rois] == [f"{number}-{class_}" for number, class_ in run.classes.items()]
    assert str(rois[1].properties["review"]) == "True"
    assert rois[1].properties["image"] == IMAGES[0]
    assert rois[0].group == rois[2].group != 0
    assert (rois[0].group == rois[1].group) == (run.classes[1] == run.classes[2])
    assert bool(rois[0].composite)  # it has a hole
    for roi, mask in zip(rois, run.masks.values(), strict=True):
        assert (roi.left, roi.top) == (np.nonzero(mask)[1].min(), np.nonzero(mask)[0].min())
        drawn = np.zeros(mask.shape, np.uint8)
        for ring in roi.coordinates(multi=True):  # even-odd, as ImageJ fills composites
            part = np.zeros(mask.shape, np.uint8)
            fill(part, {"type": "Polygon", "coordinates": [np.asarray(ring).tolist()]}, 1)
            drawn ^= part
        np.testing.assert_array_equal(drawn.astype(bool), mask)
    assert roifile.roiread(tmp_path / "t/day 1/none.zip") == []
    assert not (tmp_path / "t/broken.zip").exists()


def test_labkit(run: Finished, tmp_path: Path) -> None:
    assert call(run.out, "--to", "labkit", "-o", tmp_path / "t")[0] == 0
    path = tmp_path / "t/day 1/a.b.tif"
    sets = json.loads((tmp_path / "t/day 1/a.b.tif.labels").read_text("utf-8"))["labelSets"]
    with tifffile.TiffFile(path) as tif:
        indices = tif.asarray()
        assert tif.is_imagej
        assert tif.imagej_metadata["unit"] == "um"
        assert tif.pages[0].tags["XResolution"].value[0] / tif.pages[0].tags["XResolution"].value[1] == 1 / PIXEL_UM
    assert sets[0] == []
    # as Labkit reads it: a label is where the index stands for a set that holds it
    for number, mask in run.masks.items():
        holding = [index for index, names in enumerate(sets) if f"{number} {run.classes[number]}" in names]
        np.testing.assert_array_equal(np.isin(indices, holding), mask)
    crossing = [names for names in sets if len(names) > 1]
    assert len(crossing) == (1 if "X" in run.classes.values() else 0)


def test_more_sorts_of_objects(nuclei: Finished, tmp_path: Path) -> None:
    import roifile

    stem = nuclei.out / "day 1/a.b"
    cells = cv2.dilate(tifffile.imread(f"{stem}.labels.tif"), np.ones((3, 3)))
    tifffile.imwrite(f"{stem}.cells.tif", cells)
    try:
        assert [layer.name for layer in next(iter(Results(nuclei.out))).layers()] == ["nuclei", "cells"]
        assert call(nuclei.out, "--to", "imagej-rois", "-o", tmp_path / "t")[0] == 0
        assert len(roifile.roiread(tmp_path / "t/day 1/a.b.cells.zip")) == 3
        assert call(nuclei.out, "--to", "labkit", "-o", tmp_path / "l")[0] == 0
        sets = json.loads((tmp_path / "l/day 1/a.b.tif.labels").read_text("utf-8"))["labelSets"]
        assert ["1 nucleus", "cell 1"] in sets
        assert ["cell 1"] in sets
    finally:
        Path(f"{stem}.cells.tif").unlink()


def test_a_missing_image_costs_only_itself(nuclei: Finished, tmp_path: Path) -> None:
    pytest.importorskip("ome_zarr")
    away = nuclei.images.with_name("moved")
    nuclei.images.rename(away)
    try:
        code, said = call(nuclei.out, "--to", "ome-zarr", "-o", tmp_path / "a")
        assert code == 0
        assert "say where it is with --images" in said
        code, said = call(nuclei.out, "--to", "ome-zarr", "-o", tmp_path / "b", "--images", away)
        assert (code, "warning" in said) == (0, False)
    finally:
        away.rename(nuclei.images)


def test_refused_in_one_line(nuclei: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(nuclei.out, "--to", "parket") == (
        2, "error: --to: there is no format 'parket'; did you mean 'parquet'?; there are "
        f"{', '.join(FORMATS)}\n",
    )  # fmt: skip
    assert "holds the run itself" in call(nuclei.out, "--to", "imagej-rois", "-o", nuclei.out, "--overwrite")[1]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    assert "no export made" in call(nuclei.out, "--to", "imagej-rois", "-o", tmp_path / "mine", "--overwrite")[1]
    assert (tmp_path / "mine/thesis.txt").is_file()
    assert call(nuclei.out, "--to", "labkit", "-o", tmp_path / "l")[0] == 0
    assert "--overwrite replaces it" in call(nuclei.out, "--to", "labkit", "-o", tmp_path / "l")[1]
    assert call(nuclei.out, "--to", "labkit", "-o", tmp_path / "l", "--overwrite")[0] == 0
    assert "there is no run.json" in call(tmp_path, "--to", "labkit")[1]
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "anndata" else there(name, *more)
    )
    assert call(nuclei.out, "--to", "anndata") == (
        2,
        "error: --to anndata needs anndata: pip install 'cellscope[export]'\n",
    )


def test_runs_without_outlines(tmp_path: Path) -> None:
    made = write_run(tmp_path, "mitosis")
    for path in made.out.rglob("*.labels.tif"):
        path.unlink()
    code, said = call(made.out, "--to", "labkit", "-o", tmp_path / "l")
    assert (code, said.count("\n")) == (2, 1)
    assert "--to parquet and --to anndata take its tables" in said
    with pytest.raises(UsageError, match="has no outlines"):
        cellscope.export(made.out, "imagej-rois", tmp_path / "r")


def test_corrections_count(tmp_path: Path) -> None:
    """Tables and outlines are those a person corrected."""
    import roifile

    made = write_run(tmp_path, "nucleus-seg")
    folder = made.out / "corrections"
    (folder / "day 1").mkdir(parents=True)
    lines = [
        {"schema": "cellscope.corrections/1", "run": "x"},
        {"image": IMAGES[0], "edit": {"do": "remove", "label": 2}},
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    with pytest.raises(UsageError, match="not written yet"):
        Results(made.out)
    for name in ("run.json", "images.csv"):
        (folder / name).write_bytes((made.out / name).read_bytes())
    objects = pd.read_csv(made.out / "objects.csv")
    objects[objects["label"] != 2].to_csv(folder / "objects.csv", index=False)
    labels = tifffile.imread(made.out / "day 1/a.b.labels.tif")
    labels[labels == 2] = 0
    tifffile.imwrite(folder / "day 1/a.b.labels.tif", labels)
    assert call(made.out, "--to", "imagej-rois", "-o", tmp_path / "t")[0] == 0
    assert [roi.name for roi in roifile.roiread(tmp_path / "t/day 1/a.b.zip")] == ["1-nucleus", "3-nucleus"]
    assert json.loads((tmp_path / "t/export.json").read_text("utf-8"))["corrected"] == [IMAGES[0]]
