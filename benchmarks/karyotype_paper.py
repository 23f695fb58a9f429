"""Every row of the paper's tables as a command: short runs, which show that each one works and nothing more.

usage: python benchmarks/karyotype_paper.py DATASET [--row R] [--steps 2] [--limit 8] [--imagenet FOLDER | --random]
       [--list] [--full] [-o OUT]

DATASET is what `cellscope karyotype prepare bioimlab -o paper --splits 0.85,0.05,0.1` wrote. Each row is a training by
its preset (docs/papers/karyotype.md), cut to `--steps` steps on the first `--limit` items, and its evaluation on as
many. `--row` takes the rows with these words in their name ("II, chrnet4"), `--list` prints the commands.
Without the cuts (`--full`) these are the paper's own trainings, for a GPU.

Where ImageNet weights are asked for, `--imagenet FOLDER` holds timm's files, NETWORK.safetensors each; without it timm
looks into its cache or downloads. `--random` writes such files with random numbers first, for a machine that has none.
"""

from __future__ import annotations

import argparse
import json
import shlex
from dataclasses import dataclass
from pathlib import Path

from harness import cellscope

#: timm's names of the networks behind each architecture.
TIMM = {
    "faster-rcnn-101": "resnet101",
    "mask-rcnn-50": "resnet50",
    "chrrender-50": "resnet50",
    "resnet50": "resnet50",
    "resnext50": "resnext50_32x4d",
    "se-resnet50": "seresnet50",
}
BASELINES = ("resnet50", "resnext50", "se-resnet50")
STRATEGIES = "abcde"
#: Presets that start from ImageNet weights.
PRETRAINED = ("paper-detect", "paper-b", "paper-c", "paper-d")


@dataclass(frozen=True)
class Row:
    """One row of a table: a training, or one of an earlier row, and its evaluation."""

    name: str
    preset: str
    arch: str
    metrics: tuple[str, ...]
    run: str
    evaluation: tuple[str, ...] = ()


JOINT = ("detect-chrrender-50", "chrnet4-e")
"""The runs of Table III: the detector and the classifier."""
JOINT_METRICS = ("only_classifying_accuracy", "fully_karyotyping_accuracy_46")
JOINT_METRICS += ("fully_karyotyping_recall_46", "fully_karyotyping_precision_46")


def rows() -> list[Row]:
    """Tables I and II on BioImLab, in the paper's order; Table III measures two of their trainings together."""
    boxes = tuple(f"detector.box_{name}" for name in ("map", "ap50", "ap75", "ap_small", "ap_medium"))
    boxes += ("whole_correct", "missing_at_most_one")
    singles = ("accuracy", "mean_recall", "mean_precision")
    hough = ("--set", "rotate=hough")
    detectors = [
        Row(f"I right, {arch}", "paper-detect", arch, boxes, f"detect-{arch}")
        for arch in ("faster-rcnn-101", "mask-rcnn-50", "chrrender-50")
    ]
    strategies = [
        Row("I left, A", "paper-unrotated", "chrnet4", singles[:1], "unrotated"),
        Row("I left, B", "paper-unrotated", "chrnet4", singles[:1], "unrotated", hough),
        Row("I left, C", "paper-e", "chrnet4", singles[:1], "chrnet4-e"),
    ]
    classifiers = [
        Row(f"II, {arch} ({letter})", f"paper-{letter}", arch, singles, f"{arch}-{letter}")
        for arch in BASELINES
        for letter in STRATEGIES
    ]
    chrnet = Row("II, chrnet4 (e)", "paper-e", "chrnet4", singles, "chrnet4-e")
    return [*detectors, *strategies, *classifiers, chrnet]


def training(row: Row, given: argparse.Namespace) -> list[str]:
    """Give the command that trains a row's network."""
    command = ["karyotype", "train", str(given.dataset), "--preset", row.preset, "--arch", row.arch]
    if not given.full:
        command += ["--steps", str(given.steps), "--limit", str(given.limit), "--batch-size", str(given.batch_size)]
        command += ["--set", "warmup_steps=1", "--set", f"val_every={given.steps}", "--num-workers", "0"]
    if given.imagenet and row.preset in PRETRAINED:
        command += ["--imagenet", str(given.imagenet / f"{TIMM[row.arch]}.safetensors")]
    return [*command, "-o", str(given.out / row.run)]


def evaluation(model: list[str], given: argparse.Namespace, name: str, more: tuple[str, ...] = ()) -> list[str]:
    """Give the command that measures models."""
    command = ["karyotype", "eval", str(given.dataset)]
    for one in model:
        command += ["-m", str(given.out / one)]
    if not given.full:
        command += ["--limit", str(given.limit)]
    return [*command, *more, "-o", str(given.out / f"measured-{name}")]


def values(path: Path, names: tuple[str, ...], source: str) -> str:
    """Read metrics of a source from an evaluation."""
    overall = json.loads((path / "eval.json").read_text())["metrics"]["overall"]
    found = [overall[f"{source}.{name}"]["value"] for name in names]
    printed = ["-" if value is None else f"{value:.3f}" for value in found]
    return ", ".join(f"{name} {value}" for name, value in zip(names, printed, strict=True))


def write_random_weights(folder: Path, archs: set[str]) -> None:
    """Write timm's networks, as they are before any training, in place of ImageNet's."""
    import timm
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    for name in sorted({TIMM[arch] for arch in archs}):
        path = folder / f"{name}.safetensors"
        if not path.is_file():
            save_file(timm.create_model(name).state_dict(), path)


def main() -> None:
    """Train, measure and print row after row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--row", default="", help="only rows with this in their name")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--limit", type=int, default=8)
    parser.add_argument("--imagenet", type=Path)
    parser.add_argument("--random", action="store_true")
    parser.add_argument("--source", default="bioimlab", help="data set that is measured")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("-o", "--out", type=Path, default=Path("karyotype-paper"))
    given = parser.parse_args()
    chosen = [row for row in rows() if given.row in row.name]
    if given.random:
        given.imagenet = given.imagenet or given.out / "imagenet"
        if not given.list:
            write_random_weights(given.imagenet, {row.arch for row in chosen if row.preset in PRETRAINED})
    if not given.list:
        print("| row | trained | measured | seconds |\n|---|---|---|---:|")
    for row in chosen:
        name = row.name.replace(", ", "-").replace(" ", "-").replace("(", "").replace(")", "")
        trained = given.out / row.run / "model.safetensors"
        seconds = run(training(row, given), given.list) if given.list or not trained.is_file() else 0.0
        seconds += run(evaluation([row.run], given, name, row.evaluation), given.list)
        if not given.list:
            measured = values(given.out / f"measured-{name}", row.metrics, given.source)
            trained_by = f"`--preset {row.preset} --arch {row.arch}`"
            print(f"| {row.name} | {trained_by} | {measured} | {seconds:.0f} |", flush=True)
    if not {row.run for row in chosen}.issuperset(JOINT):
        return
    seconds = run(evaluation(list(JOINT), given, "III", ("--no-assignment",)), given.list)
    if not given.list:
        measured = values(given.out / "measured-III", JOINT_METRICS, given.source)
        print(f"| III | the two above | {measured} | {seconds:.0f} |")


def run(words: list[str], only_list: bool) -> float:
    """Run a command, or print it; its seconds."""
    if only_list:
        print(f"cellscope {shlex.join(words)}")
        return 0.0
    return cellscope([*words, "--overwrite"])


if __name__ == "__main__":
    main()
