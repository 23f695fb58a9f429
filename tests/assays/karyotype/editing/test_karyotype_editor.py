"""The report's editor in a real browser, against the same changes made in Python. Skipped where there is no browser."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn.karyotype import CLASSES, metaphase

from cellscope.assays.karyotype.assay import ASSAY
from cellscope.assays.karyotype.cell.choice import Plausible
from cellscope.assays.karyotype.cell.chromosomes import name_cell
from cellscope.assays.karyotype.cell.document import as_karyotype, read_karyotype
from cellscope.assays.karyotype.cell.iscn import draft_iscn
from cellscope.assays.karyotype.detect.detections import Detection
from cellscope.assays.karyotype.detect.inputs import METAPHASE
from cellscope.assays.karyotype.editing.edits import apply_edits
from cellscope.io.write import write_json, write_png
from cellscope.report.page import Card, render
from cellscope.report.widget import make_widget

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)

HOOK = """
const seen = {violations: [], errors: [], drafts: []};
let saved = null;
addEventListener("securitypolicyviolation", (event) => seen.violations.push(event.violatedDirective));
addEventListener("error", (event) => seen.errors.push(String(event.message)));
const makeAddress = URL.createObjectURL.bind(URL);
URL.createObjectURL = (blob) => { saved = blob; return makeAddress(blob); };
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
addEventListener("load", async () => {
  const one = (query) => document.querySelector(query);
  const all = (query) => [...document.querySelectorAll(query)];
  const place = one("details.widget");
  seen.built_before = all(".kar-one").length;
  place.open = true;
  for (let turn = 0; turn < 50 && !place.dataset.ready; turn++) await wait(50);
  const finish = (found) => { const out = document.createElement("output"); out.id = "seen"; out.textContent = JSON.stringify(found); document.body.append(out); };
  const first = sessionStorage.getItem("first");
  if (first) { finish({...JSON.parse(first), reloaded: one(".kar-status").textContent}); return; }
  const chromosome = (label) => one(`.kar-one[data-label="${label}"]`);
  const key = (element, name, more = {}) => element.dispatchEvent(new KeyboardEvent("keydown", {key: name, bubbles: true, cancelable: true, ...more}));
  const press = (text) => all(".kar-tools button").find((button) => button.textContent === text).click();
  const slotOf = (label) => chromosome(label)?.closest(".kar-slot").dataset.class ?? null;
  const draft = () => one(".kar-status").textContent.split(" · ")[0];
  seen.drawn = all(".kar-one").length;
  seen.filled = all(".kar-one canvas").every((canvas) => canvas.width > 3 && canvas.height > 3);
  seen.tabbable = all(".kar-one").filter((element) => element.tabIndex === 0).length;
  seen.drafts.push(draft());
  // by keyboard: go to the first chromosome, on to the next, select, flip
  const order = all(".kar-one").map((element) => Number(element.dataset.label));
  chromosome(order[0]).focus(); key(chromosome(order[0]), "ArrowRight");
  seen.moved = Number(document.activeElement.dataset.label) === order[1];
  chromosome(FLIP).focus(); key(chromosome(FLIP), " "); key(chromosome(FLIP), "f");
  seen.kept_focus = Number(document.activeElement.dataset.label) === FLIP;
  // the sex chromosomes of XY are as they should be; a right chromosome is confirmed, and the count goes down
  seen.odd = all(".kar-odd").map((element) => element.dataset.class);
  const waiting = () => Number(one(".kar-status").textContent.match(/(\\d+) to review/)[1]);
  seen.waiting = [waiting()];
  chromosome(CONFIRM).focus(); chromosome(CONFIRM).click(); key(chromosome(CONFIRM), "Enter"); seen.waiting.push(waiting());
  chromosome(CONFIRM).focus();
  // class by the list
  chromosome(RENAME).click();
  const list = one(".kar-tools select"); list.value = "21"; list.dispatchEvent(new Event("change"));
  seen.renamed = slotOf(RENAME); seen.drafts.push(draft());
  // remove, take back, remove again
  chromosome(REMOVE).focus(); chromosome(REMOVE).click(); key(chromosome(REMOVE), "Delete");
  seen.removed = chromosome(REMOVE) === null; seen.drafts.push(draft());
  press("Undo"); seen.undone = slotOf(REMOVE); seen.drafts.push(draft());
  press("Redo"); seen.redone = chromosome(REMOVE) === null;
  // join two
  chromosome(JOIN[0]).click(); chromosome(JOIN[1]).dispatchEvent(new MouseEvent("click", {bubbles: true, ctrlKey: true}));
  press("Join"); seen.joined = [slotOf(JOIN[0]), slotOf(JOIN[1])];
  // split by keyboard: the line across the middle, moved and turned a little
  chromosome(SPLIT).focus(); chromosome(SPLIT).click(); key(chromosome(SPLIT), "s");
  const spread = one(".kar-spread");
  seen.splitting = document.activeElement === spread;
  key(spread, "ArrowUp"); key(spread, "."); key(spread, "Enter");
  seen.pieces = slotOf(SPLIT);
  seen.drafts.push(draft());
  // a left-out object comes back
  one(".kar-left").click(); seen.drafts.push(draft());
  const ground = () => getComputedStyle(document.body).backgroundColor;
  const before = ground(); one("#theme").click(); seen.theme = before !== ground();
  seen.paper = getComputedStyle(one(".kar-board")).backgroundColor;
  seen.overflow = document.documentElement.scrollWidth > innerWidth;
  press("Save karyotype.json");
  // the wheel comes closer, and the names grow with it
  const canvas = one(".kar-spread"), box = canvas.getBoundingClientRect(), picture = () => canvas.toDataURL();
  const far = picture();
  canvas.dispatchEvent(new WheelEvent("wheel", {deltaY: -400, clientX: box.left + box.width / 2, clientY: box.top + box.height / 2, bubbles: true, cancelable: true}));
  seen.closer = picture() !== far;
  seen.kept = Object.entries(localStorage).filter(([name]) => name.startsWith("cellscope ")).map(([, value]) => JSON.parse(value).map((edit) => edit.do));
  seen.saved = JSON.parse(await saved.text());
  seen.name = one(".kar-status").textContent.match(/Saved as (\\S+?)\\.$/)?.[1];
  seen.requests = performance.getEntriesByType("resource").map((entry) => entry.name).filter((name) => !/^(data|blob):/.test(name));
  seen.status = one(".kar-status").textContent;
  sessionStorage.setItem("first", JSON.stringify(seen));
  location.reload();
});
"""  # noqa: E501 - one statement a line


def cell_document(seed: int = 5) -> tuple[np.ndarray, dict[str, Any]]:
    """A generated metaphase and its karyotype.json, with one object left out."""
    made = metaphase(seed, crossing=0, touching=0)
    found = [
        Detection(box.astype(int), mask[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])], 0.95)
        for mask, box in zip(made.masks, made.boxes, strict=True)
    ]
    found.append(Detection(found[0].bbox, found[0].mask, 0.3))
    scores = np.full((47, 24), np.log(0.01 / 23))
    scores[np.arange(47), [CLASSES.index(name) for name in [*made.classes, made.classes[0]]]] = np.log(0.99)
    cell = name_cell(
        found, scores, None, shape=made.pixels.shape[:2], bright_on_dark=not made.inverted, assign=True,
        aneuploidy_cost=3.0, review_below=0.8, plausible=Plausible(np.array([3.0] * 46 + [-1.0])),
    )  # fmt: skip
    document = json.loads(json.dumps(as_karyotype(cell, "day1/cell </script>.tif")))
    next(one for one in document["chromosomes"] if one["class"] == "8")["review"] = True
    return made.pixels, document


def of_class(document: dict[str, Any], name: str) -> int:
    return next(one["label"] for one in document["chromosomes"] if one["class"] == name)


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any], dict[str, int]]:
    if BROWSER is None:
        pytest.skip("no Chromium found")
    folder = tmp_path_factory.mktemp("editor")
    pixels, document = cell_document()
    write_png(folder / "cell.png", pixels)
    write_json(folder / "cell.karyotype.json", document)
    about = ASSAY.editors[METAPHASE]
    widget = make_widget(
        package=about.package, script=about.script, style=about.style, title=about.title,
        document=folder / "cell.karyotype.json", picture=folder / "cell.png",
    )  # fmt: skip
    text = render(title="editor", cards=[Card("cell", anchor="cell", widget=widget)], folder=folder)
    labels = {
        name: of_class(document, known)
        for name, known in zip(("FLIP", "RENAME", "REMOVE", "SPLIT", "CONFIRM"), "35748", strict=True)
    }
    joined = [of_class(document, "10"), of_class(document, "12")]
    constants = "".join(f"const {name} = {label};" for name, label in labels.items()) + f"const JOIN = {joined};"
    hook = constants + HOOK
    digest = base64.b64encode(hashlib.sha256(hook.encode()).digest()).decode()
    text = text.replace("script-src '", f"script-src 'sha256-{digest}' '", 1)
    text = text.replace("</style>", f"</style><script>{hook}</script>", 1)
    (folder / "report.html").write_text(text, encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
             "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
             "--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=1100,900",
             f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=8000", "--dump-dom"]  # fmt: skip
    done = subprocess.run(
        [BROWSER, *flags, (folder / "report.html").as_uri()], capture_output=True, text=True, timeout=180, check=False
    )
    found = re.search(r'<output id="seen">(.*?)</output>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found.group(1))), document, labels | {"JOIN": joined}


def test_nothing_is_refused_or_broken_and_nothing_is_built_before_it_is_opened(edited: Any) -> None:
    seen, _, _ = edited
    assert seen["violations"] == seen["errors"] == seen["requests"] == []
    assert seen["built_before"] == 0
    assert seen["drawn"] == 46
    assert seen["filled"]
    assert not seen["overflow"]


def test_it_can_be_used_by_keyboard_and_in_both_themes(edited: Any) -> None:
    seen, _, _ = edited
    assert seen["tabbable"] == 1  # one stop for the tabulator; arrows do the rest
    assert seen["moved"]
    assert seen["kept_focus"]
    assert seen["splitting"]
    assert seen["theme"]
    assert seen["paper"] == "rgb(255, 255, 255)"


def test_each_change_shows_at_once(edited: Any) -> None:
    seen, _, _ = edited
    assert seen["renamed"] == "21"
    assert seen["removed"]
    assert seen["undone"] == "7"
    assert seen["redone"]
    assert seen["joined"] == ["unassigned", None]
    assert seen["pieces"] == "unassigned"
    assert seen["drafts"] == [
        "draft 46,XY", "draft 46,XY,-5,+21", "draft 45,XY,-5,-7,+21", "draft 46,XY,-5,+21",
        "draft 45,XY,inc", "draft 46,XY,inc",
    ]  # fmt: skip


def test_a_right_chromosome_is_confirmed_and_work_is_kept(edited: Any) -> None:
    seen, _, _ = edited
    assert seen["odd"] == []  # X and Y of 46,XY
    first, second = seen["waiting"]
    assert second == first - 1
    assert seen["closer"]
    assert "what you did earlier is here" in seen["reloaded"]
    assert seen["reloaded"].split(" · ")[:3] == seen["status"].split(" · ")[:3]  # draft, count, to review
    [kept] = seen["kept"]
    assert kept == [edit["do"] for edit in seen["saved"]["history"]]


def test_the_saved_file_is_what_python_makes_of_the_same_changes(edited: Any) -> None:
    seen, document, labels = edited
    saved = seen["saved"]
    assert seen["name"] == "script>.karyotype.json"  # of the last part of a malicious name
    assert Path(saved.pop("source")).name == "cell.png"
    ours = apply_edits({**document, "edits": [edit for edit in saved["history"] if edit["do"] != "restore"]})
    theirs = {one["label"]: one for one in saved["chromosomes"]}
    assert [edit["do"] for edit in saved["history"]] == [
        "flip",
        "confirm",
        "class",
        "remove",
        "join",
        "split",
        "restore",
    ]
    for one in ours["chromosomes"]:
        other = theirs.pop(one["label"])
        for name in ("class", "bbox", "mask", "area", "short_arm_up", "edited"):
            assert one.get(name) == other.get(name), (one["label"], name)
        assert other["angle_degrees"] == pytest.approx(one["angle_degrees"], abs=0.1)
    [back] = theirs.values()  # the object that was left out
    assert back["mask"] == document["left_out"][0]["mask"]
    assert saved["left_out"] == []
    assert saved["iscn_draft"] == draft_iscn([one["class"] for one in saved["chromosomes"]])
    cell = read_karyotype(saved, review_below=0.8)
    assert {name: count for name, count in cell.counts.items() if count} == {
        name: count for name, count in saved["counts"].items() if count
    }
    assert next(c for c in cell.chromosomes if c.label == labels["FLIP"]).short_arm_up is False
