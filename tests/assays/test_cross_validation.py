"""The fold that is measured chooses nothing: neither the weights that are kept, nor thresholds, in any assay."""

from __future__ import annotations

import shutil
from pathlib import Path

import drawn.networks  # noqa: F401  small networks by name
import pandas as pd
import pytest
import torch
from drawn.histo import write_tiles
from drawn.karyotype import karyotype, metaphase, write_class_folders, write_coco
from drawn.micronucleus import write_mnfinder
from drawn.mitosis import write_source
from drawn.nucleus_seg import write_wbc
from typer.testing import CliRunner

from cellscope.cli.root import app
from cellscope.io.prepared import PreparedDataset
from cellscope.models.file import load_model

DATES = [f"2024-01-0{day}_RPE1" for day in range(1, 7)]
# assay, part, what is drawn, what makes the network and its views small
PARTS = {
    "histo": ("nuclei", lambda to: write_tiles(to, 6, side=96), ["--arch", "histonext-test", "--set", "core=64"]),
    "nucleus-seg": ("nuclei", lambda to: write_wbc(to, 6, 3), ["--arch", "compact-test", "--set", "crop=64"]),
    "karyotype": (
        "detect",
        lambda to: write_coco(to, [metaphase(seed) for seed in range(6)]),
        ["--arch", "chrrender-test", "--set", "crop=128"],
    ),
    "karyotype ": (
        "classify",
        lambda to: write_class_folders(to, {name: karyotype() for name in "abcdef"}),
        ["--arch", "chrnet4-test"],
    ),
    "micronucleus": ("nuclei", lambda to: write_mnfinder(to, dict.fromkeys(DATES, 1)), ["--arch", "unet-xs"]),
    "micronucleus ": (
        "classify",
        lambda to: write_mnfinder(to, dict.fromkeys(DATES, 2)),
        ["--arch", "mv2-se-tr1", "--set", "input_size=64"],
    ),
    "mitosis": ("classify", write_source, ["--arch", "mitonet-test", "--set", "keep=best"]),
}


def run(*words: object) -> None:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output


def trained(assay: str, part: str, data: Path, out: Path, more: list[str]) -> tuple:
    """Train on all folds but the first; give the weights, the thresholds and what validation said."""
    run(
        assay, "train", data, "--part", part, "--init", "none", "--fold", 0, "--steps", 2, "--batch-size", 2, "--set",
        "val_every=1", "--set", "describe=0", "--device", "cpu", "--num-workers", 0, "-o", out, *more,
    )  # fmt: skip
    card, tensors = load_model(out / "model.safetensors", assay=assay, part=part)
    return tensors, card.thresholds, card.metrics


def spoil(data: Path, assay: str) -> None:
    """Make the first fold unreadable; of mitosis, whose training ends by measuring it, exchange its classes."""
    path = data / "items.csv"
    items = pd.read_csv(path, dtype=str, keep_default_na=False)
    fold = items["fold"] == "0"
    assert 0 < fold.sum() < len(items)
    if assay == "mitosis":
        classes = sorted(set(items["class"]))
        items.loc[fold, "class"] = items.loc[fold, "class"].map(dict(zip(classes, classes[::-1], strict=True)))
        items.to_csv(path, index=False)
        return
    for name in {*items.loc[fold, "image"], *items.loc[fold, "target"]} - {""}:
        (data / name).write_bytes(b"nothing that can be read")


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTS)
def test_training_does_not_see_the_fold_that_is_measured(name: str, tmp_path: Path) -> None:
    part, write, more = PARTS[name]
    assay = name.strip()
    write(tmp_path / "source")
    run(assay, "prepare", tmp_path / "source", "-o", tmp_path / "data", "--folds", 3)
    before = trained(assay, part, tmp_path / "data", tmp_path / "before", more)
    spoil(tmp_path / "data", assay)
    tensors, *said = trained(assay, part, tmp_path / "data", tmp_path / "after", more)
    assert said == list(before[1:])
    assert said[1], "validation said something"
    assert all(torch.equal(value, before[0][key]) for key, value in tensors.items())


@pytest.mark.slow
def test_a_training_that_validates_on_that_fold_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def leaking(self: PreparedDataset, fold: int, *, val_fold: int | None = None) -> PreparedDataset:
        items = self.items.copy()
        items["split"] = "train"
        items.loc[items["fold"] == str(fold), "split"] = "val"
        again = items[items["split"] == "val"].assign(split="test")
        return PreparedDataset(self.root, self.info, pd.concat([items, again], ignore_index=True))

    monkeypatch.setattr(PreparedDataset, "folded", leaking)
    part, write, more = PARTS["mitosis"]
    write(tmp_path / "source")
    run("mitosis", "prepare", tmp_path / "source", "-o", tmp_path / "data", "--folds", 3)
    honest = trained("mitosis", part, tmp_path / "data", tmp_path / "before", more)
    shutil.copytree(tmp_path / "data", tmp_path / "other")
    spoil(tmp_path / "other", "mitosis")
    assert trained("mitosis", part, tmp_path / "other", tmp_path / "after", more)[2] != honest[2]
