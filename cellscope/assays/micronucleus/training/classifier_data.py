"""Crops of cells for the classifier: read once, turned, flipped, scaled and repainted at every draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from scipy import ndimage
from torch.utils.data import Dataset

from cellscope.assays.micronucleus.classes import CLASSES
from cellscope.assays.micronucleus.classify.crops import SIDE, crop_view, normalise_crop
from cellscope.assays.micronucleus.datasets.fields import vary_light
from cellscope.errors import DatasetError
from cellscope.io.prepared import PreparedDataset
from cellscope.io.read import read


@dataclass(eq=False)
class Crop:
    """One crop: normalised pixels (H, W) float16; micronuclei outlined in it, (H, W) uint8 0 to 255, or None.

    Then the index of its class, its cell line, its group and its id.
    """

    pixels: np.ndarray
    mask: np.ndarray | None
    label: int
    source: str
    group: str
    id: str

    @property
    def stratum(self) -> str:
        """What training draws are balanced by."""
        return f"{self.source}/{CLASSES[self.label]}"


def load_crops(dataset: PreparedDataset, split: str, *, limit: int | None = None) -> list[Crop]:
    """Read the crops of a split (``all``: of every split, but nothing that is left out), `limit` of them spread evenly.

    Raises
    ------
    DatasetError
        For a class that is neither of the two.
    """
    rows = dataset.splits(split)
    rows = rows[rows["class"] != ""].rename(columns={"class": "class_"})
    if limit is not None and len(rows) > limit:
        rows = rows.iloc[np.linspace(0, len(rows) - 1, limit).round().astype(int)]
    found = []
    for row in rows.itertuples():
        if row.class_ not in CLASSES:
            raise DatasetError(f"{dataset.root}: {row.id} has the class {row.class_!r}; there are {', '.join(CLASSES)}")
        pixels = normalise_crop(read(dataset.root / str(row.image)).pixels[..., 0])
        source = str(row.id).split("/", 1)[0]
        mask = read(dataset.root / str(row.target)).pixels[..., 0] if row.target else None
        label = CLASSES.index(str(row.class_))
        crop = Crop(pixels.astype(np.float16), mask, label, source, str(row.group), str(row.id))
        found.append(dataset.keep(crop))
    return found


class CropViews(Dataset):
    """Views of crops: varied in training (`seed` given), plain otherwise.

    Each item is ``(view (1, S, S) float32, label, micronuclei (1, S, S) float32)``; the last plane is the share of each
    pixel that is micronucleus, -1 all over where nobody outlined them.

    Parameters
    ----------
    crops : list of Crop
    size : int
        Side of the network's input.
    seed : int or None
    synthetic : float
        Share of draws that get a synthetic micronucleus (and its label).
    pretrain : int
        The first this many draws are of crops without micronuclei only, half of them with a synthetic one.
    plain : bool
        Training views are plain, too.
    """

    def __init__(
        self,
        crops: list[Crop],
        size: int,
        *,
        seed: int | None,
        synthetic: float = 0.0,
        pretrain: int = 0,
        plain: bool = False,
    ):
        self.plain = plain
        self.crops, self.size, self.seed, self.synthetic, self.pretrain = crops, size, seed, synthetic, pretrain
        self.normal = [index for index, crop in enumerate(crops) if crop.label == 0]

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, key: Any) -> tuple[torch.Tensor, int, torch.Tensor]:
        """Give one view; in training the key is (index, draw)."""
        if self.seed is None:
            crop = self.crops[key]
            plain = torch.from_numpy(crop_view(crop.pixels.astype(np.float32), self.size))
            return plain, crop.label, torch.full((1, self.size, self.size), -1.0)
        index, draw = key
        rng = np.random.default_rng([self.seed, draw])
        share = self.synthetic
        if draw < self.pretrain and self.normal:
            index, share = self.normal[int(rng.integers(len(self.normal)))], 0.5
        crop = self.crops[index]
        pixels, label = crop.pixels.astype(np.float32), crop.label
        mask = None if crop.mask is None else crop.mask.astype(np.float32) / 255
        if rng.random() < share:
            painted = add_micronucleus(pixels, rng)
            mask = None if mask is None else np.maximum(mask, painted > pixels + 0.2)
            pixels, label = painted, 1
        if self.plain:
            view = crop_view(pixels, self.size)
            return torch.from_numpy(view), label, torch.full((1, self.size, self.size), -1.0)
        matrix = random_placement(pixels.shape, self.size, rng)
        view = vary_light(moved(pixels, matrix, self.size), rng)
        marks = np.full((self.size, self.size), -1, np.float32) if mask is None else moved(mask, matrix, self.size)
        return torch.from_numpy(np.clip(view, -0.5, 3.0)[None]), label, torch.from_numpy(marks[None])


def random_placement(shape: tuple[int, ...], size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw an affine map from a crop to a view: any angle, flipped or not, scaled and shifted a little; (2, 3)."""
    height, width = shape
    scale = size / max(height, width) * float(np.exp(rng.normal(0.03, 0.12)))
    angle, flip = float(rng.uniform(0, 2 * np.pi)), 1.0 if rng.random() < 0.5 else -1.0
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[cos * flip, -sin], [sin * flip, cos]])
    shift = (size - 1) / 2 + rng.normal(0, 0.03, 2) * size - linear @ [(width - 1) / 2, (height - 1) / 2]
    return np.hstack([linear, shift[:, None]]).astype(np.float32)


