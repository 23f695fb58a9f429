"""The page in a real browser: what only running its script can show. Skipped where there is none."""

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from cellscope.report.page import Card, Table, render

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)

HOOK = """
const seen = {violations: [], errors: []};
addEventListener("securitypolicyviolation", (event) => seen.violations.push(event.violatedDirective));
addEventListener("error", (event) => seen.errors.push(String(event.message)));
addEventListener("load", () => {
  const one = (query) => document.querySelector(query);
  const all = (query) => [...document.querySelectorAll(query)];
  const column = (at) => all("#s-table-1 tbody tr").filter((row) => !row.hidden).map((row) => row.cells[at].textContent);
  const type = (input, text) => { input.value = text; input.dispatchEvent(new Event("input")); };
  const sorts = () => all("#s-table-1 thead th").map((head) => head.getAttribute("aria-sort"));
  const click = (at) => all("#s-table-1 .sort")[at].click();
  seen.order = [column(1)];
  for (let turn = 0; turn < 3; turn++) { click(1); seen.order.push(column(1)); if (!turn) seen.sorts = sorts(); }
  click(0); seen.names = column(0);
  click(2); click(2); seen.exact = column(0); seen.sorts2 = sorts(); click(2);
  type(one("#s-table-1 input"), "tif B1"); seen.filtered = [column(0), one("#s-table-1 output").textContent];
  type(one("#s-table-1 input"), "");
  const shown = () => all(".card").filter((card) => !card.hidden).map((card) => card.id);
  one("#only-flagged").click(); seen.flagged = [shown(), one("#cards-left").textContent]; one("#only-flagged").click();
  type(one("#find-card"), "two"); seen.found = shown(); type(one("#find-card"), "");
  const box = one("#lightbox"), opener = one("#one .zoom");
  opener.focus(); opener.click();
  seen.box = [box.open, box.querySelector("img").src === opener.querySelector("img").src, box.querySelector("p").textContent];
  box.querySelector("[data-do=next]").click(); seen.next = box.querySelector("p").textContent;
  box.querySelector("[data-do=close]").click(); seen.closed = [box.open, document.activeElement.className];
  const ground = () => getComputedStyle(document.body).backgroundColor;
  const before = ground(); one("#theme").click(); const after = ground(); one("#theme").click();
  seen.themes = [before !== after, before === ground()];
  const sections = () => all("section.table:not(.no-print)").length;
  seen.unasked = [sections()];
  dispatchEvent(new Event("beforeprint")); seen.unasked.push(sections());
  dispatchEvent(new Event("afterprint")); seen.unasked.push(sections());
  document.getElementById("print-tables").checked = true;
  const tables = () => all(".table table:not(.no-print)").length;
  const counts = [tables()]; dispatchEvent(new Event("beforeprint")); counts.push(tables());
  seen.widest = Math.max(...all("#s-table-2 table:not(.no-print) thead tr").map((row) => row.cells.length));
  dispatchEvent(new Event("afterprint")); counts.push(tables()); seen.printed = counts;
  seen.overflow = document.documentElement.scrollWidth > innerWidth;
  seen.requests = performance.getEntriesByType("resource").map((entry) => entry.name).filter((name) => !name.startsWith("data:"));
  seen.pictures = all(".zoom img").every((image) => image.complete && image.naturalWidth > 0);
  setTimeout(() => { const out = document.createElement("output"); out.id = "seen"; out.textContent = JSON.stringify(seen); document.body.append(out); }, 50);
});
"""  # noqa: E501 - one statement a line


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    if BROWSER is None:
        pytest.skip("no Chromium found")
    folder = tmp_path_factory.mktemp("browser")
    figure = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    frame = pd.DataFrame(
        {
            "image": ["a10.tif", "a9.tif", "b1.tif", "a1.tif"],
            "n": ["10", "", "9", "text"],
            "x": [0.10004, 0.10001, np.nan, 0.10003],
        }
    )
    wide = pd.DataFrame({f"measurement_{number}": [number / 7] * 3 for number in range(40)})
    text = render(
        title="browser",
        cards=[
            Card("one <b>", [("overlay", figure)], anchor="one", warnings=["look"]),
            Card("two", [("overlay", figure)], anchor="two"),
        ],
        tables=[Table("T", frame), Table("W", wide)],
        warnings=["w"],
        provenance={"a": {"b": 1}},
    )
    # The page's own policy stays in force; only this one script is let in as well.
    digest = base64.b64encode(hashlib.sha256(HOOK.encode()).digest()).decode()
    text = text.replace("script-src '", f"script-src 'sha256-{digest}' '", 1)
    text = text.replace("</style>", f"</style><script>{HOOK}</script>", 1)
    (folder / "report.html").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            BROWSER,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--window-size=900,700",
            f"--user-data-dir={folder / 'profile'}",
            "--virtual-time-budget=5000",
            "--dump-dom",
            (folder / "report.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found = re.search(r'<output id="seen">(.*?)</output>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found.group(1)))


def test_nothing_is_requested_refused_or_broken(seen):
    assert seen["requests"] == []
    assert seen["violations"] == []
    assert seen["errors"] == []
    assert seen["pictures"]
    assert not seen["overflow"]


def test_a_header_sorts_numbers_before_text_with_empty_cells_last(seen):
    given = ["10", "", "9", "text"]
    assert seen["order"] == [given, ["9", "10", "text", ""], ["text", "10", "9", ""], given]
    assert seen["sorts"] == ["none", "ascending", "none"]
    assert seen["names"] == ["a1.tif", "a9.tif", "a10.tif", "b1.tif"]


def test_rounded_numbers_sort_by_what_they_are(seen):
    assert seen["exact"] == ["a10.tif", "a1.tif", "a9.tif", "b1.tif"]  # all shown as 0.1; the last is undefined
    assert seen["sorts2"] == ["none", "none", "descending"]


def test_tables_and_cards_are_filtered(seen):
    assert seen["filtered"] == [["b1.tif"], "1 of 4 rows"]
    assert seen["flagged"] == [["one"], "1 of 2 shown"]
    assert seen["found"] == ["two"]


def test_a_figure_opens_large_and_gives_the_focus_back(seen):
    assert seen["box"] == [True, True, "one <b> · overlay"]
    assert seen["next"] == "two · overlay"
    assert seen["closed"][0] is False
    assert seen["closed"][1] == "zoom"


def test_the_theme_can_be_switched_and_back(seen):
    assert seen["themes"] == [True, True]


def test_tables_are_printed_only_on_request(seen):
    before, printed, after = seen["unasked"]
    assert printed == 0
    assert before == after > 0


def test_a_wide_table_is_printed_in_blocks_and_put_back(seen):
    before, printed, after = seen["printed"]
    assert before == after == 2
    assert printed > 4
    assert 2 <= seen["widest"] <= 12
