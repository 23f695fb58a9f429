"""Training crops: geometry, pasted neighbours, stain and colour; and whole images for validation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from cellscope.assays.nucleus_seg.classes import OUTSIDE, cells_of, class_indices, nucleus_diameter
from cellscope.assays.nucleus_seg.datasets.stored import read_nuclei
from cellscope.assays.nucleus_seg.training.appearance import borrow_stain, change_appearance, stain_red_cells
from cellscope.assays.nucleus_seg.training.paste import paste_neighbour
from cellscope.io.prepared import PreparedDataset
from cellscope.io.read import read

#: Images are kept no larger than this many times the network's scale: warping from far larger ones would alias.
KEPT_SCALE = 1.6
#: How much wider than by default the ranges of colour, tone and blur are with `augment` wide.
WIDE = 1.4
#: Where the size of the nuclei cannot be told, since there are none.
USUAL_DIAMETER = 56.0


@dataclass
class Smear:
    """An image in memory with its annotation.

    Attributes
    ----------
    name, source : str
    image : (H, W, 3) uint8
    mask : (H, W) uint8, codes of `classes`
    cells : (H, W) int32
        Numbers of the cells.
    diameter : float
        Of the nuclei, pixels.
    scale : float
        This image's pixels per pixel of the file.
    """

    name: str
    source: str
    image: np.ndarray
    mask: np.ndarray
    cells: np.ndarray
    diameter: float
    scale: float


def load_smear(root: Path, row: Any, *, diameter: float | None = None) -> Smear:
    """Read one item of a prepared dataset.

    Parameters
    ----------
    root : Path
    row : named tuple
        Of ``items.csv``.
    diameter : float, optional
        Shrink images whose nuclei are larger, to that diameter in pixels.
    """
    image = read(root / row.image).pixels
    mask = read(root / row.target).pixels[..., 0]
    nuclei = read_nuclei(root, str(row.target))
    found = nucleus_diameter(mask, nuclei) or USUAL_DIAMETER
    scale = 1.0
    if diameter and found > diameter:
        scale = diameter / found
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        if nuclei is not None:
            nuclei = cv2.resize(nuclei.astype(np.float32), image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
            nuclei = nuclei.astype(np.int32)
    name = str(row.id)
    return Smear(name, name.split("/", 1)[0], image, mask, cells_of(mask, nuclei), found * scale, scale)


def load_smears(prepared: PreparedDataset, split: str, *, limit: int | None, diameter: float) -> list[Smear]:
    """Read a split, to be kept by `prepared`, at no more than `KEPT_SCALE` times the network's scale (0: as it is)."""
    rows = prepared.split(split)
    if limit:  # spread over the sources, which follow one another
        rows = rows.iloc[np.unique(np.linspace(0, len(rows) - 1, limit).round().astype(int))]
    kept = diameter * KEPT_SCALE or None
    return [prepared.keep(load_smear(prepared.root, row, diameter=kept)) for row in rows.itertuples()]


