"""`cellscope info`, and what predict takes of files with several planes."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pandas as pd
import pytest
import tifffile
from drawn.formats import stack, write_lif, write_ome
from drawn.micronucleus import draw_field
from drawn.scanners import write_mrxs
from typer.testing import CliRunner

from cellscope.cli.commands.info import NEEDS
from cellscope.cli.root import app


def call(*words):
    return CliRunner().invoke(app, list(map(str, words)))


def test_what_is_printed(tmp_path):
    write_ome(tmp_path / "a.ome.tif", stack())
    shown = call("info", tmp_path / "a.ome.tif")
    assert shown.exit_code == 0
    said = ("OME-TIFF, 1 scene", "31 x 24 pixels", "axes TCZYX: 2 time points, 2 channels, 3 slices", "0 DAPI, 1 FITC")
    for words in (*said, "0.325 um (OME metadata)", "30 s between time points", "2 um between slices"):
        assert words in shown.stdout, words
    assert "karyotype: refused: the file holds 2 channels" in shown.stdout
    chosen = call("info", tmp_path / "a.ome.tif", "--channel", "FITC", "--z", "max", "--frame", 1)
    assert "karyotype: channel 1 (FITC) of 2; largest of 3 slices; frame 1 of 2" in chosen.stdout


def test_json_and_files_that_cannot_be_read(tmp_path):
    write_lif(tmp_path / "a.lif", {"one": stack(1, 1, 1), "two": stack(1, 1, 1)})
    result = call("info", tmp_path / "a.lif", tmp_path / "none.tif", "--json")
    assert result.exit_code == 1
    good, bad = json.loads(result.stdout)["files"]
    assert [scene["name"] for scene in good["scenes"]] == ["one", "two"]
    assert good["scenes"][0]["pixel_size_from"] == "LIF metadata"
    assert set(good["assays"]) == set(NEEDS)
    assert "does not exist" in bad["error"]


def test_a_slide_that_is_no_tiff_is_for_histo_alone(tmp_path):
    write_mrxs(tmp_path / "a.mrxs", np.full((128, 256, 3), 90, np.uint8))
    shown = call("info", tmp_path / "a.mrxs")
    assert shown.exit_code == 0, shown.output
    assert "whole slide (mirax), 1 scene" in shown.stdout
    assert "256 x 128 pixels, colour, uint8" in shown.stdout
    assert "  histo: colour; 256 x 128 pixels" in shown.stdout
    assert "  nucleus-seg: refused: whole slides are read by histo only" in shown.stdout
    other = call("nucleus-seg", "predict", tmp_path / "a.mrxs", "-o", tmp_path / "out")
    assert other.exit_code == 1
    assert "a.mrxs: is a whole slide, which only histo reads" in other.stderr


@pytest.mark.parametrize("assay", NEEDS)
def test_what_is_said_of_an_assay_is_what_it_wants(assay):
    module = importlib.import_module(f"cellscope.assays.{assay.replace('-', '_')}.assay")
    assert module.ASSAY.inputs.wants is NEEDS[assay]


@pytest.fixture(scope="module")
def two_fields(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    grey = [draw_field(seed, size=300).grey.astype(np.uint16) for seed in (1, 2)]
    with tifffile.TiffWriter(folder / "plate.ome.tif", ome=True) as writer:
        for number, pixels in enumerate(grey):
            writer.write(pixels, metadata={"axes": "YX", "Name": f"Pos {number}"})
    return folder


def test_every_scene_is_an_input_of_its_own(two_fields, tmp_path):
    out = tmp_path / "out"
    words = ["micronucleus", "predict", two_fields, "-o", out, "--device", "cpu", "--num-workers", 0]
    result = call(*words, "--scene", "all")
    assert result.exit_code == 0, result.stderr
    images = pd.read_csv(out / "images.csv")
    assert images["image"].tolist() == ["plate.ome.scene-0-Pos_0.tif", "plate.ome.scene-1-Pos_1.tif"]
    assert images["read"].tolist() == [f"scene {n} of 2 (Pos {n}); 300 x 300 pixels" for n in (0, 1)]
    assert list(images.columns[-2:]) == ["read", "warnings"]
    assert (out / "plate.ome.scene-1-Pos_1.labels.tif").is_file()
    again = call(*words, "--scene", "all", "--skip-existing")
    assert again.exit_code == 0, again.stderr
    assert {entry["status"] for entry in json.loads((out / "run.json").read_text())["inputs"]} == {"skipped"}
    one = tmp_path / "one"
    result = call("micronucleus", "predict", two_fields, "-o", one, "--device", "cpu", "--num-workers", 0)
    assert result.exit_code == 0
    assert "plate.ome.tif: the file holds 2 scenes" in result.stderr
    row = pd.read_csv(one / "images.csv").iloc[0]
    assert row["warnings"] >= 1
    assert row["n_objects"] == images["n_objects"][0]
    [entry] = json.loads((one / "run.json").read_text())["inputs"]
    assert any("2 scenes" in line for line in entry["warnings"])
