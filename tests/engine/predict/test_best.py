"""``best``: what is kept of the best inputs, of the others, of failed ones; in one run and in shards."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest
from contract_check import check
from fake_assay import ASSAY, FakeOptions, options_for, table, write_images

from cellscope.engine.assay import Ranking
from cellscope.engine.predict.merge import merge
from cellscope.engine.predict.plan import predict
from cellscope.errors import UsageError


@dataclass(frozen=True)
class BestOptions(FakeOptions):
    best: int | None = None


RANKED = replace(
    ASSAY,
    summary_columns=("brightest", "flags"),
    ranking=Ranking(by="brightest", columns=("brightest",), said_in="flags"),
)


@pytest.fixture
def go(tmp_path, models):
    def run(out="out", best=None, **run):
        return predict(
            RANKED, [str(tmp_path / "in")], tmp_path / out, run=options_for(**run), options=BestOptions(best=best),
            models=models, argv=["fake"],
        )  # fmt: skip

    return run


def left_out(out):
    rows = table(out / "images.csv")
    return rows[rows["flags"] == "not_chosen"]


def test_the_others_keep_a_row_and_nothing_else(tmp_path, go):
    write_images(tmp_path / "in", 7, junk=(2,))
    go("all")
    every = table(tmp_path / "all" / "images.csv").set_index("image")
    assert go(best=2).code == 3
    out = tmp_path / "out"
    assert check("fake", out) == []
    rows = table(out / "images.csv").set_index("image")
    ranked = every["brightest"][every["status"] == "ok"].astype(float).sort_values(ascending=False, kind="stable")
    others = rows.loc[ranked.index[2:]]
    assert list(rows.index) == list(every.index)
    assert set(others["flags"]) == {"not_chosen"}
    assert set(others["kind"]) == {""}
    assert list(others["brightest"].astype(float)) == list(ranked[2:])
    assert set(table(out / "objects.csv")["image"]) | set(ranked.index[2:]) >= set(ranked.index)
    assert not set(table(out / "objects.csv")["image"]) & set(ranked.index[2:])
    files = {path.name.split(".")[0] + ".tif" for path in out.glob("*.png")}
    assert files == set(ranked.index[:2])
    about = json.loads((out / "run.json").read_text())
    assert about["counts"]["not_chosen"] == len(ranked) - 2
    assert about["counts"]["failed"] == 1
    assert "not_chosen" not in json.loads((tmp_path / "all" / "run.json").read_text())["counts"]


def test_of_each_group_the_best(tmp_path, go):
    write_images(tmp_path / "in" / "day1", 4)
    write_images(tmp_path / "in" / "day2", 3, seed=5)
    go(best=1, group_by="folder")
    rows = table(tmp_path / "out" / "images.csv")
    chosen = rows[rows["flags"] != "not_chosen"]
    assert list(chosen["group"]) == ["day1", "day2"]


def test_shards_choose_when_they_are_merged(tmp_path, go):
    write_images(tmp_path / "in", 6)
    go("one", best=2)
    for number in (1, 2):
        go(best=2, shard=f"{number}/2")
        assert left_out(tmp_path / "out" / "shards" / f"{number}-of-2").empty
    out = tmp_path / "out"
    assert merge(out, RANKED)["counts"]["not_chosen"] == 4
    assert check("fake", out) == []
    assert (out / "objects.csv").read_text() == (tmp_path / "one" / "objects.csv").read_text()
    names = [sorted(path.name for path in folder.glob("*.tif")) for folder in (out, tmp_path / "one")]
    assert names[0] == names[1]
    assert all(not (out / name).exists() for image in left_out(out)["image"] for name in (f"{image[:-4]}.labels.tif",))


def test_resumed_it_chooses_again_and_never_otherwise(tmp_path, go):
    write_images(tmp_path / "in", 5)
    go(best=2)
    before = (tmp_path / "out" / "objects.csv").read_text()
    chosen = set(table(tmp_path / "out" / "objects.csv")["image"])
    go(best=2, skip_existing=True)
    assert (tmp_path / "out" / "objects.csv").read_text() == before
    with pytest.raises(UsageError, match="best is 3 here and 2 there"):
        go(best=3, skip_existing=True)
    for image in chosen:
        (tmp_path / "in" / image).unlink()
    go(best=2, overwrite=True)
    assert not chosen & set(table(tmp_path / "out" / "objects.csv")["image"])


def test_a_run_without_groups_does_not_choose_by_those_of_an_earlier_one(tmp_path, go):
    write_images(tmp_path / "in" / "day1", 4)
    write_images(tmp_path / "in" / "day2", 3, seed=5)
    go(best=4, group_by="folder")
    go("fresh", best=4)
    go(best=4, skip_existing=True)
    assert list(left_out(tmp_path / "out")["image"]) == list(left_out(tmp_path / "fresh")["image"])
    assert len(left_out(tmp_path / "fresh")) == 3
