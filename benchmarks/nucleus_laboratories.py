"""How a model holds up on images as other laboratories would have taken them, as far as arithmetic can make them.

usage: python benchmarks/nucleus_laboratories.py DATASET [--split test] [-m MODEL] [--only NAMES] [--set NAME=VALUE]

DATASET is one that `cellscope nucleus-seg prepare` made. Every image is changed in each of the ways below, each image
alike; printed are the mean Dice per source, with the worst image's, and how many of all changed images are below 0.8.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from road import CPU, through

from cellscope.assays.nucleus_seg.assay import ASSAY, IMAGE
from cellscope.assays.nucleus_seg.classes import NUCLEUS
from cellscope.assays.nucleus_seg.options import PredictOptions
from cellscope.assays.nucleus_seg.training.crops import load_smear
from cellscope.engine.assay import Subject
from cellscope.engine.device import pick_precision
from cellscope.engine.loading import load_models
from cellscope.io.image import Image
from cellscope.io.prepared import PreparedDataset

#: (H, W, 3) float32 in [0, 1] -> the same, changed.
Change = Callable[[np.ndarray], np.ndarray]
#: Dice below which an image counts as failed.
FAILED = 0.8


def stained(rows: list[list[float]]) -> Change:
    """Mix the optical densities over the background: other dyes."""
    mix = np.array(rows, np.float32)

    def change(x: np.ndarray) -> np.ndarray:
        paper = np.maximum(np.percentile(x.reshape(-1, 3), 90, axis=0), 0.2).astype(np.float32)
        density = -np.log(np.clip(x / paper, 1 / 255, 1))
        return np.exp(-np.clip(density @ mix.T, 0, 6)) * paper

    return change


def turned(degrees: float, saturation: float = 1.0) -> Change:
    """Turn the hue and scale the saturation."""

    def change(x: np.ndarray) -> np.ndarray:
        hsv = cv2.cvtColor(np.clip(x, 0, 1), cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0] + degrees) % 360
        hsv[..., 1] = np.clip(hsv[..., 1] * saturation, 0, 1)
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)

    return change


def white(x: np.ndarray) -> np.ndarray:
    """Make the background white."""
    return x / np.maximum(np.percentile(x.reshape(-1, 3), 90, axis=0), 0.2).astype(np.float32) * np.float32(0.96)


def coded(x: np.ndarray) -> np.ndarray:
    """Compress strongly (JPEG, quality 20)."""
    _, code = cv2.imencode(".jpg", (np.clip(x, 0, 1) * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 20])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.float32) / 255


def scaled(factor: float) -> Change:
    """Scale, as another magnification or camera would."""
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return lambda x: cv2.resize(x, None, fx=factor, fy=factor, interpolation=how)


LABORATORIES: dict[str, Change] = {
    "same": lambda x: x,
    "warm lamp": lambda x: x * np.array([1.1, 0.92, 0.72], np.float32),
    "cold lamp": lambda x: x * np.array([0.8, 0.92, 1.1], np.float32),
    "dim": lambda x: x * np.float32(0.6),
    "white balanced": white,
    "gamma 0.6": lambda x: np.clip(x, 0, 1) ** np.float32(0.6),
    "gamma 1.7": lambda x: np.clip(x, 0, 1) ** np.float32(1.7),
    "flat": lambda x: (x - 0.5) * np.float32(0.6) + np.float32(0.6),
    "hard": lambda x: (x - 0.5) * np.float32(1.4) + np.float32(0.5),
    "hue +25": turned(25),
    "hue -25": turned(-25),
    "pale": turned(0, 0.5),
    "weak stain": stained([[0.55, 0, 0], [0, 0.55, 0], [0, 0, 0.55]]),
    "strong stain": stained([[1.6, 0, 0], [0, 1.6, 0], [0, 0, 1.6]]),
    "bluer stain": stained([[1.4, 0, 0], [0.1, 0.9, 0], [0, 0, 0.7]]),
    "dark red cells": stained([[0.9, 0.35, 0.1], [0, 1.2, 0.1], [0, 0.1, 1.2]]),
    "half scale": scaled(0.5),
    "double scale": scaled(2.0),
    "blurred": lambda x: cv2.GaussianBlur(x, (0, 0), 2.0),
    "noisy": lambda x: x + np.random.default_rng(0).normal(0, 0.055, x.shape).astype(np.float32),
    "JPEG": coded,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("-m", "--model", action="append", default=[], help="The built-in one when not given.")
    parser.add_argument("--only", help="Names of laboratories, commas between; all when not given.")
    parser.add_argument("--set", action="append", default=[], help="NAME=VALUE of an option of predict, a number.")
    arguments = parser.parse_args()
    prepared = PreparedDataset.open(arguments.dataset, assay="nucleus-seg")
    settings = dict(setting.split("=", 1) for setting in arguments.set)
    options = PredictOptions(**{name: float(value) for name, value in settings.items()})  # type: ignore[arg-type]
    chosen = arguments.only.split(",") if arguments.only else list(LABORATORIES)
    loaded = load_models(ASSAY, arguments.model, CPU)
    smears = [load_smear(prepared.root, row) for row in prepared.split(arguments.split).itertuples()]
    truths: dict[str, tuple[str, str, np.ndarray]] = {}

    def subjects() -> Iterator[Subject]:
        for laboratory in chosen:
            for smear in smears:
                changed = LABORATORIES[laboratory](smear.image.astype(np.float32) / 255)
                pixels = (np.clip(changed, 0, 1) * 255).round().astype(np.uint8)
                truth = cv2.resize(smear.mask, pixels.shape[1::-1], interpolation=cv2.INTER_NEAREST) == NUCLEUS
                name = f"{laboratory}/{smear.name}"
                truths[name] = (laboratory, smear.source, truth)
                yield Subject(name, Image(pixels), IMAGE, options, loaded.cards)

    found: dict[str, dict[str, list[float]]] = {name: {} for name in chosen}
    for subject, result in through(ASSAY, subjects(), loaded, dtype=pick_precision("auto", CPU)):
        laboratory, source, truth = truths.pop(subject.name)
        nuclei = result.artefacts[".labels.tif"] > 0
        total = int(nuclei.sum() + truth.sum())
        dice = 2 * int((nuclei & truth).sum()) / total if total else 1.0
        found[laboratory].setdefault(source, []).append(dice)
    sources = sorted({source for values in found.values() for source in values})
    print("| laboratory |", " | ".join(sources), "|")
    print("|---|" + "---|" * len(sources))
    for laboratory, values in found.items():
        cells = [f"{np.mean(values[source]):.3f} ({np.min(values[source]):.2f})" for source in sources]
        print(f"| {laboratory} |", " | ".join(cells), "|")
    every = np.concatenate([dices for values in found.values() for dices in values.values()])
    print(f"mean {every.mean():.4f}, below {FAILED}: {int((every < FAILED).sum())} of {len(every)} images")


if __name__ == "__main__":
    main()
