"""The notebooks of the documentation run from top to bottom, show figures and leave the tables they name."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from cellscope.cli.root import ASSAYS

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "docs" / "notebooks"
PAGE = NOTEBOOKS / "index.md"


def read(name: str) -> Any:
    nbformat = pytest.importorskip("nbformat")
    book = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    nbformat.validate(book)
    return book


def test_every_assay_has_one_and_the_page_lists_them() -> None:
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == sorted(ASSAYS)
    assert sorted(re.findall(r"\]\(([\w-]+)\.ipynb\)", PAGE.read_text("utf-8"))) == sorted(ASSAYS)


@pytest.mark.parametrize("name", sorted(ASSAYS))
def test_notebooks_are_kept_without_results(name: str) -> None:
    for cell in read(name).cells:
        assert not cell.get("outputs"), cell.source
        assert cell.get("execution_count") is None


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ASSAYS))
def test_a_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    folder = tmp_path / "docs" / "notebooks"
    folder.mkdir(parents=True)
    (tmp_path / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "metaphase.tif", tmp_path / "examples")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.delenv("MPLBACKEND")  # the kernel's own, which shows figures
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    book = read(name)
    client = nbclient.NotebookClient(
        book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    shown = [output for cell in book.cells for output in cell.get("outputs", [])]
    kinds = {kind for output in shown for kind in output.get("data", {})}
    assert {"image/png", "text/html"} <= kinds
    saved = re.findall(r'to_csv\("([\w-]+\.csv)"', "\n".join(cell.source for cell in book.cells))
    assert saved
    for table in saved:
        assert len((folder / table).read_text("utf-8").splitlines()) > 1, table