class Crops(Dataset):
    """Random crops: ``crops[item, draw]``, the same for the same draw.

    Parameters
    ----------
    smears : list of Smear
    options : TrainOptions
        Uses ``crop``, ``diameter``, ``scale_jitter``, ``augment``, ``pair_rate``, ``touch_rate``,
        ``seed``.
    """

    def __init__(self, smears: list[Smear], options: Any):
        self.smears, self.options = smears, options
        self.by_source: dict[str, list[int]] = {}
        for number, smear in enumerate(smears):
            if smear.cells.max() > 0:
                self.by_source.setdefault(smear.source, []).append(number)

    def __len__(self) -> int:
        return len(self.smears)

    def __getitem__(self, key: tuple[int, int]) -> tuple[torch.Tensor, ...]:
        """Give the image, class indices, the distance inside the cell, and where cells touch.

        The image is (3, s, s) float32 in [0, 1]; the others are (s, s): int64, where 3 means "not a nucleus, else
        unknown"; float32, -1 where it is unknown; bool.
        """
        item, draw = key
        options = self.options
        rng = np.random.default_rng([options.seed, 11, draw])
        smear = self.smears[item]
        image, mask, cells = self._view(smear, rng)
        if rng.random() < options.pair_rate and smear.source in self.by_source:
            others = self.by_source[smear.source]
            for _ in range(1 + (rng.random() < 0.25)):
                other = self.smears[others[rng.integers(len(others))]]
                view = self._view(other, rng, centred=True)
                image, mask, cells = paste_neighbour(image, mask, cells, view, rng, touch_rate=options.touch_rate)
        if options.augment in ("strong", "wide"):
            image = self._stained(image, mask, rng)
        distance = cell_distance(cells)
        if (mask == OUTSIDE).any():  # how far cells reach is not known, but that they end where two nuclei meet is
            distance = np.where(contact(cells, reach=1), 0, -1).astype(np.float32)
        return (
            torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float() / 255,
            torch.from_numpy(class_indices(mask).astype(np.int64)),
            torch.from_numpy(distance),
            torch.from_numpy(contact(cells)),
        )

    def _stained(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Change the crop's appearance; with `augment` wide also to the stain of another source's image."""
        if self.options.augment == "strong":
            return change_appearance(image, rng)
        if rng.random() < 0.4:
            image = stain_red_cells(image, mask, rng)
        if rng.random() < 0.4:
            sources = sorted(self.by_source)
            numbers = self.by_source[sources[rng.integers(len(sources))]]
            other = self.smears[numbers[rng.integers(len(numbers))]]
            image = borrow_stain(image, mask, other.image, other.mask, rng)
        return change_appearance(image, rng, width=WIDE)

    def _view(
        self, smear: Smear, rng: np.random.Generator, *, centred: bool = False
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cut one crop by a random similarity (with `augment` none, an upright one at a fixed scale)."""
        options = self.options
        side: int = options.crop
        free = options.augment in ("strong", "wide", "geometry")
        jitter = options.scale_jitter if free else 0.0
        wanted = options.diameter or smear.diameter
        zoom = wanted / smear.diameter * 2 ** rng.uniform(-jitter, jitter)
        angle, mirror, stretch = 0.0, 1.0, 1.0
        if options.augment != "none":
            mirror = 1.0 if rng.random() < 0.5 else -1.0
            angle = rng.integers(4) * np.pi / 2
        if free:
            angle = rng.uniform(0, 2 * np.pi)
            stretch = 2 ** rng.uniform(-0.12, 0.12)
        cosine, sine = np.cos(angle) * zoom, np.sin(angle) * zoom
        matrix = np.array([[cosine * mirror * stretch, -sine], [sine * mirror * stretch, cosine]])
        if options.placing == "centre" and not centred:
            middle = (np.array([smear.image.shape[1], smear.image.shape[0]]) - 1) / 2
            return _warped(smear, np.column_stack([matrix, side / 2 - 0.5 - matrix @ middle]), side, _BLACK)
        rows, columns = np.nonzero(smear.cells) if centred or rng.random() < 0.85 else (np.array([]), np.array([]))
        if len(rows):
            pick = rng.integers(len(rows))
            inside = smear.cells == smear.cells[rows[pick], columns[pick]]
            rows, columns = np.nonzero(inside)
            middle = np.array([columns.mean(), rows.mean()])
            shift = 0.0 if centred else rng.uniform(-0.22, 0.22, 2) * side
        else:
            middle = rng.uniform(0, 1, 2) * (smear.image.shape[1], smear.image.shape[0])
            shift = 0.0
        offset = side / 2 - 0.5 + shift - matrix @ middle
        return _warped(smear, np.column_stack([matrix, offset]), side, _border(smear.image, rng))


_BLACK = (0.0, 0.0, 0.0)
"""What lies outside crops of marrow fields."""


def _warped(
    smear: Smear, warp: np.ndarray, side: int, outside: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw image, mask and cells into a square by a (2, 3) affine map."""
    size, border = (side, side), cv2.BORDER_CONSTANT
    image = cv2.warpAffine(smear.image, warp, size, flags=cv2.INTER_LINEAR, borderMode=border, borderValue=outside)
    mask = cv2.warpAffine(smear.mask, warp, size, flags=cv2.INTER_NEAREST, borderMode=border)
    cells = cv2.warpAffine(smear.cells.astype(np.int16), warp, size, flags=cv2.INTER_NEAREST, borderMode=border)
    return image, mask, cells


def _border(image: np.ndarray, rng: np.random.Generator) -> tuple[float, ...]:
    """Choose what lies outside the image: its background's colour, black (as crops of marrow fields have), or white."""
    kind = rng.random()
    if kind < 0.7:
        edge = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        return tuple(float(value) for value in np.percentile(edge, 75, axis=0))
    return _BLACK if kind < 0.92 else (255.0, 255.0, 255.0)


def cell_distance(cells: np.ndarray) -> np.ndarray:
    """Give for every pixel of a cell its distance to the outside of that cell, as a share of the cell's largest.

    Parameters
    ----------
    cells : (H, W) int

    Returns
    -------
    (H, W) float32 in [0, 1]
    """
    distance = np.zeros(cells.shape, np.float32)
    for number in np.unique(cells):
        if number:
            inside = (cells == number).astype(np.uint8)
            own = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
            distance += own / max(float(own.max()), 1.0)
    return np.clip(distance, 0, 1)


def contact(cells: np.ndarray, reach: int = 3) -> np.ndarray:
    """Tell where two cells meet.

    Parameters
    ----------
    cells : (H, W) int
    reach : int
        Pixels to either side.

    Returns
    -------
    (H, W) bool
        Pixels with two different cells within `reach`.
    """
    window = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    numbers = cells.astype(np.float32)
    highest = cv2.dilate(numbers, window)
    lowest = cv2.erode(np.where(numbers > 0, numbers, np.inf).astype(np.float32), window)
    return (highest > 0) & (lowest < highest)


class Whole(Dataset):
    """Whole images at the network's scale, with their number.

    Parameters
    ----------
    smears : list of Smear
    diameter : float
        Nucleus diameter at the network's scale, pixels; 0 leaves images as they are.
    """

    def __init__(self, smears: list[Smear], diameter: float):
        self.smears, self.diameter = smears, diameter

    def __len__(self) -> int:
        return len(self.smears)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """Give the image (3, H, W) float32 in [0, 1], sides multiples of 16 by repeating the border, and the number."""
        smear = self.smears[index]
        image = smear.image
        if self.diameter:
            zoom = self.diameter / smear.diameter
            how = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
            image = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=how)
        bottom, right = -image.shape[0] % 16, -image.shape[1] % 16
        image = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float() / 255, index
