"""The review gallery: gathered from artefacts, and worked in a real browser: sorted, decided, saved as CSV."""

import csv
import html
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from cellscope.report.gallery import Gallery, read_galleries
from cellscope.report.page import render
from cellscope.report.thumbnails import encode

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)

HOOK = """
const seen = {violations: [], saved: []};
addEventListener("securitypolicyviolation", (event) => seen.violations.push(event.violatedDirective));
URL.createObjectURL = (blob) => { seen.blob = blob; return "data:text/csv,"; };
addEventListener("load", async () => {
  const one = (query) => document.querySelector(query);
  const cells = () => [...document.querySelectorAll(".cell")].filter((cell) => !cell.hidden);
  const order = () => cells().map((cell) => cell.dataset.label);
  const choose = (value) => { one("#gallery-sort").value = value; one("#gallery-sort").dispatchEvent(new Event("change")); };
  const press = (label, what) => one(`.cell[data-label="${label}"] [data-decide="${what}"]`).click();
  seen.orders = {start: order()};
  for (const value of ["down", "up", "image"]) { choose(value); seen.orders[value] = order(); }
  seen.disabled = [one("#gallery-save").disabled];
  press(1, "accept"); press(2, "reject"); press(3, "accept"); press(3, "accept");
  seen.disabled.push(one("#gallery-save").disabled);
  seen.pressed = [...document.querySelectorAll('[aria-pressed="true"]')].map((button) => button.closest(".cell").dataset.label + button.dataset.decide);
  one("#gallery-open").click(); seen.open = order(); one("#gallery-open").click();
  seen.before = one("#gallery-left").textContent;
  HTMLAnchorElement.prototype.click = function () { seen.name = this.download; };
  one("#gallery-save").click();
  seen.csv = await seen.blob.text(); delete seen.blob;
  seen.after = one("#gallery-left").textContent;
  seen.pictures = cells().every((cell) => cell.querySelector("img").getAttribute("src").startsWith("data:image/"));
  const out = document.createElement("output"); out.id = "seen"; out.textContent = JSON.stringify(seen); document.body.append(out);
});
"""  # noqa: E501 - one statement a line


def cell(label, probability, *, review=False, image="a.tif", class_="micronucleus"):
    picture = encode(np.full((8, 8), 9 * label, np.uint8))
    return {
        "label": label, "centroid-0": 10.5, "centroid-1": 20.25, "class": class_, "probability": probability,
        "review": review, "picture": picture, "image": image,
    }  # fmt: skip


CELLS = [
    cell(1, 0.9, image='b, "odd".tif'),
    cell(2, 0.55, review=True),
    cell(3, 0.99),
    cell(4, 0.45, review=True, class_="normal"),
]


def test_galleries_are_gathered_and_cut_to_size(tmp_path):
    for name, cells in (("a", CELLS[:2]), ("b", CELLS[2:])):
        content = {"image": f"{name}.tif", "classes": ["normal", "micronucleus"], "total": 5, "cells": cells}
        (tmp_path / f"{name}.gallery.json").write_text(json.dumps(content))
    (tmp_path / "c.gallery.json").write_text("not JSON")
    found = read_galleries([tmp_path / f"{name}.gallery.json" for name in "abcd"])
    assert (found.total, [item["label"] for item in found.cells]) == (10, [1, 2, 3, 4])
    assert [item["other"] for item in found.cells] == ["normal", "normal", "normal", "micronucleus"]
    few = read_galleries([tmp_path / "a.gallery.json", tmp_path / "b.gallery.json"], most=3)
    assert [item["label"] for item in few.cells] == [2, 3, 4]  # the unsure ones and the surest


def test_a_page_without_cells_has_no_gallery():
    assert "s-gallery" not in render(title="t", gallery=Gallery())
    assert "s-gallery" not in render(title="t")


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    if BROWSER is None:
        pytest.skip("no Chromium found")
    folder = tmp_path_factory.mktemp("browser")
    other = {"micronucleus": "normal", "normal": "micronucleus"}
    gallery = Gallery([{**item, "other": other[item["class"]]} for item in CELLS], 9)
    text = render(title="gallery", gallery=gallery)
    # the hook is a second inline script, which the page's policy must be told of for this test
    text = re.sub(r"script-src '[^']+'", "script-src 'unsafe-inline'", text)
    page = folder / "page.html"
    page.write_text(text.replace("<head>", f"<head><script>{HOOK}</script>", 1), encoding="utf-8")
    command = [
        BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
        "--virtual-time-budget=4000", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    found = re.search(r'<output id="seen">(.*?)</output>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1]))


def test_cells_can_be_sorted(seen):
    assert seen["orders"] == {
        "start": ["2", "4", "3", "1"],
        "down": ["3", "1", "2", "4"],
        "up": ["4", "2", "1", "3"],
        "image": ["2", "3", "4", "1"],
    }
    assert seen["violations"] == []
    assert seen["pictures"]


def test_cells_are_decided_and_undecided(seen):
    assert seen["disabled"] == [True, False]
    assert sorted(seen["pressed"]) == ["1accept", "2reject"]  # 3 was taken back
    assert seen["open"] == ["3", "4"]
    assert (seen["before"], seen["after"]) == ("2 of 4 decided", "2 of 4 decided, saved")


def test_the_corrections_are_a_table_that_can_be_read_back(seen, tmp_path):
    rows = {row["label"]: row for row in csv.DictReader(io.StringIO(seen["csv"]))}
    assert seen["name"] == "corrections.csv"
    assert set(rows) == {"1", "2"}
    assert (rows["1"]["image"], rows["1"]["class"], rows["1"]["decision"]) == ('b, "odd".tif', "micronucleus", "accept")
    assert (rows["2"]["class"], rows["2"]["centroid-1"]) == ("normal", "20.25")
    from cellscope.assays.micronucleus.count.corrections import read_corrections

    path = tmp_path / "corrections.csv"
    path.write_text(seen["csv"])
    assert read_corrections(path) == {
        'b, "odd".tif': [(10.5, 20.25, "micronucleus")],
        "a.tif": [(10.5, 20.25, "normal")],
    }
