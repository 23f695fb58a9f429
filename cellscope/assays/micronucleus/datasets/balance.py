"""The paper's recipe for crops: training balanced and validation varied by turned, flipped and scaled copies."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cellscope.assays.micronucleus.classes import CLASSES, MICRONUCLEUS
from cellscope.io.splits import Item, assign_splits
from cellscope.io.write import write_png

TIMES = 5
"""How often the paper's augmented crops are there (Table 1): 2180 of 436 in training, 725 of 145 in validation."""


def balance(items: list[Item], out: Path, options: Any) -> list[Item]:
    """Follow the paper's section on the data set: balance training, vary validation, leave the test split alone.

    As Table 1 counts: in training the rarer class is there `TIMES` times (itself and copies that are turned, flipped
    and scaled), the other is cut to match; in validation every crop is there `TIMES` times.
    """
    split_of = assign_splits(items, options.splits, options.seed)
    assigned = [replace(item, fixed_split=split_of[item.group]) for item in items]
    rng = np.random.default_rng([options.seed, 62])
    crops = [item for item in assigned if item.class_]
    train = {name: [c for c in crops if c.fixed_split == "train" and c.class_ == name] for name in CLASSES}
    fewest, most = sorted(train, key=lambda name: (len(train[name]), name))
    dropped: set[str] = set()
    copies: list[Item] = []
    if train[fewest]:
        spare = max(len(train[most]) - TIMES * len(train[fewest]), 0)
        dropped = {train[most][index].id for index in rng.permutation(len(train[most]))[:spare]}
        copies += _copies((item for item in train[fewest] for _ in range(TIMES - 1)), out, rng)
    validation = [item for item in crops if item.fixed_split == "val"]
    copies += _copies((item for item in validation for _ in range(TIMES - 1)), out, rng)
    for item in assigned:
        if item.id in dropped:
            for name in filter(None, (item.image, item.target)):
                (out / name).unlink()
    print(
        f"paper's recipe: {len(train[MICRONUCLEUS])} cells with micronuclei to train on, "
        f"{len(dropped)} {most} dropped, {len(copies)} varied copies added",
        file=sys.stderr,
    )
    return [item for item in assigned if item.id not in dropped] + copies


def _copies(items: Iterable[Item], out: Path, rng: np.random.Generator) -> list[Item]:
    made: list[Item] = []
    for number, item in enumerate(items):
        pixels = cv2.imread(str(out / item.image), cv2.IMREAD_UNCHANGED)
        assert pixels is not None, "the crop was written a moment ago"
        path = f"{item.image.removesuffix('.png')}-copy{number:05d}.png"
        write_png(out / path, vary(pixels, rng))
        made.append(replace(item, id=f"{item.id}-copy{number:05d}", image=path, target=""))
    return made


def vary(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn by any angle, flip and scale by up to 15 % (the paper's rotation, flipping and scaling).

    Parameters
    ----------
    crop : (H, W) uint8 or uint16
    rng

    Returns
    -------
    The same shape and type.
    """
    height, width = crop.shape
    matrix = cv2.getRotationMatrix2D(
        ((width - 1) / 2, (height - 1) / 2), float(rng.uniform(0, 360)), float(rng.uniform(0.85, 1.15))
    )
    turned = cv2.warpAffine(crop, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(turned[:, ::-1] if rng.random() < 0.5 else turned)
