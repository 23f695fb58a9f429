"""predict into a folder that holds results: --overwrite and --skip-existing."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import tifffile
from contract_check import check
from fake_assay import (
    ASSAY,
    TABLES,
    FakeOptions,
    names,
    record,
    table,
    write_images,
    write_models,
)

from cellscope.errors import UsageError


def test_overwrite_replaces_all_of_the_earlier_run_and_nothing_else(tmp_path, go):
    images = write_images(tmp_path / "in", 4)
    go(images)
    out = tmp_path / "out"
    (out / "notes.txt").write_text("mine")
    (images / "a03.tif").unlink()
    assert go(images, overwrite=True) == 0
    assert (out / "notes.txt").exists()
    assert not [name for name in names(out) if name.startswith("a03")]
    assert len(table(out / "images.csv")) == 3


def test_overwrite_does_not_follow_a_record_out_of_the_folder(tmp_path, go):
    images = write_images(tmp_path / "in", 1)
    go(images)
    victim = tmp_path / "victim"
    victim.write_text("keep me")
    run = record(tmp_path / "out")
    run["inputs"][0]["outputs"].append("../victim")
    (tmp_path / "out" / "run.json").write_text(json.dumps(run))
    go(images, overwrite=True)
    assert victim.exists()


def test_skip_existing_keeps_rows_retries_failures_and_does_the_rest(tmp_path, go, monkeypatch):
    images = write_images(tmp_path / "in", 6, junk=(3,))
    assert go(images) == 3
    out = tmp_path / "out"
    first = {name: (out / name).read_text() for name in ("images.csv", "objects.csv")}
    changed = (out / "a02.labels.tif").stat().st_mtime_ns
    write_images(images, 8)  # a03 mended, a06 and a07 new
    cut = []
    spy = dataclasses.replace(ASSAY, conclude=lambda subject: (cut.append(subject.name), ASSAY.conclude(subject))[1])
    assert go(images, assay=spy, skip_existing=True) == 0
    assert cut == ["a03.tif", "a06.tif", "a07.tif"]
    assert check("fake", out) == []
    assert (out / "a02.labels.tif").stat().st_mtime_ns == changed
    summary = table(out / "images.csv")
    assert summary["image"].tolist() == [f"a{k:02}.tif" for k in range(8)]
    assert set(summary["status"]) == {"ok"}
    kept = [line for line in first["images.csv"].split("\n") if ",ok," in line]
    assert set(kept) <= set((out / "images.csv").read_text().split("\n"))
    statuses = [entry["status"] for entry in record(out)["inputs"]]
    assert statuses == ["skipped", "skipped", "skipped", "ok", "skipped", "skipped", "ok", "ok"]
    assert record(out)["inputs"][0]["warnings"] == ["nothing bright"]
    go(images, "fresh")
    assert (out / "objects.csv").read_text() == (tmp_path / "fresh" / "objects.csv").read_text()


def test_skip_existing_does_inputs_again_whose_files_are_gone(tmp_path, go):
    images = write_images(tmp_path / "in", 3)
    go(images)
    (tmp_path / "out" / "a01.overlay.png").unlink()
    assert go(images, skip_existing=True) == 0
    assert [entry["status"] for entry in record(tmp_path / "out")["inputs"]] == ["skipped", "ok", "skipped"]
    assert check("fake", tmp_path / "out") == []


def test_skip_existing_keeps_what_this_command_does_not_name(tmp_path, go):
    images = write_images(tmp_path / "in", 4)
    go([images / "a00.tif", images / "a03.tif"])
    assert go([images / "a01.tif"], skip_existing=True) == 0
    out = tmp_path / "out"
    assert table(out / "images.csv")["image"].tolist() == ["a01.tif", "a00.tif", "a03.tif"]
    assert check("fake", out) == []


def test_skip_existing_knows_that_the_same_name_elsewhere_is_another_image(tmp_path, go):
    go(write_images(tmp_path / "in", 3))
    others = write_images(tmp_path / "elsewhere", 3, seed=9)
    assert go(others, skip_existing=True) == 0
    assert [entry["status"] for entry in record(tmp_path / "out")["inputs"]] == ["ok"] * 3
    go(others, "fresh")
    assert (tmp_path / "out" / "objects.csv").read_text() == (tmp_path / "fresh" / "objects.csv").read_text()


def test_an_input_done_again_leaves_nothing_of_its_earlier_result(tmp_path, go):
    images = write_images(tmp_path / "in", 2)
    go(images)
    (tmp_path / "out" / "a01.overlay.png").unlink()
    (images / "a01.tif").write_text("broken since")
    assert go(images, skip_existing=True) == 3
    assert not [name for name in names(tmp_path / "out") if name.startswith("a01")]
    assert check("fake", tmp_path / "out") == []


def test_half_written_files_of_a_killed_run_are_swept_up(tmp_path, go):
    images = write_images(tmp_path / "in" / "day1", 1).parent
    go(images)
    (tmp_path / "out" / "day1" / ".cellscope-0123456789abcdef.tif").write_text("half")
    go(images, skip_existing=True)
    assert check("fake", tmp_path / "out") == []


def test_skip_existing_refuses_rows_of_another_model_or_other_options(tmp_path, go):
    images = write_images(tmp_path / "in", 2)
    go(images)
    before = {name: (tmp_path / "out" / name).read_bytes() for name in TABLES}
    with pytest.raises(UsageError, match=r"options\.threshold is 0\.7 here and 0\.5 there"):
        go(images, options=FakeOptions(threshold=0.7), skip_existing=True)
    (tmp_path / "other").mkdir()
    others = write_models(tmp_path / "other", classes=("dim", "bright", "dazzling"))
    with pytest.raises(UsageError, match=r"models\.classify"):
        go(images, use=others, skip_existing=True)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in TABLES} == before


def test_skip_existing_into_an_empty_folder_is_a_plain_run(tmp_path, go):
    assert go(write_images(tmp_path / "in", 2), skip_existing=True) == 0
    assert check("fake", tmp_path / "out") == []


def test_too_large_images_fail_and_can_be_tried_again(tmp_path, go):
    tifffile.imwrite(tmp_path / "big.tif", np.zeros((40, 40), np.uint8))
    assert go([tmp_path / "big.tif"], max_pixels=1000) == 1
    assert go([tmp_path / "big.tif"], max_pixels=2000, skip_existing=True) == 0


def test_a_refused_run_is_refused_again_and_leaves_what_was_there(tmp_path, go):
    images = write_images(tmp_path / "in", 2)
    go(images)
    out = tmp_path / "out"
    before = {name: (out / name).read_bytes() for name in names(out)}
    for _ in range(2):
        with pytest.raises(UsageError, match=r"another run \(options.threshold"):
            go(images, options=FakeOptions(threshold=0.9), skip_existing=True)
        assert {name: (out / name).read_bytes() for name in names(out)} == before
    assert go(images, skip_existing=True) == 0


@pytest.mark.parametrize("threshold", [0.5, 0.9])
def test_a_kill_while_an_earlier_run_is_removed_brings_nothing_of_it_back(tmp_path, go, monkeypatch, threshold):
    images = write_images(tmp_path / "in", 2)
    go(images)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("cellscope.engine.predict.session.remove_results", killed)
        with pytest.raises(KeyboardInterrupt):
            go(images, options=FakeOptions(threshold=threshold), overwrite=True)
    assert go(images, options=FakeOptions(threshold=threshold), skip_existing=True) == 0
    assert [entry["status"] for entry in record(tmp_path / "out")["inputs"]] == ["ok", "ok"]


def test_a_file_is_counted_once_whatever_name_other_arguments_give_it(tmp_path, go):
    one, two = write_images(tmp_path / "in" / "one", 3), write_images(tmp_path / "in" / "two", 2)
    go(one)
    assert go([one, two], skip_existing=True) == 0
    rows = table(tmp_path / "out" / "images.csv")
    assert rows["image"].tolist() == [f"one/a{k:02}.tif" for k in range(3)] + [f"two/a{k:02}.tif" for k in range(2)]
    assert not [name for name in names(tmp_path / "out") if name.startswith("a0")]
    assert check("fake", tmp_path / "out") == []
