"""Inputs shared among worker processes: what one process gives, whoever works, fails or is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pieces_assay
import pytest
from contract_check import check
from fake_assay import CONCLUDE, CUT, KILL, FakeOptions, names, options_for, record, table, write_images
from processes import start, wait_for_lines
from same_run import hashes

from cellscope.engine.distribute.dispatch import TRIES
from cellscope.engine.distribute.parcels import parcel
from cellscope.engine.predict.plan import predict
from cellscope.errors import CellscopeError, UsageError
from cellscope.io.inputs import Input

POOLS = [{"devices": "cpu:2"}, {"cluster": "local:2"}]


@pytest.fixture(params=POOLS, ids=["devices", "cluster"])
def pool(request):
    run = dict(request.param)
    if "cluster" in run:
        pytest.importorskip("dask_jobqueue")
    return {"device": "auto", **run} if "devices" in run else run


@pytest.mark.slow
def test_workers_give_what_one_process_gives(tmp_path, go, pool):
    write_images(tmp_path / "in", 9, bad={3: CUT, 5: CONCLUDE}, junk=(7,))
    assert go(tmp_path / "in", "one") == 3
    assert go(tmp_path / "in", "many", **pool) == 3
    assert check("fake", tmp_path / "many") == []
    assert hashes(tmp_path / "many") == hashes(tmp_path / "one")
    assert go(tmp_path / "in", "many", skip_existing=True, **pool) == 3  # only those that failed are done again
    assert record(tmp_path / "many")["counts"]["skipped"] == 6


@pytest.mark.slow
def test_pieces_of_one_image_are_shared(tmp_path, pool, models):
    images = pieces_assay.write_tall_images(tmp_path / "in")
    for out, run in (("one", {}), ("many", pool)):
        predict(
            pieces_assay.ASSAY, [str(images)], tmp_path / out, run=options_for(**run), options=FakeOptions(),
            models=models[:1], argv=["cellscope", "fake", "predict"],
        )  # fmt: skip
    assert hashes(tmp_path / "many") == hashes(tmp_path / "one")
    assert not list(tmp_path.rglob("journal*"))


@pytest.mark.slow
def test_an_input_that_kills_its_worker_fails_alone(tmp_path, go, pool, capsys):
    write_images(tmp_path / "in", 8, bad={2: KILL})
    assert go(tmp_path / "in", "out", **pool) == 3
    rows = table(tmp_path / "out" / "images.csv").set_index("image")
    assert list(rows.index[rows["status"] == "failed"]) == ["a02.tif"]
    assert rows.loc["a02.tif", "error"].startswith(f"the worker process was lost {TRIES} times")
    assert check("fake", tmp_path / "out") == []
    assert not list((tmp_path / "out").rglob(".cellscope*"))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_run_without_its_client_goes_on_later(tmp_path, go, job, pool, number, code):
    write_images(tmp_path / "in", 12)
    process = start(job(options={"delay": 0.3}, **pool))
    wait_for_lines(tmp_path / "out" / "journal.jsonl", 3, process)
    process.send_signal(number)
    said = process.communicate(timeout=120)
    assert process.returncode == code, said
    time.sleep(1)  # workers see that they are alone
    done = go(tmp_path / "in", "out", options=FakeOptions(delay=0.3), skip_existing=True)
    assert done == 0
    assert go(tmp_path / "in", "one", options=FakeOptions(delay=0.3)) == 0
    for name in ("objects.csv", "halves.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    assert names(tmp_path / "out") == names(tmp_path / "one")


@pytest.mark.slow
def test_workers_killed_at_any_time_change_nothing(tmp_path, go, job, pool):
    psutil = pytest.importorskip("psutil")
    write_images(tmp_path / "in", 16)
    process = start(job(options={"delay": 0.2}, **pool))
    journal = tmp_path / "out" / "journal.jsonl"
    for lines in (2, 6, 11):
        wait_for_lines(journal, lines, process)
        workers = [
            each for each in psutil.Process(process.pid).children(recursive=True) if each.memory_info().rss > 1e8
        ]
        workers[-1].kill()
    said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert go(tmp_path / "in", "one", options=FakeOptions(delay=0.2)) == 0
    assert hashes(tmp_path / "out") == hashes(tmp_path / "one")


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"device": "auto", "devices": "two"}, "devices: 'two' is not auto, all"),
        ({"devices": "cpu:2"}, "--device and --devices exclude"),
        ({"cluster": "cloud"}, "cluster: 'cloud' is not local"),
        ({"cluster": "local", "shard": "1/2"}, "--shard and --cluster exclude"),
        ({"cluster_option": ("cores=4",)}, "--cluster-option needs --cluster"),
        ({"cluster": "slurm", "cluster_option": ("cores",)}, "'cores' is not KEY=VALUE"),
        pytest.param(
            {"cluster": "local", "cluster_option": ("colour=red",)}, "--cluster local: .*colour", marks=pytest.mark.slow
        ),
        ({"cluster": "slurm"}, r"--cluster slurm: .*--cluster-option KEY=VALUE"),
        ({"cluster": "tcp://127.0.0.1:9"}, "no scheduler answers at tcp://127.0.0.1:9"),
    ],
)
def test_what_cannot_be_is_said_before_any_work(tmp_path, go, run, message, monkeypatch):
    write_images(tmp_path / "in", 2)
    if "cluster" in run:
        pytest.importorskip("dask_jobqueue")
        monkeypatch.setattr("cellscope.engine.distribute.cluster.CONNECT", 1)
    with pytest.raises(UsageError, match=message):
        go(tmp_path / "in", **run)
    assert not (tmp_path / "out").exists()


def test_without_dask_the_user_is_told_what_to_install(tmp_path, go, monkeypatch):
    write_images(tmp_path / "in", 2)
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with pytest.raises(UsageError, match=r"--cluster needs Dask .*pip install 'cellscope\[cluster\]'"):
        go(tmp_path / "in", cluster="local:2")


def test_dask_is_imported_only_for_a_cluster():
    script = (
        "import sys, cellscope.engine.predict.plan; sys.exit('distributed' in sys.modules or 'dask' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def inputs(*sizes):
    entries = [Input(Path(f"{number}.tif"), f"{number}.tif") for number in range(len(sizes))]
    return entries, {entry.image: size for entry, size in zip(entries, sizes, strict=True)}


def test_large_inputs_come_first_and_alone_small_ones_together():
    entries, sizes = inputs(*[1] * 100, 5000, *[1] * 100, 9000)
    tasks = parcel(entries, sizes, 2)
    assert [task.images for task in tasks[:2]] == [["201.tif"], ["100.tif"]]
    assert sorted(image for task in tasks for image in task.images) == sorted(sizes)
    assert max(len(task.inputs) for task in tasks) == 12
    assert [len(task.inputs) for task in parcel(*inputs(1, 1, 1), 2)] == [1, 1, 1]


def test_a_worker_refuses_what_is_not_its_own(tmp_path, models):
    from dataclasses import replace

    import fake_assay

    import cellscope
    from cellscope.engine.distribute.tasks import Order, Task
    from cellscope.engine.distribute.worker import do
    from cellscope.engine.predict.job import Job

    parts = tmp_path / "out" / "journal.parts"
    parts.mkdir(parents=True)
    (parts / "token").write_text("7")
    place = Job(fake_assay.ASSAY, options_for(), FakeOptions(), tmp_path / "out", parts, {})
    good = Order("7", place, tuple(models), {}, cellscope.__version__, str(tmp_path), "token", 1)
    before = os.getcwd()
    for change, message in (
        ({"version": "0.0"}, "has cellscope .*, not 0.0"),
        ({"token": "other"}, "does not see .*folders that all computers share"),
        ({"hashes": {"find": "0"}}, "has other models"),
        ({"folder": str(tmp_path / "nowhere")}, "does not see .*nowhere"),
    ):
        with pytest.raises(CellscopeError, match=message):
            do(replace(good, **change), Task(()))
    assert os.getcwd() == before


def test_the_run_says_what_did_the_work(tmp_path, go):
    write_images(tmp_path / "in", 2)
    assert go(tmp_path / "in", "one") == 0
    assert go(tmp_path / "in", "two", device="auto", devices="cpu:1") == 0
    one, two = (json.loads((tmp_path / out / "run.json").read_text()) for out in ("one", "two"))
    assert (two["device"], two["precision"]) == (one["device"], one["precision"])
    assert two["options"]["run"]["devices"] == "cpu:1"
