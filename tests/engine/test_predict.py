"""predict over files: exit codes, isolation, what is written, what is refused, --overwrite and --skip-existing."""

from __future__ import annotations

import dataclasses
import errno
import json
import pickle

import numpy as np
import pandas as pd
import pytest
import tifffile
from contract_check import check
from fake_assay import ASSAY, CONCLUDE, FORWARD, FakeOptions, options_for, spots, write_images, write_models

from cellscope.engine import session as sessions
from cellscope.engine.predict import predict, predict_shard
from cellscope.errors import CellscopeError, InputError, ModelError, UsageError

TABLES = ("images.csv", "objects.csv", "halves.csv", "run.json", "report.html")


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def go(tmp_path, models):
    def go(arguments, out="out", options=None, assay=ASSAY, use=None, **run):
        return predict(
            assay,
            [str(a) for a in (arguments if isinstance(arguments, list) else [arguments])],
            tmp_path / out,
            run=options_for(**run),
            options=options or FakeOptions(),
            models=models if use is None else use,
            argv=["cellscope", "fake", "predict"],
        )

    return go


def record(out):
    return json.loads((out / "run.json").read_text())


def table(path):
    return pd.read_csv(path, keep_default_na=False, dtype=str)


def names(out):
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())


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
    assert list(summary) == ["image", "status", "error", "kind", "n_objects", "seconds", "brightest"]
    assert summary["n_objects"].tolist() == ["0", "1", "2", "3", "0"]
    assert tifffile.imread(out / "a03.labels.tif").max() == 3
    assert table(out / "halves.csv").to_numpy().tolist()[0] == ["a01.tif", "1", "4.5"]
    run = record(out)
    assert run["counts"] == {"total": 5, "ok": 5, "failed": 0, "skipped": 0, "objects": 6}
    assert run["inputs"][0]["warnings"] == ["nothing bright"]
    assert run["inputs"][1]["outputs"] == ["a01.labels.tif", "a01.overlay.png", "a01.fake.json"]
    assert [model["part"] for model in run["models"]] == ["find", "classify"]
    assert not (out / "journal.jsonl").exists()


def test_run_json_is_written_last(tmp_path, go, monkeypatch):
    seen = {}
    plain = sessions.write_results
    from cellscope.engine import results

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
        subject.state["p"] = [p[:1] for p in subject.state["p"]]
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
    plain = sessions.write_artefacts

    def full(out, stem, artefacts):
        if stem == "a02":
            raise CellscopeError("x: cannot be written") from OSError(errno.ENOSPC, "No space left on device")
        return plain(out, stem, artefacts)

    monkeypatch.setattr(sessions, "write_artefacts", full)
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

    assay = dataclasses.replace(ASSAY, admit=admit)
    write_images(tmp_path / "in", 1)
    assert go(tmp_path / "in", "guessed", assay=assay) == 1
    assert go(tmp_path / "in", "forced", assay=assay, input="field") == 1
    assert go(tmp_path / "in", "crop", assay=assay, input="crop") == 0
    assert table(tmp_path / "guessed" / "images.csv")["error"].tolist() == ["no field without a pixel size"]


def test_options_are_settled_before_any_work(tmp_path, go):
    def settle(options):
        if options.threshold > 0.9:
            raise UsageError("nothing is that bright")
        return dataclasses.replace(options, threshold=0.6)

    assay = dataclasses.replace(ASSAY, settle=settle)
    images = write_images(tmp_path / "in", 1)
    with pytest.raises(UsageError, match="nothing is that bright"):
        go(images, assay=assay, options=FakeOptions(threshold=0.95))
    assert not (tmp_path / "out").exists()
    assert go(images, assay=assay) == 0
    assert record(tmp_path / "out")["options"]["fake"]["threshold"] == 0.6


def test_sub_folders_are_kept(tmp_path, go):
    write_images(tmp_path / "in" / "day1", 2)
    write_images(tmp_path / "in" / "day2", 2)
    assert go(tmp_path / "in") == 0
    out = tmp_path / "out"
    assert table(out / "images.csv")["image"].tolist()[0] == "day1/a00.tif"
    assert (out / "day2" / "a01.labels.tif").is_file()
    assert check("fake", out) == []


# ---- refused before any work (exit code 2)


def test_no_inputs(tmp_path, go):
    (tmp_path / "in").mkdir()
    with pytest.raises(UsageError):
        go(tmp_path / "in")
    assert not (tmp_path / "out").exists()


def test_collisions_name_both(tmp_path, go):
    images = write_images(tmp_path / "in", 1)
    (images / "a00.png").write_bytes(b"")
    with pytest.raises(UsageError, match=r"a00\.png and a00\.tif"):
        go(images)
    assert not (tmp_path / "out").exists()


def test_outputs_are_never_written_beside_the_inputs(tmp_path, go):
    images = write_images(tmp_path / "in", 1)
    with pytest.raises(UsageError, match="beside the input"):
        go(images, "in")
    assert names(images) == ["a00.tif"]


def test_results_inside_the_searched_folder_are_not_inputs(tmp_path, go):
    images = write_images(tmp_path / "in", 2)
    assert go(images, "in/out") == 0
    (images / "out" / "extra.tif").write_bytes((images / "a00.tif").read_bytes())
    assert go(images, "in/out", overwrite=True) == 0
    assert table(images / "out" / "images.csv")["image"].tolist() == ["a00.tif", "a01.tif"]


@pytest.mark.parametrize("left", ["images.csv", "run.json", "journal.jsonl"])
def test_results_are_not_touched_without_a_word(tmp_path, go, left):
    images = write_images(tmp_path / "in", 1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / left).write_text("mine")
    with pytest.raises(UsageError, match="--overwrite"):
        go(images, use=["no-such-model"])  # refused before a model is looked for
    assert (tmp_path / "out" / left).read_text() == "mine"
    assert names(tmp_path / "out") == [left]


def test_unknown_model_and_device(tmp_path, go):
    images = write_images(tmp_path / "in", 1)
    with pytest.raises(ModelError):
        go(images, use=[str(tmp_path / "none.safetensors")])
    with pytest.raises(UsageError, match="cuda:99"):
        go(images, device="cuda:99")
    assert not (tmp_path / "out").exists()


def test_out_that_is_a_file(tmp_path, go):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UsageError, match="not a folder"):
        go(write_images(tmp_path / "in", 1))


# ---- --overwrite and --skip-existing


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
    assert function(*arguments) == 0
    assert table(tmp_path / "out" / "shards" / "2-of-2" / "images.csv")["image"].tolist() == ["a01.tif"]
    with pytest.raises(UsageError, match="no assay is called 'nonesuch'"):
        predict_shard("nonesuch", *job[1:])


def test_too_large_images_fail_and_can_be_tried_again(tmp_path, go):
    tifffile.imwrite(tmp_path / "big.tif", np.zeros((40, 40), np.uint8))
    assert go([tmp_path / "big.tif"], max_pixels=1000) == 1
    assert go([tmp_path / "big.tif"], max_pixels=2000, skip_existing=True) == 0
