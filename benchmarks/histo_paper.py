"""Every row of the HistoNeXt paper's Tables 1 to 7 as a command, and its two phases.

usage: python benchmarks/histo_paper.py DATASET [--table 3] [--row R] [--arch histonext-atto] [--limit 2] [--list]
       [--full] [-o OUT]

DATASET is what `cellscope histo prepare SETS/consep -o consep` wrote (with `--types paper` where labels are
CoNSeP's own `.mat` files). Each row is a training by the preset `paper` with the options that the row is about, and
its evaluation on the test split. They are cut short, to one step of each phase on `--limit` images, a small network
and no weights to start from, which shows that each row works and nothing more. With `--full` they are the paper's
own trainings (Tiny, ImageNet weights), for a GPU. Table 5 wants CoNSeP, Table 6 PanNuke prepared in its three folds
(`--fold 2 --val-fold 1` trains on the first, validates on the second and measures the third; and so on), Table 7 CPM-17
and KUMAR. `--row` takes the rows with these words in their name, `--list` prints the commands.
"""

from __future__ import annotations

import argparse
import json
import shlex
from dataclasses import dataclass
from pathlib import Path

from harness import cellscope

METRICS = tuple(f"hovernet.{name}" for name in ("dice", "aji", "dq", "sq", "pq", "fd"))
"""``fd`` is the overall F1 of the paper's tables: of detection, by HoVer-Net's matching. Types have F1 of their own."""

PANNUKE = ("pannuke.mpq", "pannuke.bpq")
"""The first columns of Table 6."""


@dataclass(frozen=True)
class Row:
    """One row of a table: how it differs from the preset."""

    name: str
    options: dict[str, str]
    arch: str = ""


def rows() -> list[Row]:
    """Give the rows in the paper's order; the tables build on one another, as its text has it."""
    before = {"np_loss": "bce+dice", "tp_loss": "bce+dice", "sampling": "none"}
    augmentations = [
        Row(f"1, {level}", {"augment": level, **before})
        for level in ("baseline", "basic", "moderate", "strong", "full")
    ]
    pairs = [("bce+dice", "bce+dice"), ("bce+dice", "focal+dice"), ("asym+dice", "bce+dice")]
    pairs += [("asym+dice", "focal+dice"), ("asym", "focal")]
    losses = [
        Row(f"2, NP {np_loss}, TP {tp_loss}", {"np_loss": np_loss, "tp_loss": tp_loss, "sampling": "none"})
        for np_loss, tp_loss in pairs
    ]
    named = {"no resampling": "none", "uniform": "uniform", "type-aware": "published"}
    samplings = [Row(f"3, {name}", {"sampling": kind}) for name, kind in named.items()]
    variations = [
        Row("4, baseline", {}),
        Row("4, learning rate 5e-5", {"learning_rate": "5e-5"}),
        Row("4, batch 64", {"batch_size": "64"}),
        Row("4, batch 128", {"batch_size": "128"}),
        Row("4, asymmetric focus 0.5", {"gamma_positive": "0.5"}),
        Row("4, focal gamma 3", {"focal_gamma": "3"}),
        Row("4, final configuration", {"batch_size": "64"}),
    ]
    compared = [Row(f"5 to 7, {arch}", {}, arch) for arch in ("hovernet", "histonext-tiny")]
    larger = [Row(f"6, {arch}", {}, arch) for arch in ("histonext-base", "histonext-large")]
    return [*augmentations, *losses, *samplings, *variations, *compared, *larger]


def training(row: Row, given: argparse.Namespace) -> list[str]:
    """Give the command that trains a row's network."""
    command = ["histo", "train", str(given.dataset), "--preset", "paper"]
    if given.full and row.arch:
        command += ["--arch", row.arch, *(["--init", "none"] if row.arch == "hovernet" else [])]
    if given.fold is not None:
        command += ["--fold", str(given.fold), "--val-fold", str(given.val_fold)]
    if not given.full:
        command += ["--arch", row.arch if row.arch == "hovernet" else given.arch, "--init", "none"]
        command += ["--steps", "2", "--limit", str(given.limit)]
        for setting in ("frozen_steps=1", "frozen_batch_size=2", "warmup_steps=1", "val_every=2"):
            command += ["--set", setting]
        if "batch_size" not in row.options:
            command += ["--batch-size", "2"]
    for name, value in row.options.items():
        command += ["--set", f"{name}={value}"]
    return command


def covers(tables: str, wanted: str) -> bool:
    """Tell whether ``5 to 7`` or ``4`` covers a table."""
    first, _, last = tables.partition(" to ")
    return int(first) <= int(wanted) <= int(last or first)


def main() -> None:
    """Train, measure and print row after row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--arch", default="histonext-atto")
    parser.add_argument("--limit", type=int, default=2)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--table", help="only rows of this table")
    parser.add_argument("--row", default="", help="only rows with this in their name")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--fold", type=int, help="PanNuke: the fold that is measured, counted from 0")
    parser.add_argument("--val-fold", type=int, help="PanNuke: the fold that validates")
    parser.add_argument("-o", "--out", type=Path, default=Path("histo-paper"))
    given = parser.parse_args()
    if not given.list:
        print("| row | options | measured; F1 of types | seconds |\n|---|---|---|---:|")
    for number, row in enumerate(rows()):
        if given.row not in row.name or (given.table is not None and not covers(row.name.split(",")[0], given.table)):
            continue
        run, measured = given.out / f"row{number:02}", given.out / f"measured{number:02}"
        train = [*training(row, given), "-o", str(run), "--overwrite"]
        cut = [] if given.full else ["--limit", str(given.limit)]
        measure = ["histo", "eval", str(given.dataset), "-m", str(run), *cut, "-o", str(measured), "--overwrite"]
        if given.list:
            print(f"cellscope {shlex.join(train)}\ncellscope {shlex.join(measure)}")
            continue
        seconds = 0.0 if (run / "model.safetensors").is_file() else cellscope(train)
        seconds += cellscope(measure)
        options = ", ".join(f"`{name}={value}`" for name, value in row.options.items())
        print(f"| {row.name} | {options} | {values(measured)} | {seconds:.0f} |", flush=True)


def values(measured: Path) -> str:
    """Read what a row came to: the columns of the paper's tables, then F1 by type."""
    metrics = json.loads((measured / "eval.json").read_text())["metrics"]
    found = {name: metrics["overall"].get(name, {}).get("value") for name in (*METRICS, *PANNUKE)}
    types = metrics["per_class"].get("hovernet.types_f1", {})
    parts = [
        ", ".join(f"{name.split('.')[-1]} {'-' if value is None else f'{value:.3f}'}" for name, value in group.items())
        for group in (found, types)
    ]
    return "; ".join(part for part in parts if part)


if __name__ == "__main__":
    main()
