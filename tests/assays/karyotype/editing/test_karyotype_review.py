"""``cellscope review`` of karyotypes, asked as the page asks: what is saved, written, refused and taken back."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import tifffile
from drawn.reviewing import TOKEN, Served, serving
from test_karyotype_editor import cell_document, of_class

from cellscope.assays.karyotype.cell.document import runs_mask
from cellscope.assays.karyotype.editing.edits import apply_edits
from cellscope.cli.root import app
from cellscope.errors import EXIT_USAGE, UsageError
from cellscope.io.corrections import read_corrections
from cellscope.io.write import write_json, write_png
from cellscope.review.room import Room


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        app(list(map(str, words)))
    return int(stopped.value.code or 0)


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two cells of one case."""
    folder = tmp_path_factory.mktemp("review")
    pixels, document = cell_document()
    for number in (1, 2):
        name = f"case7/cell_0{number}.png"
        (folder / "images/case7").mkdir(parents=True, exist_ok=True)
        write_png(folder / "images" / name, pixels)
        (folder / "found/case7").mkdir(parents=True, exist_ok=True)
        write_json(folder / "found" / name.replace(".png", ".karyotype.json"), document | {"image": name})
    words = ("--images", folder / "images", "--group-by", "case", "-q", "--device", "cpu")
    assert run("karyotype", "render", folder / "found", "-o", folder / "out", *words) == 0
    return folder / "out"


@pytest.fixture
def out(rendered: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(rendered, tmp_path / "out"))


@pytest.fixture
def served(out: Path) -> Iterator[Served]:
    with serving(out) as found:
        yield found


def digests(out: Path) -> dict[str, str]:
    files = [path for path in out.rglob("*") if path.is_file() and "corrections" not in path.relative_to(out).parts]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def labelled(out: Path, class_: str) -> int:
    return of_class(json.loads((out / "case7/cell_01.karyotype.json").read_text()), class_)


def document_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "corrections/case7/cell_01.karyotype.json").read_text("utf-8"))


def test_a_change_is_written_at_once_beside_the_originals(served: Served, out: Path) -> None:
    before = digests(out)
    overview = served.get("api/run")
    assert [one["image"] for one in overview["images"]] == ["case7/cell_01.png", "case7/cell_02.png"]
    shown = served.edit(0, do="class", label=labelled(out, "5"), **{"class": "21"})
    assert ("draft", "46,XY,-5,+21") in [tuple(fact) for fact in shown["facts"]]
    assert read_corrections(out)["case7/cell_01.png"].edits[0]["who"] == "Ada"  # on the disk before the answer
    served.settle()
    corrected = out / "corrections"
    for ending in (".karyogram.png", ".overlay.png", ".labels.tif", ".coco.json", ".karyotype.json"):
        assert (corrected / f"case7/cell_01{ending}").is_file()
        assert not (corrected / f"case7/cell_02{ending}").exists()  # untouched: the original stands
    assert document_of(out)["iscn_draft"] == "46,XY,-5,+21"
    assert {"do", "who", "when"} <= set(document_of(out)["history"][-1])
    images = pd.read_csv(corrected / "images.csv")
    assert images["iscn_draft"].tolist() == ["46,XY,-5,+21", "46,XY"]
    assert images["corrected"].tolist() == [True, False]
    reads = {"dtype": {"reasons": str}, "keep_default_na": False}
    objects, original = (pd.read_csv(folder / "objects.csv", **reads) for folder in (corrected, out))
    ours = objects[objects["image"] == "case7/cell_01.png"]
    assert ours["label"][ours["corrected"]].tolist() == [labelled(out, "5")]
    assert objects.columns[-1] == "corrected"
    names = [name for name in original.columns if name != "corrected"]
    assert objects.columns.tolist()[: len(names)] == names
    other = original["image"] == "case7/cell_02.png"
    pd.testing.assert_frame_equal(
        original.loc[other, names], objects.loc[objects["image"] == "case7/cell_02.png", names]
    )
    assert pd.read_csv(corrected / "changes.csv")["change"].astype(str).tolist() == ["-5", "21"]  # over the case, too
    assert digests(out) == before