def moved(plane: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Draw a plane into a view; blurred first where the view is coarser, so that nothing flickers."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if scale < 0.75:
        plane = cv2.GaussianBlur(plane, (0, 0), 0.35 / scale)
    return cv2.warpAffine(plane.astype(np.float32), matrix, (size, size), flags=cv2.INTER_LINEAR)


def add_micronucleus(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paint a synthetic micronucleus: a small soft ellipse of the nucleus's own texture, near or at its rim.

    Parameters
    ----------
    pixels : (H, W) float32
        A normalised crop, nucleus in the middle.
    rng

    Returns
    -------
    (H, W) float32
    """
    height, width = pixels.shape
    labels, count = ndimage.label(pixels > 0.5)
    if not count:
        return pixels
    rows, columns = np.nonzero(labels)
    middle = int(np.argmin((rows - height / 2) ** 2 + (columns - width / 2) ** 2))
    nucleus = labels == labels[rows[middle], columns[middle]]
    diameter = width / SIDE
    radius = diameter * float(np.exp(rng.uniform(np.log(0.045), np.log(0.14))))
    distance = ndimage.distance_transform_edt(~nucleus)
    wanted = radius * 0.6 + diameter * min(float(rng.exponential(0.12)), 0.6)
    ring = np.argwhere(np.abs(distance - wanted) < 1.0)
    if not len(ring):
        return pixels
    row, column = ring[int(rng.integers(len(ring)))]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle, squeeze = float(rng.uniform(0, np.pi)), float(rng.uniform(0.75, 1.0))
    u = (x - column) * np.cos(angle) + (y - row) * np.sin(angle)
    v = -(x - column) * np.sin(angle) + (y - row) * np.cos(angle)
    softness = diameter * 0.03
    shape = 1 / (1 + np.exp(np.clip((np.hypot(u, v / squeeze) - radius) / softness * 2, -30, 30)))
    inside = pixels[nucleus]
    brightness = float(np.median(inside)) * float(rng.uniform(0.3, 1.1))
    texture = np.roll(pixels, (int(row - height / 2), int(column - width / 2)), (0, 1)) / max(
        float(np.median(inside)), 0.1
    )
    painted = brightness * shape * np.clip(texture, 0.7, 1.3)
    return np.maximum(pixels, painted).astype(np.float32)
