"""Every row of the tables of three papers as commands: MobileViT-MN, MSFF-SegNeXt and the mitosis classifiers.

usage: python benchmarks/papers.py micronucleus|nucleus-seg|mitosis DATASET [--steps 2] [--limit 8] [--table T]
       [--row R] [--list] [--full] [--kinetics FILE] [-o OUT]

DATASET is what `cellscope ... prepare` wrote as the papers' pages say (docs/papers/): for nucleus-seg with `--folds 3`.
Each row is a training by the paper's preset and its evaluation, cut to `--steps` steps without ImageNet weights on the
first `--limit` items, which shows that the row works and nothing more. With `--full` these are the papers' own
trainings, for a GPU. `--list` prints the commands and runs none, `--row` takes the rows with these words in their name.
`--kinetics` names the weights of Table 3's pretrained 3D network of the mitosis paper (`r3d50_K_200ep.pth` of
3D-ResNets-PyTorch). karyotype and histo have scripts of their own.
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import cellscope

KINETICS = "r3d50_K_200ep.pth"
"""Of Hara et al., 3D-ResNets-PyTorch: ResNet-50 in three dimensions, 200 epochs on Kinetics-700."""


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes
    ----------
    table, name : str
    train, measure : tuple of str
        What the commands have besides dataset, steps and output.
    metrics : tuple of str
        Of ``eval.json``.
    folds : int
        Trainings, each on its fold.
    repeats : int
        Trainings of one command; the metrics then are columns of ``repeats.csv``.
    """

    table: str
    name: str
    train: tuple[str, ...]
    metrics: tuple[str, ...]
    measure: tuple[str, ...] = ()
    folds: int = 0
    repeats: int = 0

    @property
    def run(self) -> str:
        """The folder of the training; rows of the same training share it."""
        words = "-".join(word.strip("-").replace("=", "-") for word in self.train)
        return "".join(letter if letter.isalnum() or letter in "-._" else "-" for letter in words) or "plain"


def micronucleus() -> list[Row]:
    """Tables 2 to 4, but for MSA-Net of Table 4, whose layers no text gives."""
    table_2 = ("mobilevit", "mobilevit-dsc", "mv2-se", "mv2-se-tr1", "mv2-se-tr3", "mv2-nam", "mv2-nam-tr1")
    table_2 += ("mv2-nam-tr3", "mb-se", "mb-nam", "mv2-se-mb-nam", "mv2-nam-mb-se")
    table_3 = [
        ("Model_no_trans", "mobilevit", "none"),
        ("Model_trans", "mobilevit", "imagenet"),
        ("Model_no_trans_DSC", "mobilevit-dsc", "none"),
        ("Model_trans_DSC", "mobilevit-dsc", "imagenet"),
        ("Model_trans_DSC_SE", "mv2-se", "imagenet"),
        ("Model_trans_DSC_NAM", "mobilevit-dsc-nam", "imagenet"),
        ("Model_trans_DSC_SE_NAM", "mv2-se-mb-nam", "imagenet"),
    ]
    table_4 = ("mobilenet", "vgg16", "vgg16-att", "googlenet", "googlenet-att", "resnet50", "resnet50-att", "alexnet")
    table_4 += ("alexnet-light", "alexnet-ca", "aalnet", "mv2-se-mb-nam")
    metrics = tuple(f"classifier.{name}" for name in ("avg_acc", "auc", "f1", "f1_macro", "f1_weighted"))

    def row(table: str, name: str, arch: str, init: str = "imagenet") -> Row:
        return Row(table, name, ("--preset", "paper", "--arch", arch, "--init", init), metrics)

    rows = [row("2", arch, arch) for arch in table_2]
    rows += [row("3", name, arch, init) for name, arch, init in table_3]
    return rows + [row("4", arch, arch) for arch in table_4]


def nucleus_seg() -> list[Row]:
    """Tables 3, 6 and 7: means over three folds of the network's own mask; Table 4 compares two of them."""
    metrics = tuple(f"folds.{name}_mean" for name in ("dice", "iou", "accuracy", "precision", "recall"))
    rows = [
        Row("3 and 7", preset, ("--preset", preset), metrics, ("--raw",), folds=3)
        for preset in ("unet", "r2unet", "deeplabv3", "segnext", "msff-segnext")
    ]
    for edge in ("laplacian", "sobel"):
        for count in (1, 2):
            settings = ("--preset", "msff-segnext", "--set", f"edge={edge}", "--set", f"hamburgers={count}")
            rows.append(Row("6", f"{edge}, {count} Hamburger", settings, metrics, ("--raw",), folds=3))
    return rows


