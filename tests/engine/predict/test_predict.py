"""predict over files: exit codes, isolation, what is written."""

from __future__ import annotations

import dataclasses
import errno
import pickle

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from contract_check import check
from fake_assay import (
    ASSAY,
    CONCLUDE,
    FORWARD,
    TABLES,
    FakeOptions,
    names,
    options_for,
    record,
    spots,
    table,
    write_images,
    write_models,
)

from cellscope.engine.predict import recorder as recording
from cellscope.engine.predict import session as sessions
from cellscope.engine.predict.plan import predict_shard
from cellscope.errors import CellscopeError, InputError, UsageError


def test_all_done_is_0_and_keeps_the_contract(tmp_path, go):
    images = write_images(tmp_path / "in", 5)
    assert go(images) == 0
    out = tmp_path / "out"
    assert check("fake", out) == []
    objects = table(out / "objects.csv")
    assert list(objects) == [
        *["image", "label", "class", "score", "review", "p_dim", "p_bright", "area", "centroid-0", "centroid-1", "wide"]
    ]
    # spots of 3 x 3 pixels where write_images put them: image k holds k % 4
    assert objects["image"].tolist() == ["a01.tif", "a02.tif", "a02.tif", "a03.tif", "a03.tif", "a03.tif"]
    assert set(objects["area"]) == {"9"}
    assert objects["centroid-1"].tolist() == ["5", "5", "15", "5", "15", "5"]
    assert objects["wide"].tolist() == ["", "", "", "1", "1", "1"]
    summary = table(out / "images.csv")
    columns = ["image", "status", "error", "kind", "n_objects", "seconds", "brightest"]
    assert list(summary) == [*columns, "familiarity", "unfamiliar", "read", "warnings"]
    assert summary["n_objects"].tolist() == ["0", "1", "2", "3", "0"]
    assert tifffile.imread(out / "a03.labels.tif").max() == 3
    assert table(out / "halves.csv").to_numpy().tolist()[0] == ["a01.tif", "1", "4.5"]
    run = record(out)
    assert run["counts"] == {"total": 5, "ok": 5, "failed": 0, "skipped": 0, "unfamiliar": 0, "objects": 6}
    assert run["inputs"][0]["warnings"] == ["nothing bright"]
    assert run["inputs"][1]["outputs"] == ["a01.labels.tif", "a01.overlay.png", "a01.fake.json"]
    assert [model["part"] for model in run["models"]] == ["find", "classify"]
    assert not (out / "journal.jsonl").exists()


def test_run_json_is_written_last(tmp_path, go, monkeypatch):
    seen = {}
    plain = sessions.write_results
    from cellscope.engine.predict import finish as results

    written = results.write_json
    monkeypatch.setattr(
        results, "write_json", lambda path, obj: (seen.update(there=names(path.parent)), written(path, obj))
    )
    assert plain is results.write_results
    go(write_images(tmp_path / "in", 2))
    assert {"images.csv", "objects.csv", "halves.csv", "report.html", "journal.jsonl"} <= set(seen["there"])
    assert "run.json" not in seen["there"]


def test_no_objects_at_all_is_a_result(tmp_path, go):
    folder = tmp_path / "in"
    folder.mkdir()
    tifffile.imwrite(folder / "dark.tif", spots((16, 16), []))
    assert go(folder) == 0
    assert (
        (tmp_path / "out" / "objects.csv").read_text().startswith("image,label,class,score,review,p_dim,p_bright,area")
    )
    assert check("fake", tmp_path / "out") == []


def test_the_header_is_there_when_every_input_fails(tmp_path, go):
    assert go(write_images(tmp_path / "in", 1, junk=(0,))) == 1
    assert (tmp_path / "out" / "objects.csv").read_text() == "image,label,class,score,review,p_dim,p_bright\n"
    assert check("fake", tmp_path / "out") == []


def test_one_class_models_have_no_probability_columns(tmp_path, go):
    models = write_models(tmp_path, classes=("spot",))

    def conclude(subject):
        subject.state.p = [p[:1] for p in subject.state.p]
        return ASSAY.conclude(subject)

    def without(subject):
        result = conclude(subject)
        result.objects = result.objects.drop(columns=["p_spot"], errors="ignore")
        return result

    assert go(write_images(tmp_path / "in", 3), use=models, assay=dataclasses.replace(ASSAY, conclude=without)) == 0
    header = (tmp_path / "out" / "objects.csv").read_text().split("\n")[0]
    assert header == "image,label,class,score,review,area,centroid-0,centroid-1"


