"""Drawn H&E tiles: purple ellipses of two types on pink stroma, some of them touching, some cut by the border."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

TYPES = ("other", "inflammatory", "epithelial", "spindle")
PINK, GLASS = (231, 178, 205), (243, 241, 244)
#: Colour and half axes of each type's nuclei, pixels at 0.25 um.
LOOKS = {
    "other": ((120, 80, 140), (9, 9)),
    "inflammatory": ((70, 40, 110), (7, 6)),
    "epithelial": ((140, 100, 170), (13, 9)),
    "spindle": ((110, 60, 130), (15, 4)),
}


def tissue(
    seed: int, side: int = 160, nuclei: int = 14, types: tuple[str, ...] = TYPES[1:]
) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Draw a tile: image (side, side, 3) uint8, labels (side, side) int32 numbered 1..N, label -> type."""
    rng = np.random.default_rng(seed)
    canvas = np.full((side, side, 3), PINK, float)
    canvas += cv2.GaussianBlur(rng.normal(0, 60, (side, side)), (0, 0), 6)[..., None]
    labels = np.zeros((side, side), np.int32)
    drawn: list[str] = []
    for _ in range(nuclei):
        type_ = types[int(rng.integers(len(types)))]
        colour, axes = LOOKS[type_]
        place, angle = rng.integers(0, side, 2), float(rng.uniform(0, 180))
        mask = np.zeros(labels.shape, np.uint8)
        cv2.ellipse(mask, tuple(map(int, place)), axes, angle, 0, 360, 1, -1)
        free = (mask > 0) & (labels == 0)
        if free.sum() < 0.8 * mask.sum():
            continue
        if cv2.connectedComponents(free.astype(np.uint8))[0] != 2:
            continue
        drawn.append(type_)
        labels[free] = len(drawn)
        canvas[free] = np.array(colour) + rng.normal(0, 12, 3)
    canvas = cv2.GaussianBlur(canvas, (0, 0), 0.7) + rng.normal(0, 3, canvas.shape)
    return canvas.clip(0, 255).astype(np.uint8), labels, dict(enumerate(drawn, 1))


def write_tiles(folder: Path, count: int = 6, *, typed: bool = True, side: int = 160, first: int = 1) -> Path:
    """Write tiles in the layout of CoNSeP's PNG and CSV copy; untyped ones as plain images and instances."""
    for part in ("images", "instances", *(["types"] if typed else [])):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        image, labels, types = tissue(number, side)
        name = f"train_{number}" if typed else f"tile{number}"
        cv2.imwrite(str(folder / f"images/{name}.png"), image[..., ::-1])
        cv2.imwrite(str(folder / f"instances/{name}.png"), labels.astype(np.uint16))
        if typed:
            table = pd.DataFrame([(label, TYPES.index(type_) + 1) for label, type_ in types.items()])
            table.to_csv(folder / f"types/{name}.csv", header=["id", "type"], index=False)
    return folder
