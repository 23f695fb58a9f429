"""``--group-by`` and the summary over all inputs: one run, shards merged and --skip-existing give the same."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from fake_assay import ASSAY, FakeOptions, options_for, table, write_images

from cellscope.engine.assay import RunSummary
from cellscope.engine.predict.grouping import groups_of
from cellscope.engine.predict.merge import merge
from cellscope.engine.predict.plan import predict
from cellscope.errors import UsageError
from cellscope.io.inputs import Input


def inputs(*names, root="/data/plate7"):
    return [Input(Path(root) / name, name) for name in names]


def test_folder_is_the_folder_of_image_or_the_one_it_lies_in():
    assert groups_of(inputs("a.tif", "x/b.tif", "x/y/c.tif"), "folder") == {
        "a.tif": "plate7",
        "x/b.tif": "x",
        "x/y/c.tif": "x/y",
    }


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (["caseA_03.tif", "caseA_04.tif", "caseB 1.tif", "P12-07.tif"], ["caseA", "caseA", "caseB", "P12"]),
        (["03.tif", "late.tif"], ["plate7", "late"]),
        (["x/caseA_03.tif", "y/caseA_04.tif"], ["x", "y"]),
        (["x/caseA_03.tif", "x/caseB_04.tif"], ["caseA", "caseB"]),
    ],
    ids=["counter", "only a counter", "several folders", "one folder"],
)
def test_case(names, groups):
    assert list(groups_of(inputs(*names), "case").values()) == groups


def test_expression():
    found = groups_of(inputs("PC3_4Gy_p1.tif", "PC3_10Gy_p1.tif", "PC3_p1.tif"), r"_(\d+)Gy")
    assert list(found.values()) == ["4", "10", ""]


def test_table(tmp_path):
    (tmp_path / "wells.csv").write_text("well;image\nB2;x/a.tif\nB3;x/b.tif\nB3;x/b.tif\n")
    found = groups_of(inputs("x/a.tif", "x/b.tif", "x/c.tif"), f"{tmp_path / 'wells.csv'}:well")
    assert list(found.values()) == ["B2", "B3", ""]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("(a", "regular expression"),
        ("a", "0 groups and needs one"),
        ("(a)(b)", "2 groups and needs one"),
        ("(zzz)", "matches none of the images"),
        ("t.csv:dose", "no column dose"),
        ("t.csv:well", "names none of the images"),
        ("two.csv:well", "b.tif is listed twice, with well B2 and B3"),
        ("gone.csv:well", "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(tmp_path, monkeypatch, spec, words):
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("image,well\nother.tif,B2\n")
    Path("two.csv").write_text("image,well\nb.tif,B2\nb.tif,B3\n")
    with pytest.raises(UsageError, match=words):
        groups_of(inputs("b.tif"), spec)


def count_groups(images, objects, options, cards):
    """Objects per group, with something from the options and the models, so that both must arrive."""
    of = images.set_index("image")["group"] if "group" in images else pd.Series("all", index=images["image"])
    found = objects["image"].map(of).value_counts().sort_index()
    frame = pd.DataFrame({"cell_group": found.index, "n": found.to_numpy()})
    frame["threshold"] = options.threshold
    frame["classes"] = " ".join(cards["classify"].classes)
    artefacts = {"groups.png": np.full((4, 4, 3), 200, np.uint8), "groups.json": {"n": int(found.sum())}}
    return RunSummary({"groups": frame}, artefacts, ("groups.png",), ["made up"])


def stumble(images, objects, options, cards):
    raise ZeroDivisionError("nothing\nto divide")


GROUPED = dataclasses.replace(ASSAY, summarise=count_groups)


@pytest.fixture
def go(tmp_path, models):
    write_images(tmp_path / "in", 7, junk=(4,))

    def go(out="out", assay=GROUPED, **run):
        run = options_for(**{"group_by": r"a0([0-3])", **run})
        where = [str(tmp_path / "in")]
        return predict(assay, where, tmp_path / out, run=run, options=FakeOptions(), models=models, argv=["fake"]).code

    return go


def summary_of(out):
    return json.loads((out / "run.json").read_text())["summary"]


def test_one_run(tmp_path, go):
    assert go() == 3
    out = tmp_path / "out"
    images = table(out / "images.csv")
    assert list(images.columns[-5:]) == ["group", "familiarity", "unfamiliar", "read", "warnings"]
    assert images["group"].tolist() == ["0", "1", "2", "3", "", "", ""]
    # image k holds k % 4 objects; 4 is broken, 5 and 6 belong to no group
    groups = table(out / "groups.csv")
    assert groups.to_numpy().tolist() == [
        ["", "3", "0.5", "dim bright"],
        ["1", "1", "0.5", "dim bright"],
        ["2", "2", "0.5", "dim bright"],
        ["3", "3", "0.5", "dim bright"],
    ]
    assert summary_of(out)["files"] == ["groups.csv", "groups.png", "groups.json"]
    assert json.loads((out / "groups.json").read_text()) == {"n": 9}
    report = (out / "report.html").read_text()
    assert report.index("All inputs together") < report.index("a00.tif")
    assert "made up" in report
    assert "no group to 3 inputs, such as a04.tif" in report


def test_shards_and_skip_existing_give_what_one_run_gives(tmp_path, go):
    go("whole")
    for number in (1, 2):
        go("parts", shard=f"{number}/2")
    assert not list((tmp_path / "parts").rglob("groups.*"))  # a part of the inputs has no summary
    merge(tmp_path / "parts", GROUPED)
    shutil.move(tmp_path / "in" / "a06.tif", tmp_path)
    go("again", group_by=None)  # grouped otherwise, and one image fewer
    shutil.move(tmp_path / "a06.tif", tmp_path / "in")
    go("again", skip_existing=True)
    for other in ("parts", "again"):
        for name in ("groups.csv", "groups.json", "groups.png"):
            assert (tmp_path / other / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
        left, right = (table(tmp_path / out / "images.csv").drop(columns="seconds") for out in ("whole", other))
        pd.testing.assert_frame_equal(left, right)
        assert summary_of(tmp_path / other) == summary_of(tmp_path / "whole")


def test_shards_grouped_otherwise_do_not_merge(tmp_path, go):
    go(shard="1/2")
    go(shard="2/2", group_by="folder")
    with pytest.raises(UsageError, match="were grouped by"):
        merge(tmp_path / "out", GROUPED)


def test_without_groups_there_is_no_column_and_old_summaries_go(tmp_path, go):
    go()
    go(group_by=None, overwrite=True, assay=ASSAY)
    out = tmp_path / "out"
    assert "group" not in table(out / "images.csv")
    assert summary_of(out) == {"files": [], "figures": [], "warnings": []}
    assert not list(out.glob("groups.*"))


def test_a_summary_that_fails_costs_no_result(tmp_path, go):
    assert go(assay=dataclasses.replace(ASSAY, summarise=stumble)) == 3
    assert len(table(tmp_path / "out" / "objects.csv")) == 9
    assert "unexpected ZeroDivisionError: nothing to divide" in summary_of(tmp_path / "out")["warnings"][0]


def test_an_unknown_group_is_refused_before_any_work(tmp_path, go):
    with pytest.raises(UsageError, match="matches none"):
        go(group_by="(zzz)")
    assert not (tmp_path / "out").exists()


def test_no_object_at_all_is_still_a_frame_with_columns(tmp_path, models):
    """A run without objects still hands the assay a frame with the columns."""
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in" / "a00.tif", np.zeros((16, 16), np.uint8))
    seen = {}

    def look(images, objects, options, cards):
        seen.update(objects=objects, images=images)
        return RunSummary()

    assay = dataclasses.replace(ASSAY, summarise=look)
    run, where = options_for(), [str(tmp_path / "in")]
    assert predict(assay, where, tmp_path / "out", run=run, options=FakeOptions(), models=models, argv=[]).code == 0
    assert len(seen["objects"]) == 0
    assert list(seen["objects"])[:3] == ["image", "label", "class"]


def test_images_kept_from_other_inputs_are_grouped_as_the_rest(tmp_path, go):
    go(group_by="(a)0")
    (tmp_path / "in" / "a03.tif").unlink()
    go(skip_existing=True)
    rows = table(tmp_path / "out" / "images.csv").set_index("image")
    assert rows.loc["a03.tif", "group"] == "3"
