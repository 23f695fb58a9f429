"""The example assay of docs/development.md: its four verbs on drawn images, and what the page says of its size."""

import ast
import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import cellscope.assays

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "foci"


@pytest.fixture
def app(monkeypatch):
    """Return the example's command group; the example is found as if it lay beside the other assays."""
    monkeypatch.setattr(cellscope.assays, "__path__", [*cellscope.assays.__path__, str(EXAMPLE.parent)])
    from cellscope.assays.foci.cli import app

    return app


def draw(folder: Path, count: int) -> None:
    """Write fields of eight bright discs, and label images of them."""
    for number in range(count):
        generator = np.random.default_rng(number)
        labels = np.zeros((96, 120), np.uint8)
        for label, place in enumerate(generator.permutation(20)[:8], 1):
            centre = (14 + 23 * int(place % 5), 14 + 23 * int(place // 5))
            cv2.circle(labels, centre, int(generator.integers(3, 7)), label, -1)
        image = generator.normal(40, 6, labels.shape) + cv2.GaussianBlur((labels > 0) * 120.0, (0, 0), 1.2)
        for name, pixels in (("images", image.clip(0, 255).astype(np.uint8)), ("masks", labels)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / name / f"{number:02d}.png"), pixels)


def code_lines(path: Path) -> int:
    """Count lines without blank ones, comments and docstrings."""
    source = path.read_text(encoding="utf-8")
    said = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            said |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = [line.strip() for line in source.splitlines()]
    return sum(bool(line) and line[0] != "#" and at not in said for at, line in enumerate(lines, 1))


def test_four_verbs(app, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "drawn", 10)
    for call in (
        "prepare drawn -o dataset",
        "train dataset -o run --steps 60 --device cpu",
        "eval dataset -m run -o measured --device cpu",
        "predict drawn/images -m run -o out --device cpu --num-workers 0",
    ):
        done = CliRunner().invoke(app, call.split())
        assert done.exit_code == 0, (call, done.output, done.exception)
    assert (pd.read_csv("measured/per_image.csv")["dice"] > 0.8).all()
    images = pd.read_csv("out/images.csv")
    assert (images["status"] == "ok").all()
    assert (images["n_objects"] == 8).mean() >= 0.8
    assert {"report.html", "run.json", "00.labels.tif", "00.overlay.png"} <= {p.name for p in Path("out").iterdir()}


def test_the_page_states_its_files_and_size():
    page = (ROOT / "docs/development.md").read_text(encoding="utf-8")
    table = page.partition("### A worked example")[2].partition("\n## ")[0]
    stated = {name: int(lines) for name, lines in re.findall(r"^\| `(\w+\.py)` \| (\d+) \|", table, re.MULTILINE)}
    counted = {path.name: code_lines(path) for path in EXAMPLE.glob("*.py") if path.name != "__init__.py"}
    assert stated == counted
    assert sum(counted.values()) < 200
