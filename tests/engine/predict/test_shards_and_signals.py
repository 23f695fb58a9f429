"""Shards side by side and merged; status; kill -9, SIGTERM and Ctrl-C in processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pandas as pd
import pytest
from contract_check import check
from fake_assay import ASSAY, FakeOptions, options_for, table, write_images
from processes import start, wait_for_lines

from cellscope.engine.predict.merge import merge
from cellscope.engine.predict.plan import predict
from cellscope.engine.predict.shards import balance, status
from cellscope.errors import Interrupted, UsageError

HERE = Path(__file__).parents[1]


def here(job):
    return predict(
        ASSAY,
        job["arguments"],
        Path(job["out"]),
        run=options_for(**job["run"]),
        options=FakeOptions(**job["options"]),
        models=job["models"],
        argv=["fake"],
    ).code


def same_results(one: Path, other: Path):
    for name in ("objects.csv", "halves.csv"):
        assert (one / name).read_text() == (other / name).read_text()
    left, right = (table(out / "images.csv").drop(columns="seconds") for out in (one, other))
    pd.testing.assert_frame_equal(left, right)
    records = [json.loads((out / "run.json").read_text()) for out in (one, other)]
    timed = ("started", "finished", "argv", "inputs", "shards", "environment", "options")
    left, right = ({k: v for k, v in r.items() if k not in timed} for r in records)
    assert left == right
    inputs = [[{k: v for k, v in entry.items() if k != "seconds"} for entry in r["inputs"]] for r in records]
    assert inputs[0] == inputs[1]


@pytest.mark.slow
def test_two_shards_at_once_merge_into_what_one_run_gives(tmp_path, job):
    write_images(tmp_path / "in" / "day1", 4, junk=(2,))
    write_images(tmp_path / "in" / "day2", 3, seed=5)
    processes = [start(job(shard=f"{k}/2", options={"delay": 0.02})) for k in (1, 2)]
    ends = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 3], ends
    out = tmp_path / "out"
    for k in (1, 2):
        assert check("fake", out / "shards" / f"{k}-of-2", artefacts=out) == []
    assert not (out / "images.csv").exists()
    counts = merge(out, ASSAY)
    found = {"total": 7, "ok": 6, "failed": 1, "skipped": 0, "unfamiliar": 0}
    expected = {**found, "objects": sum((0, 1, 3, 0, 1, 2))}
    assert counts.items() >= expected.items()
    assert counts["counts"] == expected
    assert len(counts["failures"]) == 1
    assert check("fake", out) == []
    here(job(out="one", options={"delay": 0.02}))
    same_results(out, tmp_path / "one")
    before = (out / "objects.csv").read_text()
    merge(out, ASSAY)  # again: the same
    assert (out / "objects.csv").read_text() == before
    found = status(out)
    assert (found["total"], found["done"], found["failed"], found["missing"]) == (7, 6, 1, [])
    assert found["state"] == "complete"


def test_merge_and_status_name_what_is_missing(tmp_path, job):
    write_images(tmp_path / "in", 7)
    here(job(shard="1/3"))
    here(job(shard="3/3"))
    out = tmp_path / "out"
    with pytest.raises(UsageError, match=r"2/3 \(not started\); missing inputs: a02\.tif, a03\.tif; run them"):
        merge(out, ASSAY)
    found = status(out)
    assert found["missing"] == ["a02.tif", "a03.tif"]
    assert (found["total"], found["done"], found["failed"], found["state"]) == (7, 5, 0, "stopped")
    (out / "shards" / "2-of-3").mkdir()  # killed, or about to begin, before it wrote anything
    assert status(out)["missing"] == ["a02.tif", "a03.tif"]
    assert [shard["state"] for shard in found["shards"]] == ["complete", "not started", "complete"]
    assert found["shards"][1] == {"shard": "2/3", "state": "not started", "total": 2, "done": 0, "failed": 0}
    here(job(shard="2/3"))
    merge(out, ASSAY)
    assert check("fake", out) == []


def test_shards_are_balanced_by_size():
    assert balance([1, 1, 1, 1, 1], 2) == [1, 2, 1, 2, 1]
    assert balance([0, 0, 0], 2) == [1, 2, 1]  # sizes that cannot be told
    assert balance([5, 1, 1, 1, 1, 1], 2) == [1, 2, 2, 2, 2, 2]
    sizes = [(7919 * number) % 1000 + 1 for number in range(200)]
    owners = balance(sizes, 8)
    loads = [sum(size for size, owner in zip(sizes, owners, strict=True) if owner == shard) for shard in range(1, 9)]
    assert max(loads) <= 4 / 3 * sum(sizes) / 8  # Graham's bound


def test_shards_of_files_that_have_changed_are_not_merged(tmp_path, job):
    write_images(tmp_path / "in", 4)
    here(job(shard="1/2"))
    (tmp_path / "in" / "a01.tif").write_bytes((tmp_path / "in" / "a01.tif").read_bytes() + bytes(5000))
    here(job(shard="2/2"))
    with pytest.raises(UsageError, match="divided otherwise"):
        merge(tmp_path / "out", ASSAY)


def test_more_shards_than_inputs(tmp_path, job):
    write_images(tmp_path / "in", 2)
    assert [here(job(shard=f"{k}/3")) for k in (1, 2, 3)] == [0, 0, 0]
    merge(tmp_path / "out", ASSAY)
    assert check("fake", tmp_path / "out") == []
    assert len(table(tmp_path / "out" / "images.csv")) == 2


def test_each_shard_needs_its_own_word_to_be_done_again(tmp_path, job):
    write_images(tmp_path / "in", 4)
    here(job(shard="1/2"))
    with pytest.raises(UsageError, match=r"1-of-2 already holds results"):
        here(job(shard="1/2"))
    assert here(job(shard="2/2")) == 0
    assert here(job(shard="1/2", skip_existing=True)) == 0
    record = json.loads((tmp_path / "out" / "shards" / "1-of-2" / "run.json").read_text())
    assert [entry["status"] for entry in record["inputs"]] == ["skipped", "skipped"]
    assert [entry["index"] for entry in record["inputs"]] == [0, 1]
    assert merge(tmp_path / "out", ASSAY)["skipped"] == 2


def test_a_shard_is_not_continued_over_another_list_of_inputs(tmp_path, job):
    write_images(tmp_path / "in", 4)
    here(job(shard="2/2"))
    write_images(tmp_path / "in", 6)
    assert here(job(shard="2/2", skip_existing=True)) == 0  # a05 is new, the others keep their places
    (tmp_path / "in" / "a00.tif").unlink()
    with pytest.raises(UsageError, match="another list of inputs"):
        here(job(shard="2/2", skip_existing=True))


def test_shards_that_do_not_belong_together_are_refused(tmp_path, job):
    write_images(tmp_path / "in", 4)
    out = tmp_path / "out"
    here(job(shard="1/2"))
    here(job(shard="2/2", options={"threshold": 0.6}))
    with pytest.raises(UsageError, match=r"2-of-2 does not belong .*options\.threshold"):
        merge(out, ASSAY)
    shutil.rmtree(out / "shards" / "2-of-2")
    write_images(tmp_path / "in", 5)
    here(job(shard="2/2"))
    with pytest.raises(UsageError, match=r"another list of inputs \(a04\.tif\)"):
        merge(out, ASSAY)
    here(job(shard="1/3"))
    with pytest.raises(UsageError, match="different runs"):
        status(out)


def test_merge_leaves_a_run_without_shards_alone(tmp_path, job):
    write_images(tmp_path / "in", 2)
    with pytest.raises(UsageError, match="no shards"):
        merge(tmp_path / "out", ASSAY)
    here(job())
    here(job(shard="1/1"))
    with pytest.raises(UsageError, match="not cut into shards"):
        merge(tmp_path / "out", ASSAY)


def test_a_merge_that_was_killed_is_done_again(tmp_path, job, monkeypatch):
    """Killed after any of its files: tables without ``run.json`` are its own, not those of another run."""
    write_images(tmp_path / "in", 3)
    out = tmp_path / "out"
    here(job(shard="1/2"))
    here(job(shard="2/2"))
    names = ("images.csv", "objects.csv", "halves.csv", "report.html", "run.json")
    merge(out, ASSAY)
    whole = {name: (out / name).read_bytes() for name in names[:3]}
    for name in names:
        (out / name).unlink()
    rename = os.replace
    for last in names:

        def killed(source, target, last=last):
            rename(source, target)
            if os.path.basename(target) == last and os.path.dirname(target) == str(out):
                raise KeyboardInterrupt

        monkeypatch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            merge(out, ASSAY)
    monkeypatch.setattr(os, "replace", rename)
    merge(out, ASSAY)
    assert {name: (out / name).read_bytes() for name in names[:3]} == whole
    assert sorted(path.name for path in (out / "shards").iterdir()) == ["1-of-2", "2-of-2"]


def test_status_of_a_finished_run_and_of_nothing(tmp_path, job):
    write_images(tmp_path / "in", 3, junk=(1,))
    with pytest.raises(UsageError, match="no run"):
        status(tmp_path / "out")
    here(job())
    assert status(tmp_path / "out") == {
        "total": 3,
        "done": 2,
        "failed": 1,
        "missing": [],
        "state": "complete",
        "shards": [],
    }


@pytest.mark.slow
@pytest.mark.parametrize("shard", [None, "1/2"])
def test_nothing_finished_is_lost_by_kill_9(tmp_path, job, shard):
    write_images(tmp_path / "in", 12)
    out = tmp_path / "out"
    place = out / "shards" / "1-of-2" if shard else out
    process = start(job(options={"delay": 0.2}, shard=shard, batch_size=1))
    wait_for_lines(place / "journal.jsonl", 3, process)
    assert status(out)["state"] == "running"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    found = status(out)
    assert found["done"] >= 2
    assert found["missing"][-1] == "a11.tif"
    with open(place / "journal.jsonl", "ab") as stream:
        stream.write(b'{"image":"a07.tif","stat')  # killed in the middle of a line
    with pytest.raises(UsageError, match="unfinished run; --skip-existing continues it"):
        here(job(options={"delay": 0.2}, shard=shard))
    assert here(job(options={"delay": 0.2}, shard=shard, skip_existing=True)) == 0
    statuses = [entry["status"] for entry in json.loads((place / "run.json").read_text())["inputs"]]
    assert statuses.count("skipped") == found["done"]
    assert check("fake", place, artefacts=out) == []
    here(job(out="whole", shard=shard))
    whole = tmp_path / "whole" / place.relative_to(out)
    assert (place / "objects.csv").read_text() == (whole / "objects.csv").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_what_is_done(tmp_path, job, number, code):
    write_images(tmp_path / "in", 12)
    out = tmp_path / "out"
    process = start(job(options={"delay": 0.2}, batch_size=1))
    wait_for_lines(out / "journal.jsonl", 3, process)
    process.send_signal(number)
    shown = process.communicate(timeout=60)
    assert process.returncode == code, shown
    assert shown[1].startswith("interrupted: ")
    assert shown[1].count("\n") == 1
    assert check("fake", out) == []
    record = json.loads((out / "run.json").read_text())
    done = len(table(out / "images.csv"))
    assert record["status"] == "interrupted"
    assert 2 <= done < 12
    assert len(record["missing"]) == 12 - done
    found = status(out)
    assert (found["state"], found["done"], found["missing"]) == ("interrupted", done, record["missing"])
    assert not (out / "journal.jsonl").exists()
    assert here(job(options={"delay": 0.2}, skip_existing=True)) == 0
    here(job(out="whole"))
    assert (out / "objects.csv").read_text() == (tmp_path / "whole" / "objects.csv").read_text()


def test_merge_refuses_an_interrupted_shard(tmp_path, job, monkeypatch):
    write_images(tmp_path / "in", 4)
    here(job(shard="1/2"))
    from cellscope.engine.signals import StopSignals

    with monkeypatch.context() as patch:
        patch.setattr(StopSignals, "__init__", lambda self: self.__dict__.update(received=signal.SIGTERM, _before={}))
        with pytest.raises(Interrupted) as caught:
            here(job(shard="2/2"))
    assert caught.value.exit_code == 143
    with pytest.raises(UsageError, match=r"2/2 \(interrupted\); missing inputs: a02\.tif, a03\.tif"):
        merge(tmp_path / "out", ASSAY)


@pytest.mark.slow
def test_two_runs_cannot_share_a_folder(tmp_path, job):
    write_images(tmp_path / "in", 6)
    process = start(job(options={"delay": 0.3}, batch_size=1))
    try:
        wait_for_lines(tmp_path / "out" / "journal.jsonl", 2, process)
        for word in ("skip_existing", "overwrite"):
            with pytest.raises(UsageError, match="another run is writing"):
                here(job(options={"delay": 0.3}, **{word: True}))
    finally:
        process.kill()
        process.communicate()
