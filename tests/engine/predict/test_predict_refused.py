"""What predict refuses before any work (exit code 2), and what it never touches."""

from __future__ import annotations

import dataclasses

import pytest
from fake_assay import (
    ASSAY,
    FakeOptions,
    names,
    record,
    table,
    write_images,
)

from cellscope.errors import ModelError, UsageError
from cellscope.models.file import load_model, save_model


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


def test_options_are_settled_before_any_work(tmp_path, go):
    def read_options(options):
        if options.threshold > 0.9:
            raise UsageError("nothing is that bright")
        return dataclasses.replace(options, threshold=0.6)

    assay = dataclasses.replace(ASSAY, read_options=read_options)
    images = write_images(tmp_path / "in", 1)
    with pytest.raises(UsageError, match="nothing is that bright"):
        go(images, assay=assay, options=FakeOptions(threshold=0.95))
    assert not (tmp_path / "out").exists()
    assert go(images, assay=assay) == 0
    assert record(tmp_path / "out")["options"]["fake"]["threshold"] == 0.6


def test_the_record_tells_what_the_models_were_tuned_to(tmp_path, go, models):
    card, tensors = load_model(models[0], assay="fake")
    tuned = tmp_path / "tuned.safetensors"
    save_model(tuned, tensors, dataclasses.replace(card, thresholds={"least": 0.25, "other": 1.0}))
    images = write_images(tmp_path / "in", 1)
    for out, options, least in (("own", FakeOptions(least=0.0), 0.0), ("model", FakeOptions(), 0.25)):
        assert go(images, out, options, use=[str(tuned), *models[1:]]) == 0
        assert record(tmp_path / out)["options"]["fake"]["least"] == least
