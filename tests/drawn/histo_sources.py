"""Files for the tests of histo's `prepare`, and what it made of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import tifffile

from cellscope.assays.histo.datasets.sources.pannuke import TYPES as PANNUKE
from cellscope.io.prepared import PreparedDataset
from drawn.histo import tissue


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack")
    else:
        cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels)


def opened(out: Path) -> PreparedDataset:
    return PreparedDataset.open(out, assay="histo")


def target(out: Path, name: str) -> tuple[np.ndarray, dict[int, str] | None]:
    """Read an item's labels and types."""
    row = opened(out).items.set_index("id").loc[name]
    path = out / row["target"]
    table = path.with_suffix(".csv")
    types = None
    if table.exists():
        rows = pd.read_csv(table, dtype={"class": str})
        types = dict(zip(rows["id"].tolist(), rows["class"].tolist(), strict=True))
    return tifffile.imread(path), types


def write_pannuke(folder: Path, folds: tuple[int, ...] = (1, 2, 3)) -> list[tuple[np.ndarray, np.ndarray, dict]]:
    """Two patches per fold; numbers start anew in every channel, as a nucleus of PanNuke's masks may."""
    tiles = []
    for fold in folds:
        images, masks = np.zeros((2, 64, 64, 3)), np.zeros((2, 64, 64, 6))
        for number in range(2):
            image, labels, types = tissue(10 * fold + number, 64, nuclei=8, types=("inflammatory", "epithelial"))
            images[number] = image
            masks[number, ..., 5] = labels == 0
            for channel, name in enumerate(PANNUKE):
                own = np.isin(labels, [label for label, type_ in types.items() if type_ == name])
                masks[number, ..., channel] = np.where(own, labels + 100, 0)
            tiles.append((image, labels, types))
        base = folder / f"Fold {fold}"
        for part, array in (
            ("images/images", images),
            ("masks/masks", masks),
            ("images/types", np.array(["Breast", "Colon"])),
        ):
            path = base / part.replace("/", f"/fold{fold}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path.with_suffix(".npy"), array)
    return tiles