def mitosis() -> list[Row]:
    """Table 1's nineteen configurations, whose best of each network are Table 2, and Table 3's two 3D networks."""
    configurations = [
        ("xception-lstm", "imagenet", 1e-3, 1e-5, 10),
        ("xception-lstm", "none", 1e-3, 0, 10),
        ("xception-lstm", "none", 1e-4, 0, 10),
        ("xception-lstm", "none", 1e-5, 0, 10),
        ("xception-lstm", "none", 1e-4, 0, 20),
        ("vgg16-lstm", "imagenet", 1e-3, 1e-5, 10),
        ("vgg16-lstm", "none", 1e-3, 0, 10),
        ("vgg16-lstm", "imagenet", 1e-4, 1e-5, 10),
        ("vgg16-lstm", "imagenet", 1e-5, 1e-6, 10),
        ("vgg16-lstm", "imagenet", 1e-5, 1e-6, 20),
        ("resnet50-lstm", "imagenet", 1e-3, 1e-5, 10),
        ("resnet50-lstm", "none", 1e-3, 0, 10),
        ("resnet50-lstm", "imagenet", 1e-4, 1e-5, 10),
        ("resnet50-lstm", "imagenet", 1e-5, 1e-6, 10),
        ("resnet50-lstm", "imagenet", 1e-3, 1e-5, 20),
        ("gao-lstm", "none", 1e-3, 0, 10),
        ("gao-lstm", "none", 1e-4, 0, 10),
        ("gao-lstm", "none", 1e-5, 0, 10),
        ("gao-lstm", "none", 1e-3, 0, 20),
    ]
    scores = ("accuracy", "precision", "recall", "f1")
    metrics = tuple(f"{where}_{name}" for where in ("val", "test") for name in scores)
    rows = []
    for arch, init, first, second, batch in configurations:
        share = f"{second / first:g}" if second else "0"
        words = ("--arch", arch, "--init", init, "--learning-rate", f"{first:g}", "--batch-size", str(batch))
        words += ("--set", f"second_rate={share}", "--set", f"freeze_first={'true' if second else 'false'}")
        rates = f"{first:g}/{second:g}" if second else f"{first:g}"
        rows.append(Row("1 and 2", f"{arch}, {init}, {rates}, batch {batch}", words, metrics, repeats=10))
    three = ("--arch", "resnet50-3d")
    return [
        *rows,
        Row("3", "resnet50-3d from nothing", three, metrics, repeats=10),
        Row("3", "resnet50-3d from Kinetics-700", (*three, "--init", KINETICS), metrics, repeats=10),
    ]


PAPERS = {"micronucleus": micronucleus, "nucleus-seg": nucleus_seg, "mitosis": mitosis}


def commands(assay: str, row: Row, given: argparse.Namespace) -> Iterator[tuple[Path, list[str]]]:
    """Give the commands of a row, each with the file that shows that it is done."""
    run, measured = given.out / row.run, given.out / f"{row.run}-measured"
    cut: list[str] = []
    if not given.full:
        cut = ["--steps", str(given.steps), "--limit", str(given.limit), "--set", f"val_every={given.steps}"]
        cut += [] if "--init" in row.train else ["--init", "none"]
        cut += [] if "--batch-size" in row.train else ["--batch-size", "2"]
    train = [assay, "train", str(given.dataset), *row.train, *cut]
    if "--init" in train:
        place = train.index("--init") + 1
        if train[place] == KINETICS:
            train[place] = str(given.kinetics or KINETICS)
        if not given.full:
            train[place] = "none"
    models = [run]
    if row.folds:
        models = [Path(f"{run}-fold{fold}") for fold in range(row.folds)]
    for fold, model in enumerate(models):
        more = ["--fold", str(fold)] if row.folds else []
        more += ["--repeats", str(row.repeats if given.full else 2)] if row.repeats else []
        yield model / "run.json", [*train, *more, "-o", str(model), "--overwrite"]
    if not row.repeats:
        measure = [assay, "eval", str(given.dataset), *(word for model in models for word in ("-m", str(model)))]
        measure += ["--split", "folds"] if row.folds else []
        measure += [] if given.full else ["--limit", str(given.limit)]
        yield measured / "eval.json", [*measure, *row.measure, "-o", str(measured), "--overwrite"]


def values(row: Row, out: Path) -> str:
    """Read what a row came to."""
    if row.repeats:
        import pandas as pd

        table = pd.read_csv(out / row.run / "repeats.csv").set_index("run")
        mean, spread = table.loc["mean"], table.loc["standard deviation"]
        return ", ".join(f"{name} {mean[name]:.3f} +- {spread[name]:.3f}" for name in row.metrics if name in table)
    overall = json.loads((out / f"{row.run}-measured" / "eval.json").read_text())["metrics"]["overall"]
    found = {name: overall[name]["value"] for name in row.metrics if name in overall}
    return ", ".join(f"{name} {'-' if value is None else f'{value:.3f}'}" for name, value in found.items())


def main() -> None:
    """Run row after row and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paper", choices=PAPERS)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--limit", type=int, default=8)
    parser.add_argument("--table", help="only rows of this table")
    parser.add_argument("--row", default="", help="only rows with this in their name")
    parser.add_argument("--kinetics", type=Path, help="weights of the pretrained 3D network")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("-o", "--out", type=Path)
    given = parser.parse_args()
    given.out = given.out or Path(f"{given.paper}-paper")
    rows = [row for row in PAPERS[given.paper]() if given.table is None or given.table in row.table]
    rows = [row for row in rows if given.row in row.name]
    if not given.list:
        print("| table | row | measured | seconds |\n|---|---|---|---:|")
    for row in rows:
        seconds = 0.0
        for done, words in commands(given.paper, row, given):
            if given.list:
                print(f"cellscope {shlex.join(words)}")
            elif not done.is_file():
                seconds += cellscope(words)
        if not given.list:
            print(f"| {row.table} | {row.name} | {values(row, given.out)} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