def test_undo_and_redo_also_after_a_restart(out: Path) -> None:
    label = labelled(out, "5")
    with serving(out) as served:
        served.edit(0, do="class", label=label, **{"class": "21"})
        served.edit(0, do="remove", label=labelled(out, "Y"))
        assert served.send(0, undo=True).json()["can_redo"]
    with serving(out, who="Bob") as served:
        shown = served.get("api/image/0")
        assert [one["do"] for one in shown["history"]] == ["class"]
        assert len(shown["objects"]) == 46
        assert len(served.send(0, redo=True).json()["objects"]) == 45
        served.send(0, undo=True)
        shown = served.send(0, undo=True).json()
        assert not shown["can_undo"]
        served.settle()
        assert not (out / "corrections/case7/cell_01.karyotype.json").exists()  # nothing is corrected any more
        assert pd.read_csv(out / "corrections/images.csv")["corrected"].tolist() == [False, False]


def test_a_killed_review_loses_nothing_and_writes_what_it_had_not(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cellscope.review.writer import Writer

    with monkeypatch.context() as patched:
        patched.setattr(Writer, "_work", lambda self: None)  # killed before it wrote anything but the log
        patched.setattr(Writer, "close", lambda self: None)
        with serving(out) as served:
            served.edit(0, do="remove", label=labelled(out, "Y"))
    with (out / "corrections/log.jsonl").open("ab") as log:
        log.write(b'{"image": "case7/cell_01.png", "edit": {"do": "rem')  # cut short
    with serving(out) as served:
        assert len(served.get("api/image/0")["objects"]) == 45
        served.settle()
        assert document_of(out)["n_chromosomes"] == 45


def test_what_a_person_saw_right_is_confirmed_until_nothing_is_left(served: Served, out: Path) -> None:
    label = labelled(out, "7")
    served.edit(0, do="join", labels=[labelled(out, "10"), labelled(out, "12")])
    shown, seen = served.get("api/image/0"), set()
    for _ in range(6):
        waiting = [one["label"] for one in shown["objects"] if one["review"] and one["label"] not in seen]
        if not waiting:
            break
        assert seen or labelled(out, "10") in waiting  # a new shape, named by the classifier
        seen |= set(waiting)
        shown = served.edit(0, do="confirm", labels=waiting)  # others may become doubtful beside what is fixed now
    assert [one for one in shown["objects"] if one["review"] and not any("cut off" in r for r in one["reasons"])] == []
    assert {one["label"] for one in shown["objects"] if one["corrected"]} == seen
    shown = served.edit(0, do="confirm", label=label)
    assert next(one for one in shown["objects"] if one["label"] == label)["class"] == "7"


def test_a_missed_chromosome_is_added_by_a_click_named_and_counted(served: Served, out: Path) -> None:
    label = labelled(out, "13")
    entry = next(one for one in json.loads((out / "case7/cell_01.karyotype.json").read_text())["chromosomes"]
                 if one["label"] == label)  # fmt: skip
    x0, y0, x1, y1 = entry["bbox"]
    truth = runs_mask(entry["mask"], y1 - y0, x1 - x0)
    rows, columns = np.nonzero(truth)
    middle = len(rows) // 2
    served.edit(0, do="remove", label=label)
    shown = served.edit(0, do="add", point=[float(columns[middle] + x0 + 0.5), float(rows[middle] + y0 + 0.5)])
    made = max(one["label"] for one in shown["objects"])
    assert len(shown["objects"]) == 46
    served.settle()
    added = next(one for one in document_of(out)["chromosomes"] if one["label"] == made)
    full, found = np.zeros((2, document_of(out)["height"], document_of(out)["width"]), bool)
    full[y0:y1, x0:x1] = truth
    a0, b0, a1, b1 = added["bbox"]
    found[b0:b1, a0:a1] = runs_mask(added["mask"], b1 - b0, a1 - a0)
    assert (full & found).sum() / (full | found).sum() > 0.6
    assert added["reasons"][0] == "a new shape, named by the classifier"
    assert "points" in read_corrections(out)["case7/cell_01.png"].edits[1]  # the outline is logged, not the click
    table = pd.read_csv(out / "corrections/objects.csv")
    assert table.loc[(table["image"] == "case7/cell_01.png") & (table["label"] == made), "corrected"].tolist() == [True]
    refused = served.send(0, edit={"do": "add", "point": [1.0, 1.0]})
    assert refused.status_code == 422
    assert "nothing" not in refused.text
    assert "no chromosome stands out there" in refused.json()["error"]


def test_crossing_chromosomes_share_pixels(served: Served, out: Path) -> None:
    x, y = 100, 100
    across = [[x - 20, y - 4], [x + 20, y - 4], [x + 20, y + 4], [x - 20, y + 4]]
    along = [[b, a] for a, b in across]
    first = served.edit(0, do="add", points=across, **{"class": "8"})
    second = served.edit(0, do="add", points=along, **{"class": "9"})
    served.settle()
    made = {max(one["label"] for one in shown["objects"]) for shown in (first, second)}
    annotations = {
        one["id"]: one for one in json.loads((out / "corrections/case7/cell_01.coco.json").read_text())["annotations"]
    }
    from pycocotools import mask as rle

    one, other = (rle.decode(annotations[label]["segmentation"]).astype(bool) for label in sorted(made))
    assert one.sum() == other.sum() == 40 * 8
    assert (one & other).sum() == 64


def test_turning_and_flipping_change_the_picture_only(served: Served, out: Path) -> None:
    label = labelled(out, "2")
    before = next(one for one in served.get("api/image/0")["objects"] if one["label"] == label)
    turned = next(o for o in served.edit(0, do="turn", label=label, degrees=90)["objects"] if o["label"] == label)
    assert turned["size"][0] == pytest.approx(before["size"][1], abs=4)
    assert turned["size"][1] == pytest.approx(before["size"][0], abs=4)
    flipped = next(o for o in served.edit(0, do="flip", label=label)["objects"] if o["label"] == label)
    assert flipped["view"] != turned["view"]
    assert (flipped["class"], flipped["review"]) == (before["class"], before["review"])
    before, after = (served.client.get(f"api/image/{number}/sheet.pdf") for number in (1, 0))
    assert (before.content[:5], after.content[:5]) == (b"%PDF-", b"%PDF-")
    assert before.content != after.content
    assert "cell_01.karyogram.pdf" in after.headers["content-disposition"]
    served.settle()
    written = next(one for one in document_of(out)["chromosomes"] if one["label"] == label)
    assert written["turned_degrees"] == 90


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"do": "melt"}, "do must be one of"),
        ({"do": "remove", "label": 99}, "there is no 99"),
        ({"do": "class", "label": 1, "class": "25"}, "class '25' is not one of"),
        ({"do": "add", "points": [[0, 0], [1, 1]]}, "at least three points"),
        ({"do": "add", "points": [[-9, -9], [-5, -9], [-5, -5]]}, "lies outside the image"),
        ({"do": "restore", "index": 7}, "there is no 7"),
        ({"do": "split", "label": 1, "line": [[0, 0], [0, 1]]}, "does not go through"),
    ],
)
def test_what_cannot_be_changes_nothing(served: Served, out: Path, edit: dict[str, Any], said: str) -> None:
    answer = served.send(0, edit=edit)
    assert answer.status_code == 422
    assert said in answer.json()["error"]
    assert "case7/cell_01.png" not in read_corrections(out)


