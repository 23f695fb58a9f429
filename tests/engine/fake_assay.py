"""A tiny assay for the engine's tests: bright spots found by a 1x1 convolution and told apart by brightness.

The pixel in the corner asks for trouble: 13 fails in cut, 17 in forward, 19 in finish, 23 in conclude, 29 kills.
"""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
import torch
from scipy import ndimage

from cellscope.engine.assay import Assay, InputSpec, Result, Stage, probability_columns
from cellscope.errors import InputError
from cellscope.models.file import ModelCard, save_model
from cellscope.options.common import RunOptions
from cellscope.options.fields import option

CUT, FORWARD, FINISH, CONCLUDE, KILL = 13, 17, 19, 23, 29


@dataclass(frozen=True)
class FakeOptions:
    threshold: float = 0.5
    delay: float = 0.0
    main: int = 0
    least: float | None = option(None, "Least.", low=0.0, high=1.0, tuned=True)


@dataclass
class State:
    labels: np.ndarray | None = None
    p: list | None = None


def corner(subject):
    return int(subject.image.pixels[0, 0, 0])


def cut_image(subject):
    if corner(subject) == CUT:
        raise InputError(f"{subject.name}: cannot be cut; send another")
    if corner(subject) == KILL and os.getpid() != subject.options.main:
        os.kill(os.getpid(), signal.SIGKILL)
    return [subject.image.pixels[..., 0].astype(np.float32)[None] / 255]


def forward_find(module, batch):
    stacked = torch.stack(batch)
    assert len({item.shape for item in batch}) == 1
    if (stacked[:, 0, 0, 0] * 255).round().eq(FORWARD).any():
        raise RuntimeError("the network\nstumbled")
    return list(module(stacked)[:, 0].numpy())


def finish_find(subject, outputs):
    if corner(subject) == FINISH:
        raise KeyError("nothing there")
    time.sleep(subject.options.delay)
    subject.state.labels = ndimage.label(outputs[0] > subject.options.threshold)[0]


def cut_spots(subject):
    grey = subject.image.pixels[..., 0].astype(np.float32) / 255
    return [np.full((1, 4, 4), grey[rows[0], columns[0]], np.float32) for rows, columns in pixels_of(subject)]


def pixels_of(subject):
    """Rows and columns of every object, in the order of the labels."""
    labels = subject.state.labels
    return [np.nonzero(labels == number) for number in range(1, labels.max() + 1)]


def forward_classify(module, batch):
    return [np.array([1 - value, value]) for value in module(torch.stack(batch)).mean((1, 2, 3)).tolist()]


def finish_classify(subject, outputs):
    subject.state.p = outputs


def conclude(subject):
    if corner(subject) == CONCLUDE:
        raise ZeroDivisionError("one over nothing")
    labels = subject.state.labels
    regions = pixels_of(subject)
    classes = subject.cards["classify"].classes
    rows = []
    for number, ((at_rows, at_columns), p) in enumerate(zip(regions, subject.state.p, strict=True), 1):
        row = {"label": number, "class": classes[int(np.argmax(p))], "score": float(np.max(p))}
        row["review"] = bool(np.max(p) < 0.6)
        row.update({f"p_{name}": value for name, value in zip(classes, p, strict=True)})
        row.update({"area": len(at_rows), "centroid-0": at_rows.mean(), "centroid-1": at_columns.mean()})
        if subject.image.width > 40:  # columns that only some images have
            row["wide"] = 1
        rows.append(row)
    columns = ["label", "class", "score", "review", *probability_columns(classes), "area", "centroid-0", "centroid-1"]
    frame = pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)
    pixels = np.repeat(subject.image.pixels[..., :1], 3, axis=2)
    artefacts = {".labels.tif": labels, ".overlay.png": (pixels, 100), ".fake.json": {"n": len(rows)}}
    if subject.kind == "crop":
        artefacts = {}
    halves = [len(rows) / 2 for rows, _ in regions]
    parts = pd.DataFrame({"label": np.arange(1, len(halves) + 1), "half": halves})
    warnings = ["nothing bright"] if not rows else []
    return Result(frame, {"brightest": float(pixels.max())}, artefacts, warnings, {"halves": parts})


def kind_of(image):
    return "crop" if image.width <= 8 else "field"


def build(card, tensors):
    module = torch.nn.Conv2d(1, 1, 1)
    module.load_state_dict(tensors)
    return module.eval()


BOTH = ("field", "crop")
ASSAY = Assay(
    name="fake",
    inputs=InputSpec(
        kinds=BOTH,
        suffixes=frozenset({".tif", ".png"}),
        kind_of=kind_of,
    ),
    stages=(
        Stage("find", BOTH, 4, cut_image, forward_find, finish_find, cpu_batch=64),
        Stage("classify", BOTH, 8, cut_spots, forward_classify, finish_classify, cpu_batch=64),
    ),
    state=State,
    parts=("find", "classify"),
    summary_columns=("brightest",),
    class_part="classify",
    build=build,
    conclude=conclude,
    figures={"field": (".overlay.png",)},
    tables={"halves": ("label", "half")},
)


def write_models(folder: Path, classes=("dim", "bright")) -> list[str]:
    paths = []
    for part, weight in (("find", 1.0), ("classify", 1.0)):
        tensors = {"weight": torch.full((1, 1, 1, 1), weight), "bias": torch.zeros(1)}
        card = ModelCard("fake", part, "conv", {}, tuple(classes), ("grey",), {}, None, {}, {}, {}, "0")
        path = folder / f"{part}.safetensors"
        save_model(path, tensors, card)
        paths.append(str(path))
    return paths


def spots(size, places, corner=0, seed=None):
    """Grey image with 3x3 spots at (row, column, brightness)."""
    height, width = size
    pixels = np.zeros((height, width), np.uint8)
    for row, column, brightness in places:
        pixels[row : row + 3, column : column + 3] = brightness
    pixels[0, 0] = corner
    return pixels


def write_images(folder: Path, count: int, *, seed: int = 0, bad=None, junk=()) -> Path:
    """Images a00.tif, ... with 0 to 3 spots each; `bad` maps a number to a corner value; `junk` ones are text."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        generator = np.random.default_rng([seed, number])
        path = folder / f"a{number:02}.tif"
        if number in junk:
            path.write_text("not an image")
            continue
        size = (32, 32) if number % 3 else (24, 48)
        places = [(4 + 8 * (k // 2), 4 + 10 * (k % 2), int(generator.integers(140, 256))) for k in range(number % 4)]
        tifffile.imwrite(path, spots(size, places, (bad or {}).get(number, 0)))
    return folder


def options_for(**given) -> RunOptions:
    return RunOptions(**{"device": "cpu", "precision": "32", "num_workers": 0, "quiet": True, **given})


TABLES = ("images.csv", "objects.csv", "halves.csv", "run.json", "report.html")


def record(out: Path) -> dict:
    return json.loads((out / "run.json").read_text())


def table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, keep_default_na=False, dtype=str)


def names(out: Path) -> list[str]:
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
