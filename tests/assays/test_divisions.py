"""Fixed divisions in every assay's ``prepare``: sources held out, and a table of splits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from drawn.histo import write_tiles
from drawn.karyotype import karyotype, write_class_folders
from drawn.micronucleus import write_mnfinder
from drawn.mitosis import write_source
from drawn.nucleus_seg import write_wbc
from typer.testing import CliRunner

from cellscope.cli.root import app

DAYS = [f"2024-01-0{day}" for day in range(1, 5)]
# Two sources of each assay; those of micronucleus are cell lines.
SOURCES: dict[str, Callable[[Path, str], object]] = {
    "histo": lambda folder, _: write_tiles(folder, 4, side=64),
    "nucleus-seg": lambda folder, name: write_wbc(folder, *((4, 0) if name == "RPE1" else (0, 4))),
    "micronucleus": lambda folder, name: write_mnfinder(folder, {f"{day}_{name}": 1 for day in DAYS}),
    "karyotype": lambda folder, _: write_class_folders(folder, {name: karyotype() for name in "abcd"}),
    "mitosis": lambda folder, _: write_source(folder),
}

NAMES = {"nucleus-seg": "HeLa-dataset2"}
"""What the second source is called, where not as its folder."""


def prepared(assay: str, folder: Path, *words: object) -> pd.DataFrame:
    out = folder / f"out{len(list(folder.iterdir()))}"
    given = [folder / "RPE1", folder / "HeLa"]
    result = CliRunner().invoke(app, [str(word) for word in (assay, "prepare", *given, "-o", out, *words)])
    assert result.exit_code == 0, result.output
    return pd.read_csv(out / "items.csv", dtype=str, keep_default_na=False)


@pytest.mark.slow
@pytest.mark.parametrize("assay", SOURCES)
def test_sources_and_tables_divide(assay: str, tmp_path: Path) -> None:
    for name in ("RPE1", "HeLa"):
        SOURCES[assay](tmp_path / name, name)
    held = prepared(assay, tmp_path, "--splits", "0.6,0.4,0", "--hold-out", NAMES.get(assay, "HeLa"))
    of_hela = held["id"].str.contains("HeLa")
    assert 0 < of_hela.sum() < len(held)
    assert ((held["split"] == "test") == of_hela).all()

    groups = sorted(set(held["group"]))
    table = pd.DataFrame({"group": groups[:3], "split": ["test", "val", "train"]})
    table.to_csv(tmp_path / "cases.csv", index=False)
    fixed = prepared(assay, tmp_path, "--split-table", tmp_path / "cases.csv")
    for group, split in table.itertuples(index=False):
        assert set(fixed.loc[fixed["group"] == group, "split"]) == {split}
    assert set(fixed.loc[fixed["split"] == "test", "group"]) == {groups[0]}
    assert len(fixed) == len(held)