def test_two_tabs_do_not_overwrite_one_another(served: Served, out: Path) -> None:
    label = labelled(out, "3")
    served.edit(0, do="remove", label=label)
    late = served.client.post("api/image/0", json={"revision": 0, "edit": {"do": "flip", "label": label}})
    assert late.status_code == 409
    assert late.json()["stale"]
    assert read_corrections(out)["case7/cell_01.png"].revision == 1


def test_progress_is_what_people_said(served: Served, out: Path) -> None:
    assert served.send(1, reviewed=True).status_code == 200
    overview = served.get("api/run")
    assert overview["reviewed"] == 1
    assert [one["reviewed"] for one in overview["images"]] == [False, True]
    served.settle()
    images = pd.read_csv(out / "corrections/images.csv")
    assert images["reviewed"].tolist() == [False, True]
    assert images["corrected"].tolist() == [False, False]


def test_the_second_person_is_told_who_is_first(served: Served, out: Path) -> None:
    served.room.announce("127.0.0.1:1")
    with pytest.raises(UsageError, match="is being reviewed by Ada since"):
        Room(out, images=None, who="Bob", argv=[])


def test_corrections_of_another_run_are_not_applied(out: Path) -> None:
    with serving(out) as served:
        served.edit(0, do="remove", label=labelled(out, "Y"))
    record = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps(record | {"finished": "later"}))
    with pytest.raises(UsageError, match="corrections of an earlier run"):
        Room(out, images=None, who="", argv=[])


