"""Keys of the review page: one after the other; digits wait for the next one. Skipped where there is no Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="no Node found")

START = """
import { Keys } from "./keys.mjs";
const done = [], wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
let selected = 1;
const CLASSES = [...Array.from({ length: 22 }, (_, i) => String(i + 1)), "X", "Y"];
const make = (classes) => new Keys({
  classes: () => classes, patience: 50, say: (text, wrong) => wrong && done.push(text),
  give: async (name) => { const at = selected; await wait(5); done.push([at, name]); },
});
"""


def done(tmp_path: Path, script: str) -> list[object]:
    """Run a script beside the page's module; give what it did."""
    shutil.copy(str(files("cellscope.review") / "page/keys.js"), tmp_path / "keys.mjs")
    (tmp_path / "run.mjs").write_text(START + script + "\nconsole.log(JSON.stringify(done));\n")
    made = subprocess.run([str(NODE), "run.mjs"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    found: list[object] = json.loads(made.stdout)
    return found


def test_a_number_that_may_go_on_is_of_what_was_selected_then(tmp_path: Path) -> None:
    """What comes next, a key or a click, finds it given; a digit joins it; else it is given after a while."""
    script = """
    const keys = make(CLASSES);
    keys.digit("1");
    const was = keys.settle();
    keys.queue(() => { done.push(was); selected = 2; });
    await keys.last;
    keys.digit("1"); keys.digit("7");
    await keys.last;
    keys.digit("2");
    await wait(150);
    keys.digit("0");
    done.push(keys.settle());
    await wait(100);
    """
    assert done(tmp_path, script) == [[1, "1"], True, [2, "17"], [2, "2"], "There is no class 0.", True]


def test_a_key_waits_for_those_before_it_and_outlives_one_that_fails(tmp_path: Path) -> None:
    script = """
    const keys = make(["normal", "abnormal"]);
    keys.queue(async () => { await wait(30); selected = 2; });
    keys.digit("2");
    keys.queue(() => { throw new Error("no image"); });
    keys.digit("1");
    keys.digit("3");
    await keys.last;
    """
    assert done(tmp_path, script) == ["There is no class .", [2, "abnormal"], "no image", [2, "normal"]]