def test_some_failed_is_3_and_the_rest_is_written(tmp_path, go, capsys):
    images = write_images(tmp_path / "in", 9, bad={3: FORWARD, 5: CONCLUDE}, junk=(1,))
    assert go(images, batch_size=8) == 3
    out = tmp_path / "out"
    assert check("fake", out) == []
    summary = table(out / "images.csv").set_index("image")
    assert summary.index[summary["status"] == "failed"].tolist() == ["a01.tif", "a03.tif", "a05.tif"]
    assert summary.loc["a03.tif", "error"].startswith("unexpected RuntimeError: the network stumbled")
    assert summary.loc["a03.tif", "kind"] == "field"
    assert summary.loc["a01.tif", "kind"] == summary.loc["a01.tif", "n_objects"] == ""
    assert not [name for name in names(out) if name.startswith(("a01", "a03", "a05"))]
    lines = capsys.readouterr().err.strip().split("\n")
    assert len(lines) == 3
    assert all("a0" in line for line in lines)
    # what the others gave is what they give without bad neighbours
    good = [images / f"a{k:02}.tif" for k in (0, 2, 4, 6, 7, 8)]
    assert go(good, "alone") == 0
    mine, alone = (table(tmp_path / name / "objects.csv") for name in ("out", "alone"))
    pd.testing.assert_frame_equal(mine, alone)


def test_all_failed_is_1(tmp_path, go):
    assert go(write_images(tmp_path / "in", 2, bad={0: CONCLUDE}, junk=(1,))) == 1
    assert record(tmp_path / "out")["counts"]["failed"] == 2


def test_a_file_that_cannot_be_written_fails_its_input_and_leaves_nothing(tmp_path, go):
    images = write_images(tmp_path / "in", 3)
    (tmp_path / "out" / "a01.overlay.png").mkdir(parents=True)  # in the way
    assert go(images) == 3
    assert not (tmp_path / "out" / "a01.labels.tif").exists()
    assert table(tmp_path / "out" / "images.csv")["status"].tolist() == ["ok", "failed", "ok"]
    assert record(tmp_path / "out")["inputs"][1]["outputs"] == []


def test_a_full_disk_ends_the_run_and_can_be_continued(tmp_path, go, monkeypatch):
    images = write_images(tmp_path / "in", 4)
    plain = recording.write_artefacts

    def full(out, stem, artefacts):
        if stem == "a02":
            raise CellscopeError("x: cannot be written") from OSError(errno.ENOSPC, "No space left on device")
        return plain(out, stem, artefacts)

    monkeypatch.setattr(recording, "write_artefacts", full)
    with pytest.raises(CellscopeError, match="No space left on device; make room") as caught:
        go(images)
    assert caught.value.exit_code == 1
    monkeypatch.undo()
    assert go(images, skip_existing=True) == 0
    assert check("fake", tmp_path / "out") == []
    assert record(tmp_path / "out")["counts"]["skipped"] == 2


@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 50}, {"shard": "1/1"}])
def test_results_do_not_depend_on_batches(tmp_path, go, options):
    images = write_images(tmp_path / "in", 7, junk=(4,))
    go(images, "first")
    go(images, "second", **options)
    place = tmp_path / "second" / ("shards/1-of-1" if "shard" in options else "")
    for name in ("objects.csv", "halves.csv"):
        assert (place / name).read_text() == (tmp_path / "first" / name).read_text()
    left, right = (table(p / "images.csv").drop(columns="seconds") for p in (tmp_path / "first", place))
    pd.testing.assert_frame_equal(left, right)


@pytest.mark.slow
def test_worker_processes_change_nothing(tmp_path, go):
    images = write_images(tmp_path / "in", 5, bad={3: CONCLUDE})
    assert go(images, "here") == go(images, "there", num_workers=2) == 3
    for name in ("objects.csv", "halves.csv"):
        assert (tmp_path / "here" / name).read_text() == (tmp_path / "there" / name).read_text()


@pytest.mark.parametrize("weights", [True, False])
def test_two_cpus_with_a_network_on_them_get_no_workers(tmp_path, go, monkeypatch, weights):
    counts = []

    class Watched(sessions.Workers):
        def __init__(self, assay, count, **words):
            counts.append(count)
            super().__init__(assay, 0, **words)

    monkeypatch.setattr(sessions, "Workers", Watched)
    monkeypatch.setattr(sessions, "available_cpus", lambda: 2)
    if not weights:
        monkeypatch.setattr(torch.nn.Module, "parameters", lambda self: iter(()))
    assert go(write_images(tmp_path / "in", 2), num_workers=None) == 0
    assert counts == [0 if weights else 2]