def test_only_the_page_itself_may_ask(served: Served, out: Path) -> None:
    root = served.address.removesuffix(f"{TOKEN}/")
    edit = {"revision": 0, "edit": {"do": "remove", "label": labelled(out, "Y")}}
    with httpx.Client() as client:
        assert client.get(f"{root}wrong/api/run").status_code == 403
        assert client.get(root).status_code == 403
        assert client.get(f"{served.address}api/run", headers={"Host": "evil.example"}).status_code == 403
        assert client.get(f"{served.address}api/run", headers={"Host": "localhost:99"}).status_code == 200  # a tunnel
        assert client.post(f"{served.address}api/image/0", json=edit).status_code == 403  # no Origin
        other = {"Origin": "http://evil.example"}
        assert client.post(f"{served.address}api/image/0", json=edit, headers=other).status_code == 403
        own = {"Origin": root.rstrip("/"), "Content-Type": "text/plain"}  # what a form of another page could send
        assert client.post(f"{served.address}api/image/0", content=json.dumps(edit), headers=own).status_code == 400
        for path in ("page/../room.py", "page/%2e%2e%2froom.py", "api/image/0/file/..%2f..%2frun.json", "page/room.py"):
            assert client.get(f"{served.address}{path}").status_code in (404, 422)
        page = client.get(served.address)
        assert "default-src 'none'" in page.headers["content-security-policy"]
    assert read_corrections(out) == {}


def test_what_cannot_be_reviewed_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("review", tmp_path / "none", "--no-browser") == EXIT_USAGE
    assert "is not a folder" in capsys.readouterr().err
    assert run("review", tmp_path, "--no-browser") == EXIT_USAGE
    assert "holds no finished run" in capsys.readouterr().err


def test_a_missing_package_is_named_with_the_command(
    out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "uvicorn" else find(name, *more)
    )
    assert run("review", out, "--no-browser") == EXIT_USAGE
    assert "pip install 'cellscope[review]'" in capsys.readouterr().err


