"""Subjects worked on in pieces: the same as in one, whatever fails, is killed or is too long for memory."""

from __future__ import annotations

import json
import os
import signal
import threading

import numpy as np
import pandas as pd
import pytest
import tifffile
from contract_check import check
from fake_assay import FORWARD, FakeOptions, options_for, spots, write_models
from pieces_assay import ASSAY, WHOLE, write_tall_images

from cellscope.engine.assay import Result
from cellscope.engine.predict import tables
from cellscope.engine.predict.merge import merge
from cellscope.engine.predict.piece_store import PieceStore
from cellscope.engine.predict.plan import predict
from cellscope.errors import Interrupted


@pytest.fixture
def go(tmp_path):
    models = write_models(tmp_path, ("row",))[:1]

    def go(out, assay=ASSAY, **run):
        return predict(
            assay, [str(tmp_path / "in")], tmp_path / out, run=options_for(**run), options=FakeOptions(),
            models=models, argv=["cellscope", "fake", "predict"],
        ).code  # fmt: skip

    return go


@pytest.fixture
def images(tmp_path):
    return write_tall_images(tmp_path / "in")


def same(one, other, *names):
    for name in names or ("objects.csv", "a0.labels.tif", "a2.labels.tif"):
        if name.endswith(".tif"):
            np.testing.assert_array_equal(tifffile.imread(one / name), tifffile.imread(other / name))
        else:
            assert (one / name).read_bytes() == (other / name).read_bytes()


@pytest.mark.parametrize("options", [{}, {"batch_size": 1}, {"batch_size": 64}])
def test_pieces_give_what_the_whole_gives(tmp_path, go, images, options):
    assert go("whole", WHOLE) == 0
    assert go("out", **options) == 0
    same(tmp_path / "whole", tmp_path / "out")
    assert check("fake", tmp_path / "out") == []
    rows = json.loads((tmp_path / "out/a0.rows.json").read_text())["features"]
    assert [row["properties"]["label"] for row in rows] == [5, 6, 7, 10, 11, 12, 45, 46, 47]
    assert not (tmp_path / "out/journal.parts").exists()


@pytest.mark.slow
def test_worker_processes_change_nothing(tmp_path, go, images):
    assert go("whole", WHOLE) == 0
    assert go("out", num_workers=2) == 0
    same(tmp_path / "whole", tmp_path / "out")


def test_a_failed_piece_fails_its_input_alone(tmp_path, go, images, capsys):
    for number, corner in ((0, FORWARD), (2, 98), (3, 99)):
        path = images / f"a{number}.tif"
        pixels = tifffile.imread(path)
        pixels[0, 0] = corner
        tifffile.imwrite(path, pixels)
    assert go("out") == 3
    table = pd.read_csv(tmp_path / "out/images.csv", keep_default_na=False)
    assert table["status"].tolist() == ["failed", "ok", "failed", "failed"]
    assert "this part is torn" in table["error"][2]
    assert "cannot be divided" in table["error"][3]
    assert check("fake", tmp_path / "out") == []


def test_a_run_goes_on_with_the_pieces_that_are_missing(tmp_path, go, images, monkeypatch):
    store, kept, one_at_a_time = PieceStore.put, [], threading.Lock()

    def fill(self, number, result, features):
        with one_at_a_time:  # several threads write
            if len(kept) == 4:
                raise OSError(28, "No space left on device")
            store(self, number, result, features)
            kept.append(number)

    monkeypatch.setattr(PieceStore, "put", fill)
    with pytest.raises(Exception, match="No space left"):
        go("out")
    again = []

    def note(self, number, result, features):
        again.append((self.folder.name, number))
        store(self, number, result, features)

    monkeypatch.setattr(PieceStore, "put", note)
    assert go("out", skip_existing=True) == 0
    assert len(again) == 6 + 4 + 8 - 4
    assert go("whole", WHOLE) == 0
    same(tmp_path / "whole", tmp_path / "out")
    # pieces of a file that has changed since are not used
    (tmp_path / "out/objects.csv").unlink()
    monkeypatch.setattr(PieceStore, "put", fill)
    kept.clear()
    with pytest.raises(Exception, match="No space left"):
        go("out", overwrite=True)
    tifffile.imwrite(images / "a0.tif", spots((48, 40), [(20, 4, 200)]))
    again.clear()
    monkeypatch.setattr(PieceStore, "put", note)
    assert go("out", skip_existing=True) == 0
    assert len(again) == 6 + 4 + 8


def test_an_interrupted_run_keeps_its_pieces(tmp_path, go, images, monkeypatch):
    store, kept = PieceStore.put, []

    def interrupt(self, number, result, features):
        store(self, number, result, features)
        kept.append(number)
        if len(kept) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(PieceStore, "put", interrupt)
    with pytest.raises(Interrupted):
        go("out", batch_size=1)
    done = len(list((tmp_path / "out/journal.parts").glob("*/*.npz")))
    assert done >= 3
    again = []

    def note(self, number, result, features):
        again.append(number)
        store(self, number, result, features)

    monkeypatch.setattr(PieceStore, "put", note)
    assert go("out", skip_existing=True) == 0
    assert len(again) == 6 + 4 + 8 - done
    assert go("whole", WHOLE) == 0
    same(tmp_path / "whole", tmp_path / "out")
    assert check("fake", tmp_path / "out") == []


def test_long_tables_are_never_held(tmp_path, go, images, monkeypatch):
    assert go("whole", WHOLE) == 0
    monkeypatch.setattr(tables, "LONG", 4)
    for shard in ("1/2", "2/2"):
        assert go("out", shard=shard) == 0
    merge(tmp_path / "out", ASSAY)
    same(tmp_path / "whole", tmp_path / "out")
    assert go("out2") == 0
    assert go("out2", skip_existing=True) == 0
    same(tmp_path / "whole", tmp_path / "out2")
    assert check("fake", tmp_path / "out2") == []


def test_a_store_gives_back_what_it_was_given(tmp_path):
    store = PieceStore(tmp_path / "store", 3, {"a": 1})
    table = pd.DataFrame({"label": [1, 2], "class": ["a", "bé"], "score": [0.5, np.nan], "review": [True, False]})
    store.put(1, Result(table, {"n": 2}, {"labels": np.eye(3, dtype=np.uint16)}, ["odd"]))
    assert PieceStore(tmp_path / "store", 3, {"a": 1}).missing == [0, 2]
    found = store[1]
    pd.testing.assert_frame_equal(found.objects, table, check_dtype=False)
    assert found.objects["class"].tolist() == ["a", "bé"]
    assert (found.summary, found.warnings) == ({"n": 2}, ["odd"])
    np.testing.assert_array_equal(found.artefacts["labels"], np.eye(3))
    store.put(0, Result(table[:0], {}, {}, []))
    assert list(store[0].objects.columns) == list(table.columns)
    assert PieceStore(tmp_path / "store", 3, {"a": 2}).missing == [0, 1, 2]
