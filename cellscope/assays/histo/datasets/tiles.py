"""Training windows cut from tiles with instance labels and, where known, types."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from cellscope.assays.histo.datasets.augment import LEVELS, change_appearance, draw_displacement, draw_geometry
from cellscope.assays.histo.datasets.targets import distance_maps, type_map
from cellscope.errors import DatasetError
from cellscope.io.prepared import PreparedDataset
from cellscope.io.read import read
from cellscope.io.table import read_table

#: Beyond the core, labels are looked at this much further, so that a nucleus that the core cuts has its true centre.
REACH = 48
#: Windows are drawn around the points of a grid with this step, pixels, each moved by up to half of it.
STEP = 80


@dataclass
class Tile:
    """An image in memory with its annotation.

    Attributes
    ----------
    name, source : str
    image : (H, W, 3) uint8
    labels : (H, W) int32
    types : (max label + 1,) int64
        Type 1..K by label, 0 for the background; -1 throughout for a tile without types.
    unknown : (H, W) bool or None
        Where the annotation tells nothing.
    """

    name: str
    source: str
    image: np.ndarray
    labels: np.ndarray
    types: np.ndarray
    unknown: np.ndarray | None = None

    @property
    def typed(self) -> bool:
        """Whether the types of the nuclei are known."""
        return bool((self.types[1:] >= 0).any())


def unknown_of(target: str) -> str:
    """Give the name of the mask that says where a label image tells nothing."""
    return target.removesuffix(".tif") + ".unknown.png"


def load_tile(root: Path, row: Any, classes: tuple[str, ...]) -> Tile:
    """Read one item of a prepared dataset.

    Raises
    ------
    DatasetError
        If a file is broken, the sizes differ, or a type is none of `classes`.
    """
    image = read(root / row.image).pixels
    labels = read(root / row.target).pixels[..., 0].astype(np.int32)
    if labels.shape != image.shape[:2]:
        raise DatasetError(f"{root / row.target}: the labels are not of the image's size; prepare the dataset again")
    types = np.full(int(labels.max(initial=0)) + 1, -1, np.int64)
    types[0] = 0
    table = (root / row.target).with_suffix(".csv")
    if table.is_file():
        numbers = {name: number for number, name in enumerate(classes, 1)}
        for line in read_table(table, ("id", "class")):
            if line["class"] not in numbers:
                raise DatasetError(
                    f"{table}: {line['class']!r} is not one of the dataset's classes {', '.join(classes)}"
                )
            types[int(line["id"])] = numbers[line["class"]]
    mask, unknown = root / unknown_of(row.target), None
    if mask.is_file():
        unknown = read(mask).pixels[..., 0] > 0
        if unknown.shape != labels.shape:
            raise DatasetError(f"{mask}: the mask is not of the image's size; prepare the dataset again")
    return Tile(str(row.id), str(row.id).split("/", 1)[0], image, labels, types, unknown)


def load_tiles(prepared: PreparedDataset, split: str, classes: tuple[str, ...], *, limit: int | None) -> list[Tile]:
    """Read a split, to be kept by `prepared`; `limit` takes some, spread over the sources."""
    rows = prepared.split(split)
    if limit and limit < len(rows):
        rows = rows.iloc[np.unique(np.linspace(0, len(rows) - 1, limit).round().astype(int))]
    return [prepared.keep(load_tile(prepared.root, row, classes)) for row in rows.itertuples()]


class Windows(Dataset):
    """Random windows: ``windows[item, draw]``, the same for the same draw.

    Parameters
    ----------
    tiles : list of Tile
    core, margin : int
        Of the network.
    options : TrainOptions
        Uses ``augment`` and ``seed``.
    """

    def __init__(self, tiles: list[Tile], core: int, margin: int, options: Any):
        self.tiles, self.core, self.margin, self.options = tiles, core, margin, options
        self.changes = LEVELS[options.augment]
        self.places: list[tuple[int, int, int]] = []
        self.strata: list[str] = []
        for number, tile in enumerate(tiles):
            height, width = tile.labels.shape
            for row in range(STEP // 2, max(height, STEP), STEP):
                for column in range(STEP // 2, max(width, STEP), STEP):
                    self.places.append((number, row, column))
                    self.strata.append(f"{tile.source}/{self._dominant(tile, row, column)}")

    def _dominant(self, tile: Tile, row: int, column: int) -> int:
        """Tell which type has the most pixels around a place (equation 11); 0 where there is none or it is unknown."""
        half = STEP // 2
        view = tile.types[tile.labels[max(row - half, 0) : row + half, max(column - half, 0) : column + half]]
        found = np.bincount(view[view > 0])
        return int(found.argmax()) if len(found) else 0

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, torch.Tensor]:
        """Give one window.

        Returns
        -------
        dict
            ``image`` (3, s, s) float32 in [0, 1] with s = core + 2 margin; of the core: ``nucleus`` int64 0 or 1, -1
            outside the tile and where nothing is known; ``distance`` (2, core, core) float32; ``type`` int64, 0
            background, -1 unknown.
        """
        item, draw = key
        rng = np.random.default_rng([self.options.seed, 23, draw])
        number, row, column = self.places[item]
        tile = self.tiles[number]
        height, width = tile.labels.shape
        centre = np.array([column, row], float)
        if self.changes.shift:
            centre += rng.uniform(-STEP / 2, STEP / 2, 2)
        centre = np.clip(centre, 0, [width - 1, height - 1])
        matrix = draw_geometry(self.changes, rng)
        side, wide = self.core + 2 * self.margin, self.core + 2 * REACH
        bend = draw_displacement(self.changes, (max(side, wide),) * 2, rng)
        image = _cut(tile.image, centre, matrix, side, bend, cv2.INTER_LINEAR, cv2.BORDER_REFLECT_101)
        numbers = tile.labels.astype(np.float32)  # OpenCV warps no int32; whole numbers are exact up to 2**24
        cut = _cut(numbers, centre, matrix, wide, bend, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT, -1)
        labels = cut.astype(np.int32)
        outside = labels < 0
        labels[outside] = 0
        if tile.unknown is not None:
            hidden = _cut(
                tile.unknown.astype(np.uint8), centre, matrix, wide, bend, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT, 1
            )
            outside |= (hidden > 0) & (labels == 0)
        distance = distance_maps(labels)
        inner = slice(REACH, REACH + self.core)
        labels, outside, distance = labels[inner, inner], outside[inner, inner], distance[:, inner, inner]
        nucleus = (labels > 0).astype(np.int64)
        types = type_map(labels, tile.types)
        if not tile.typed:
            types[:] = -1  # nor is the background: a branch that learns only that from a source learns the source
        nucleus[outside] = types[outside] = -1
        image = change_appearance(image, self.changes, rng)
        return {
            "image": torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float() / 255,
            "nucleus": torch.from_numpy(nucleus),
            "distance": torch.from_numpy(np.ascontiguousarray(distance)),
            "type": torch.from_numpy(types),
        }


def _cut(
    array: np.ndarray,
    centre: np.ndarray,
    matrix: np.ndarray,
    side: int,
    bend: np.ndarray | None,
    how: int,
    border: int,
    value: float = 0.0,
) -> np.ndarray:
    """Cut a square around `centre` (column, row), seen through `matrix` (output to input) and the displacement."""
    middle = (side - 1) / 2
    warp = np.column_stack([matrix, centre - matrix @ [middle, middle]])
    if bend is None:
        flags = how | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(array, warp, (side, side), flags=flags, borderMode=border, borderValue=(value,) * 3)
    off = (len(bend) - side) // 2
    columns, rows = np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32))
    x = columns + bend[off : off + side, off : off + side, 0]
    y = rows + bend[off : off + side, off : off + side, 1]
    w = warp.astype(np.float32)
    return cv2.remap(
        array, w[0, 0] * x + w[0, 1] * y + w[0, 2], w[1, 0] * x + w[1, 1] * y + w[1, 2], how, borderMode=border,
        borderValue=(value,) * 3,
    )  # fmt: skip


def stratum_weights(
    strata: list[str],
    sampling: str,
    sources: dict[str, float],
    *,
    rates: dict[int, float] | None = None,
    power: float = 1.0,
) -> dict[str, float]:
    """Say how often windows of each source and dominant type are drawn (the paper's Table 3).

    Parameters
    ----------
    strata : list of str
        ``source/type`` of every place.
    sampling : str
        ``none``: every place alike. ``uniform``: every type of a source alike. ``type-aware``: rarer types more often,
        by the square root of how much rarer than the commonest they are, 20 times at most. ``published``: by `rates`.
    sources : dict
        Source -> factor.
    rates : dict, optional
        Number of a type -> factor; 1 for others.
    power : float
        Of a source's number of places: 1 draws every place alike, 0 every source.

    Returns
    -------
    dict
        Stratum -> weight of all its places together.
    """
    count = Counter(strata)
    weights: dict[str, float] = {}
    for stratum, number in count.items():
        source = stratum.rsplit("/", 1)[0]
        most = max(n for name, n in count.items() if name.rsplit("/", 1)[0] == source)
        factor = {
            "none": 1.0,
            "uniform": most / number,
            "type-aware": float(np.clip((most / number) ** 0.5, 1, 20)),
            "published": (rates or {}).get(int(stratum.rsplit("/", 1)[1]), 1.0),
        }
        weights[stratum] = number * factor[sampling]
    share: dict[str, float] = defaultdict(float)
    for stratum, weight in weights.items():
        share[stratum.rsplit("/", 1)[0]] += weight
    places = Counter(name.rsplit("/", 1)[0] for name in strata)
    # Whatever the types, a source is drawn by its size, times what was asked.
    return {
        stratum: weight / share[source] * places[source] ** power * sources.get(source, 1.0)
        for stratum, weight in weights.items()
        for source in [stratum.rsplit("/", 1)[0]]
    }