def test_a_curve_cuts_where_it_is_drawn() -> None:
    from cellscope.imaging.pieces import split_mask

    mask = np.ones((20, 30), bool)
    curve = np.array([[-1, 5], [10, 5], [15, 15], [31, 15]], float)
    left, right = split_mask(mask, curve, smallest=4)
    assert not (left & right).any()
    assert (left | right).all()
    upper = left if left[0, 0] else right
    assert upper[:4, :5].all()
    assert upper[:14, 20:].all()
    assert not upper[7:, :8].any()
    again = copy.deepcopy(curve)[::-1]
    np.testing.assert_array_equal(split_mask(mask, again, smallest=4)[0], right)  # left and right change places
    with pytest.raises(ValueError, match="does not go through"):
        split_mask(mask, np.array([[5, 5], [8, 8], [10, 5]], float), smallest=4)


def test_render_takes_the_corrected_cell(out: Path, tmp_path: Path) -> None:
    with serving(out) as served:
        served.edit(0, do="remove", label=labelled(out, "Y"))
        served.settle()
    assert run("karyotype", "render", out, "-o", tmp_path / "again", "-q", "--device", "cpu") == 0
    images = pd.read_csv(tmp_path / "again/images.csv").set_index("image")["n_chromosomes"]
    assert images.to_dict() == {"case7/cell_01.png": 45, "case7/cell_02.png": 46}


def test_the_label_image_and_the_tables_agree(served: Served, out: Path) -> None:
    served.edit(0, do="remove", label=labelled(out, "Y"))
    served.settle()
    labels = tifffile.imread(out / "corrections/case7/cell_01.labels.tif")
    table = pd.read_csv(out / "corrections/objects.csv")
    listed = set(table.loc[table["image"] == "case7/cell_01.png", "label"])
    assert set(np.unique(labels)) - {0} <= listed
    assert labelled(out, "Y") not in listed


def outline_of(out: Path, label: int) -> list[list[int]]:
    document = json.loads((out / "case7/cell_01.karyotype.json").read_text("utf-8"))
    x0, y0, x1, y1 = next(one["bbox"] for one in document["chromosomes"] if one["label"] == label)
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def test_a_new_shape_that_a_person_calls_unassigned_stays_so(served: Served, out: Path) -> None:
    label = labelled(out, "5")
    served.edit(0, do="outline", label=label, points=outline_of(out, label))
    for _ in range(2):  # the second one is made beside the first
        shown = served.edit(0, do="class", label=label, **{"class": "unassigned"})
        one = next(one for one in shown["objects"] if one["label"] == label)
        assert (one["class"], one["review"]) == ("unassigned", True)


def test_a_document_of_the_editor_in_the_place_of_the_original_can_be_corrected(out: Path) -> None:
    """It holds shapes that no network has seen yet."""
    path = out / "case7/cell_01.karyotype.json"
    label, other = labelled(out, "5"), labelled(out, "7")
    edit = {"do": "outline", "label": label, "points": outline_of(out, label)}
    path.write_text(json.dumps(apply_edits(json.loads(path.read_text("utf-8")) | {"edits": [edit]})), "utf-8")
    with serving(out) as served:
        shown = served.edit(0, do="class", label=other, **{"class": "8"})
    classes = {one["label"]: one["class"] for one in shown["objects"]}
    assert classes[other] == "8"
    assert classes[label] != "unassigned"


def test_what_is_shown_is_of_one_moment(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that comes while an image is worked out does not lend its revision to what was before it."""
    with serving(out) as served:
        show, label = served.room.corrector.show, labelled(out, "5")
        changes: list[Thread] = []

        def slow(image: str, edits: Any) -> Any:
            found = show(image, list(edits))
            if not changes:
                what = {"edit": {"do": "class", "label": label, "class": "21"}}
                changes.append(Thread(target=served.room.change, args=(0, 0, what)))
                changes[0].start()
                changes[0].join(10)
            return found

        monkeypatch.setattr(served.room.corrector, "show", slow)
        before = served.get("api/image/0")
        changes[0].join()
        after = served.get("api/image/0")
    assert (before["revision"], before["can_undo"], before["line"]["corrected"]) == (0, False, 0)
    assert (after["revision"], after["can_undo"]) == (1, True)
