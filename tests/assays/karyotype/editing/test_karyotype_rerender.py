"""karyotype.json: written, read, changed, and drawn anew by ``cellscope karyotype render``."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image as Picture
from test_karyotype_editor import cell_document, of_class

from cellscope.assays.karyotype.cell.document import mask_runs, read_karyotype, runs_mask
from cellscope.assays.karyotype.editing import command
from cellscope.assays.karyotype.editing.edits import apply_edits
from cellscope.assays.karyotype.options import RenderOptions
from cellscope.cli.root import app
from cellscope.errors import EXIT_OK, EXIT_PARTIAL, EXIT_USAGE, InputError
from cellscope.io.write import write_json, write_png
from cellscope.options.common import RunOptions


@settings(max_examples=40, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_masks_come_back_as_they_were(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(runs_mask(mask_runs(mask), *mask.shape), mask)


def test_runs_by_hand() -> None:
    assert mask_runs(np.array([[0, 1, 1], [1, 0, 0]], bool)) == "1 3 2"
    assert mask_runs(np.ones((2, 2), bool)) == "0 4"
    with pytest.raises(ValueError, match="does not fill"):
        runs_mask("1 3", 2, 3)


@pytest.fixture(scope="module")
def made() -> tuple[np.ndarray, dict[str, Any]]:
    return cell_document()


@pytest.fixture
def document(made: tuple[np.ndarray, dict[str, Any]]) -> dict[str, Any]:
    return copy.deepcopy(made[1]) | {"image": "case7/cell_01.png"}


def chromosome(document: dict[str, Any], label: int) -> dict[str, Any]:
    return next(one for one in document["chromosomes"] if one["label"] == label)


def pixels_of(document: dict[str, Any], label: int) -> np.ndarray:
    one = chromosome(document, label)
    x0, y0, x1, y1 = one["bbox"]
    full = np.zeros((document["height"], document["width"]), bool)
    full[y0:y1, x0:x1] = runs_mask(one["mask"], y1 - y0, x1 - x0)
    return full


def test_a_cell_reads_back_as_it_was_written(document: dict[str, Any]) -> None:
    cell = read_karyotype(document, review_below=0.8)
    assert cell.counts == document["counts"]
    assert cell.iscn_draft == document["iscn_draft"] == "46,XY"
    assert cell.flags == document["flags"]
    assert [one.reasons for one in cell.chromosomes] == [one["reasons"] for one in document["chromosomes"]]
    assert len(cell.left_out) == 1


@pytest.mark.parametrize("said", ["class", "confirm", "add", "join", "split"])
def test_a_second_outline_keeps_the_class_that_a_person_gave(document: dict[str, Any], said: str) -> None:
    label, other = of_class(document, "10"), of_class(document, "12")
    x0, y0, x1, y1 = chromosome(document, label)["bbox"]
    points = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
    first: dict[str, dict[str, Any]] = {
        "class": {"label": label, "class": "3"},
        "confirm": {"label": label},
        "add": {"points": points, "class": "3"},
        "join": {"labels": [label, other], "class": "3"},
        "split": {"label": label, "line": [[x0, (y0 + y1) / 2], [x1, (y0 + y1) / 2]], "classes": ["3", "3"]},
    }
    at = 47 if said == "add" else label
    outline = {"do": "outline", "label": at, "points": points}
    changed = apply_edits({**document, "edits": [{"do": said, **first[said]}, outline, outline]})
    assert chromosome(changed, at)["class"] == ("10" if said == "confirm" else "3")


@pytest.mark.parametrize(("do", "known"), [("flip", True), ("turn", True), ("confirm", True), ("class", False)])
def test_what_says_nothing_of_a_class_leaves_the_probability(document: dict[str, Any], do: str, known: bool) -> None:
    edit = {"do": do, "label": of_class(document, "10"), "degrees": 5, "class": "3"}
    changed = apply_edits({**document, "probability": 0.8, "edits": [edit]})
    assert read_karyotype(changed, review_below=0.8).probability == (0.8 if known else None)


def test_join_and_split(document: dict[str, Any]) -> None:
    first, second = of_class(document, "10"), of_class(document, "12")
    joined = apply_edits({**document, "edits": [{"do": "join", "labels": [first, second], "class": "3"}]})
    np.testing.assert_array_equal(pixels_of(joined, first), pixels_of(document, first) | pixels_of(document, second))
    assert chromosome(joined, first)["class"] == "3"
    assert len(joined["chromosomes"]) == 45
    assert len(document["chromosomes"]) == 46  # the argument is left alone
    label = of_class(document, "1")
    x0, y0, x1, y1 = chromosome(document, label)["bbox"]
    middle = (y0 + y1) / 2 if y1 - y0 > x1 - x0 else (x0 + x1) / 2
    across = [[x0 - 3, middle], [x1 + 3, middle]] if y1 - y0 > x1 - x0 else [[middle, y0 - 3], [middle, y1 + 3]]
    cut = apply_edits({**document, "edits": [{"do": "split", "label": label, "line": across, "classes": ["21", None]}]})
    halves = pixels_of(cut, label), pixels_of(cut, 47)
    assert not (halves[0] & halves[1]).any()
    np.testing.assert_array_equal(halves[0] | halves[1], pixels_of(document, label))
    assert [chromosome(cut, one)["class"] for one in (label, 47)] == ["21", "unassigned"]
    assert cut["history"][-1]["do"] == "split"
    assert "edits" not in cut


def test_a_class_changed_by_hand_is_not_questioned_again(document: dict[str, Any]) -> None:
    label = of_class(document, "5")
    chromosome(document, label)["class"] = "4"
    [one] = [one for one in read_karyotype(document, review_below=0.8).chromosomes if one.label == label]
    assert (one.class_, one.review, one.confidence) == ("4", False, 1.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d["chromosomes"][0].update({"class": "25"}), "class '25' is not one of"),
        (lambda d: d["chromosomes"][0].update(label=2), "two chromosomes have the label 2"),
        (lambda d: d["chromosomes"][0].update(mask="3 4"), "chromosome 1: its mask does not fill its bbox"),
        (lambda d: d["chromosomes"][0].update(bbox=[0, 0, 9999, 5]), "chromosome 1: its bbox does not lie"),
        (lambda d: d["chromosomes"][0].pop("mask"), "chromosome 1: it has no 'mask'"),
        (lambda d: d.pop("height"), "it has no usable 'height'"),
        (lambda d: d.update(edits=[{"do": "melt"}]), "edit 1: do must be one of class, confirm, flip, turn, rem"),
        (lambda d: d.update(edits=[{"do": "remove", "label": 99}]), "edit 1 (remove): there is no 99"),
        (lambda d: d.update(edits=[{"do": "join", "labels": [1]}]), "edit 1 (join): labels must name two"),
        (
            lambda d: d.update(edits=[{"do": "split", "label": 1, "line": [[0, 0], [0, 1]]}]),
            "edit 1 (split): the line does not go through",
        ),
    ],
)
def test_what_cannot_be_is_said_in_one_line(document: dict[str, Any], change: Any, said: str) -> None:
    change(document)
    with pytest.raises(InputError) as caught:
        read_karyotype(apply_edits(document), review_below=0.8)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def case(tmp_path: Path, made: tuple[np.ndarray, dict[str, Any]], document: dict[str, Any]) -> Path:
    """Three cells of one case, two with a third 21, and their images elsewhere."""
    pixels, _ = made
    for number in (1, 2, 3):
        name = f"case7/cell_0{number}.png"
        (tmp_path / "images/case7").mkdir(parents=True, exist_ok=True)
        write_png(tmp_path / "images" / name, pixels)
        mine = copy.deepcopy(document) | {"image": name}
        if number < 3:
            chromosome(mine, of_class(mine, "5"))["class"] = "21"
        (tmp_path / "out/case7").mkdir(parents=True, exist_ok=True)
        write_json(tmp_path / "out" / name.replace(".png", ".karyotype.json"), mine)
    return tmp_path


def run(*arguments: object) -> int:
    words = ["karyotype", "render", *map(str, arguments), "-q", "--device", "cpu"]
    with pytest.raises(SystemExit) as stopped:
        app(words)
    return int(stopped.value.code or 0)


def test_a_folder_is_rendered_with_its_case(case: Path) -> None:
    options = ("--images", case / "images", "--group-by", "case", "--karyogram", "pdf", "--ideograms")
    assert run(case / "out", "-o", case / "new", *options) == EXIT_OK
    images = pd.read_csv(case / "new/images.csv")
    assert images["iscn_draft"].tolist() == ["46,XY,-5,+21"] * 2 + ["46,XY"]
    assert set(images["group"]) == {"cell"}  # one folder only: the name without its counter
    assert pd.read_csv(case / "new/cases.csv")["mosaic_draft"].tolist() == ["mos 47,XY,+21[2]/46,XY[1]"]
    stem = case / "new/case7/cell_01"
    with Picture.open(f"{stem}.karyogram.png") as page:
        assert page.size[0] == 2400
        assert round(page.info["dpi"][0]) == 300
    assert Path(f"{stem}.karyogram.pdf").read_bytes().startswith(b"%PDF")
    for ending in (".labels.tif", ".coco.json", ".overlay.png", ".karyotype.json"):
        assert Path(f"{stem}{ending}").is_file()
    record = json.loads((case / "new/run.json").read_text("utf-8"))
    assert record["command"] == "render"
    page_text = (case / "new/report.html").read_text("utf-8")
    assert "karyotype render" in page_text
    assert page_text.count('class="widget') == 3
    # What it wrote can be rendered once more: the images are found through run.json now.
    assert run(case / "new", "-o", case / "again") == EXIT_OK
    first, second = (
        json.loads((case / name / "case7/cell_01.karyotype.json").read_text()) for name in ("new", "again")
    )
    assert first == second


def test_of_copies_that_a_browser_saved_the_last_counts(
    case: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    planned: list[Any] = []
    monkeypatch.setattr(command, "predict", lambda *_, plan, **__: planned.extend(plan))
    monkeypatch.setattr(command, "render_assay", planned.append)
    first = case / "out/case7/cell_01.karyotype.json"
    changed = json.loads(first.read_text())
    changed["edits"] = [{"do": "remove", "label": 1}]
    for number, age in ((1, 20), (2, 10)):
        copy_ = first.with_name(f"cell_01.karyotype ({number}).json")
        write_json(copy_, changed if number == 2 else json.loads(first.read_text()))
        os.utime(copy_, (2e9 - age, 2e9 - age))
    write_json(case / "out/case7/cell_01.karyotype.other.json", {})
    options = RenderOptions(images=str(case / "images"))
    command.render([str(case / "out")], case / "new", run=RunOptions(), options=options, models=[], argv=[])
    documents, *plan = planned
    assert sorted(entry.image for entry in plan) == [f"case7/cell_0{number}.png" for number in (1, 2, 3)]
    assert documents["case7/cell_01.png"]["edits"] == changed["edits"]
    said = capsys.readouterr().err
    assert "cell_01.karyotype (2).json was saved last and is taken, not cell_01.karyotype" in said


def test_new_shapes_are_classified_and_marked(case: Path) -> None:
    path = case / "out/case7/cell_03.karyotype.json"
    changed = json.loads(path.read_text())
    pair = [of_class(changed, "10"), of_class(changed, "12")]
    changed["edits"] = [{"do": "join", "labels": pair}, {"do": "flip", "label": of_class(changed, "2")}]
    write_json(path, changed)
    assert run(path, "-o", case / "new", "--images", case / "images/case7/cell_03.png") == EXIT_OK
    drawn = json.loads((case / "new/case7/cell_03.karyotype.json").read_text())
    joined = chromosome(drawn, pair[0])
    assert joined["class"] in drawn["counts"]
    assert joined["class"] != "unassigned"
    assert (joined["review"], joined["reasons"]) == (True, ["a new shape, named by the classifier"])
    assert sum(joined["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert chromosome(drawn, of_class(changed, "2"))["short_arm_up"] is False
    assert [edit["do"] for edit in drawn["history"]] == ["join", "flip"]
    assert drawn["n_chromosomes"] == 45


def test_what_goes_wrong_has_one_line_and_the_right_code(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(case / "out", "-o", case / "new") == EXIT_USAGE
    assert "say where it is with --images" in capsys.readouterr().err
    assert run(case / "out", "-o", case / "new", "--images", case / "images", "--input", "chromosome") == EXIT_USAGE
    assert "no such option: --input" in capsys.readouterr().err
    write_json(case / "other.karyotype.json", {"schema": "x"})
    assert run(case / "other.karyotype.json", "-o", case / "new") == EXIT_USAGE
    assert "not a karyotype.json of" in capsys.readouterr().err
    damaged = case / "out/case7/cell_02.karyotype.json"
    changed = json.loads(damaged.read_text())
    changed["chromosomes"][0]["class"] = "99"
    write_json(damaged, changed)
    assert run(case / "out", "-o", case / "new", "--images", case / "images") == EXIT_PARTIAL
    assert "class '99' is not one of" in capsys.readouterr().err
    assert run(case / "out", "-o", case / "two", "--images", case / "images", "--shard", "1/2") == EXIT_USAGE
