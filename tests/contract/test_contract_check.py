"""The contract check notices what it is there for: each breach is made by hand in a folder that kept the contract."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import tifffile
from contract_check import MEASURES, SUMMARY, check
from fake_assay import ASSAY, FakeOptions, options_for, record, write_images, write_models

from cellscope.engine.predict.plan import predict


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    models = write_models(folder)
    images = [str(write_images(folder / "in", 4, junk=(2,)))]
    predict(ASSAY, images, folder / "out", run=options_for(), options=FakeOptions(), models=models, argv=[])
    assert check("fake", folder / "out") == []
    return folder / "out"


@pytest.fixture
def out(kept, tmp_path):
    import shutil

    return shutil.copytree(kept, tmp_path / "out")


def edit(path, pattern, replacement):
    before = path.read_text()
    after = re.sub(pattern, replacement, before, count=1)
    assert after != before
    path.write_text(after)


def edit_run(out, change):
    run = json.loads((out / "run.json").read_text())
    change(run)
    (out / "run.json").write_text(json.dumps(run))


BREACHES = {
    "report.html is cut short": lambda out: edit(out / "report.html", "</html>", ""),
    "report.html tells of": lambda out: edit(out / "report.html", r"(<dt>objects</dt><dd>)\d+", r"\g<1>77"),
    "does not name the model": lambda out: edit(out / "report.html", record(out)["models"][0]["sha256"], "somebody"),
    "missing report.html": lambda out: (out / "report.html").unlink(),
    "status 'fine'": lambda out: edit(out / "images.csv", ",ok,", ",fine,"),
    "n_objects 7": lambda out: edit(out / "images.csv", "field,3,", "field,7,"),
    "twice": lambda out: edit(out / "objects.csv", "a03.tif,2,", "a03.tif,1,"),
    "review 'yes'": lambda out: edit(out / "objects.csv", "True|False", "yes"),
    "probabilities sum": lambda out: edit(out / "objects.csv", r"(True|False),0\.\d+", r"\1,0.9999"),
    "has no p_ column": lambda out: edit(out / "objects.csv", ",bright,", ",odd,"),
    "is nan": lambda out: edit(out / "objects.csv", ",9,", ",nan,"),
    "run.json holds NaN": lambda out: edit(out / "run.json", r'"seed": 0', '"seed": NaN'),
    "run.json lacks ['seed']": lambda out: edit_run(out, lambda run: run.pop("seed")),
    "sha256 in run.json": lambda out: edit_run(out, lambda run: run["models"][0].update(sha256="0" * 64)),
    "outputs that are not there": lambda out: (out / "a03.overlay.png").unlink(),
    "does not list": lambda out: (out / "a02.labels.tif").write_bytes(b""),
    "label image and objects.csv disagree": lambda out: tifffile.imwrite(
        out / "a03.labels.tif", np.zeros((24, 48), np.uint16)
    ),
    "report.html reaches outside": lambda out: edit(
        out / "report.html", "<body", '<img src="https://x.org/a.png"><body'
    ),
    "is younger than run.json": lambda out: __import__("os").utime(out / "images.csv", (2e9, 2e9)),
}


@pytest.mark.parametrize("breach", list(BREACHES))
def test_breach_is_noticed(out, breach):
    BREACHES[breach](out)
    if "younger" not in breach:
        (out / "run.json").touch()
    found = check("fake", out)
    assert any(breach in line for line in found), found


COLUMNS = {
    "kept": (["brightest"], ["area", "centroid-0", "centroid-1"], ""),
    "one less in images.csv": ([], ["area", "centroid-0", "centroid-1"], "images.csv has columns"),
    "another order in images.csv": (["area", "brightest"], ["area"], "images.csv has columns"),
    "one less in objects.csv": (["brightest"], ["area", "mass"], "objects.csv has"),
    "another order in objects.csv": (["brightest"], ["centroid-1", "area"], "objects.csv has"),
    "one between": (["brightest"], ["area", "centroid-1"], "new columns between"),
}


@pytest.mark.parametrize("case", list(COLUMNS))
def test_columns_are_those_of_the_assay(kept, monkeypatch, case):
    summary, measures, breach = COLUMNS[case]
    monkeypatch.setitem(SUMMARY, "fake", summary)
    monkeypatch.setitem(MEASURES, ("fake", "field"), measures)
    found = check("fake", kept)
    assert any(breach in line for line in found) if breach else found == []