def test_limit_takes_the_first(tmp_path, go):
    assert go(write_images(tmp_path / "in", 6), limit=2) == 0
    assert table(tmp_path / "out" / "images.csv")["image"].tolist() == ["a00.tif", "a01.tif"]


def test_kind_and_pixel_size_can_be_forced(tmp_path, go):
    seen = []

    def conclude(subject):
        seen.append((subject.kind, subject.image.pixel_size_um))
        return ASSAY.conclude(subject)

    go(
        write_images(tmp_path / "in", 1),
        assay=dataclasses.replace(ASSAY, conclude=conclude),
        input="crop",
        pixel_size=0.5,
    )
    assert seen == [("crop", 0.5)]
    assert names(tmp_path / "out") == sorted(TABLES)
    with pytest.raises(UsageError, match="fake knows auto, field, crop"):
        go(tmp_path / "in", "other", input="slide")


def test_what_a_kind_needs_is_asked_of_guessed_and_forced_ones_alike(tmp_path, go):
    def admit(_image, kind):
        if kind == "field":
            raise InputError("no field without a pixel size")

    assay = dataclasses.replace(ASSAY, inputs=dataclasses.replace(ASSAY.inputs, admit=admit))
    write_images(tmp_path / "in", 1)
    assert go(tmp_path / "in", "guessed", assay=assay) == 1
    assert go(tmp_path / "in", "forced", assay=assay, input="field") == 1
    assert go(tmp_path / "in", "crop", assay=assay, input="crop") == 0
    assert table(tmp_path / "guessed" / "images.csv")["error"].tolist() == ["no field without a pixel size"]


def test_sub_folders_are_kept(tmp_path, go):
    write_images(tmp_path / "in" / "day1", 2)
    write_images(tmp_path / "in" / "day2", 2)
    assert go(tmp_path / "in") == 0
    out = tmp_path / "out"
    assert table(out / "images.csv")["image"].tolist()[0] == "day1/a00.tif"
    assert (out / "day2" / "a01.labels.tif").is_file()
    assert check("fake", out) == []


def test_nothing_is_written_to_stdout_and_quiet_means_quiet(tmp_path, go, capsys):
    go(write_images(tmp_path / "in", 3))
    assert capsys.readouterr() == ("", "")
    go(tmp_path / "in", "second", quiet=False)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "fake predict: 3 of 3" in shown.err


def test_the_job_of_a_shard_can_be_pickled(tmp_path, models):
    images = write_images(tmp_path / "in", 3)
    job = (
        "fake_assay:ASSAY",
        [str(images)],
        str(tmp_path / "out"),
        options_for(shard="2/2"),
        FakeOptions(),
        models,
        [],
    )
    function, arguments = pickle.loads(pickle.dumps((predict_shard, job)))
    outcome = function(*arguments)
    assert (outcome.code, outcome.counts["failed"]) == (0, 0)
    second = table(tmp_path / "out" / "shards" / "2-of-2" / "images.csv")["image"].tolist()
    assert predict_shard(*job[:3], options_for(shard="1/2"), *job[4:]).code == 0
    first = table(tmp_path / "out" / "shards" / "1-of-2" / "images.csv")["image"].tolist()
    assert sorted(first + second) == ["a00.tif", "a01.tif", "a02.tif"]
    assert outcome.counts["ok"] == len(second) in (1, 2)
    with pytest.raises(UsageError, match="no assay is called 'nonesuch'"):
        predict_shard("nonesuch", *job[1:])


def test_a_pixel_size_that_is_given_is_not_asked_for(tmp_path, go):
    (tmp_path / "in").mkdir()
    facts = {"axes": "YX", "PhysicalSizeX": 1e6, "PhysicalSizeY": 1e6, "PhysicalSizeXUnit": "mm"}
    tifffile.imwrite(tmp_path / "in" / "a.tif", np.zeros((16, 16), np.uint8), ome=True, metadata=facts)
    go(tmp_path / "in", "without")
    go(tmp_path / "in", "given", pixel_size=0.25)
    told = [[line for line in record(tmp_path / out)["inputs"][0]["warnings"] if "pixel size" in line]
            for out in ("without", "given")]  # fmt: skip
    assert told[0][0].endswith("give --pixel-size")
    assert not told[1]
