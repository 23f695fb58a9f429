"""Annotated fields for the nucleus finder: read once, cut, turned, scaled and repainted at every draw."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from scipy import ndimage
from torch.utils.data import Dataset

from cellscope.assays.micronucleus.field.field import as_channels, grey_of, median_diameter, normalise_field
from cellscope.assays.micronucleus.find.finder import DIAMETER
from cellscope.io.prepared import PreparedDataset
from cellscope.io.read import read

SMALLEST = 5
"""Micronuclei of fewer pixels neither teach nor untrain (scores ignore them)."""

DARK = 0.1
"""Brightness below which a pixel is no micronucleus, as a share of that of the usual nucleus."""

CLUMPY = 0.3
"""Share of training views whose nuclei get bright spots."""

OUTLINED, SOME = "micronuclei", "some"
"""A column of ``items.csv``, and what it holds for a field in which not all micronuclei are outlined."""


@dataclass(eq=False)
class Field:
    """One annotated field in memory.

    Attributes
    ----------
    id, source : str
    grey : (H, W) float32
        As stored.
    normalised : (H, W) float32
        Background 0, usual nucleus 1.
    nuclei, micronuclei : (H, W) int32
    parents : dict
        Micronucleus -> nucleus.
    depth : (H, W) float32
        Distance to the nucleus's rim over its largest such distance, 0 outside.
    diameter : float
        Median of the nuclei, pixels.
    complete : bool
        False where only some of the micronuclei are outlined: what is none may be one.
    """

    id: str
    source: str
    grey: np.ndarray
    normalised: np.ndarray
    nuclei: np.ndarray
    micronuclei: np.ndarray
    parents: dict[int, int]
    depth: np.ndarray
    diameter: float
    complete: bool = True

    def positive(self) -> set[int]:
        """Nuclei that carry a micronucleus of at least `SMALLEST` pixels."""
        areas = np.bincount(self.micronuclei.ravel())
        return {nucleus for label, nucleus in self.parents.items() if areas[label] >= SMALLEST}


def load_field(root: Path, row: Any) -> Field:
    """Read a field and its target from a prepared dataset."""
    grey = grey_of(read(root / str(row.image)).pixels, str(row.image))
    target = read(root / str(row.target)).pixels.astype(np.int32)
    nuclei, micronuclei = np.ascontiguousarray(target[..., 0]), np.ascontiguousarray(target[..., 1])
    pairs = np.unique(target[target[..., 2] > 0][:, 1:], axis=0)
    parents = {int(label): int(parent) for label, parent in pairs}
    return Field(
        id=str(row.id),
        source=str(row.id).split("/", 1)[0],
        grey=grey,
        normalised=normalise_field(grey),
        nuclei=nuclei,
        micronuclei=micronuclei,
        parents=parents,
        depth=depth_map(nuclei),
        diameter=median_diameter(nuclei) or DIAMETER,
        complete=getattr(row, OUTLINED, "") != SOME,
    )


def load_fields(dataset: PreparedDataset, split: str, *, limit: int | None = None) -> list[Field]:
    """Read the fields of a split (``all``: of every split, but nothing that is left out), at most `limit`."""
    rows = dataset.splits(split)
    rows = rows[(rows["target"] != "") & (rows["class"] == "")]
    return [dataset.keep(load_field(dataset.root, row)) for row in rows.head(limit or len(rows)).itertuples()]


def depth_map(labels: np.ndarray) -> np.ndarray:
    """Depth inside each nucleus: distance to its rim, 1 at its innermost pixel.

    Parameters
    ----------
    labels : (H, W) int

    Returns
    -------
    (H, W) float32 in [0, 1]
    """
    depth = np.zeros(labels.shape, np.float32)
    for index, place in enumerate(ndimage.find_objects(labels), 1):
        if place is None:
            continue
        inside = labels[place] == index
        distance = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
        depth[place][inside] = (distance / distance.max())[inside]
    return depth


class FieldCrops(Dataset):
    """Random crops around nuclei at the finder's scale.

    Each item is ``(input (2, S, S), targets (3, S, S), weights (3, S, S))`` float32; the three planes are those of
    `cellscope.assays.micronucleus.find.finder.OUTPUTS`.

    Parameters
    ----------
    fields : list of Field
    size : int
    zoom : float
        Standard deviation of the natural logarithm of the random scale.
    seed : int
    """

    def __init__(self, fields: list[Field], size: int, zoom: float, seed: int):
        self.fields, self.size, self.zoom, self.seed = fields, size, zoom, seed
        self.centres = [ndimage.center_of_mass(f.nuclei > 0, f.nuclei, np.unique(f.nuclei)[1:]) for f in fields]

    def __len__(self) -> int:
        return len(self.fields)

    def __getitem__(self, key: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Give the crop of one draw: key is (index, draw)."""
        index, draw = key
        field = self.fields[index]
        rng = np.random.default_rng([self.seed, draw])
        matrix = self._placement(field, self.centres[index], rng)

        def moved(plane: np.ndarray, flags: int, fill: float = 0.0) -> np.ndarray:
            return cv2.warpAffine(
                plane, matrix, (self.size, self.size), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=fill
            )

        shrinking = abs(np.linalg.det(matrix[:, :2])) < 0.7
        grey = cv2.GaussianBlur(field.normalised, (0, 0), 0.5) if shrinking else field.normalised
        inside = moved(np.ones_like(grey), cv2.INTER_NEAREST)
        view = moved(grey, cv2.INTER_LINEAR)
        nucleus = moved((field.nuclei > 0).astype(np.float32), cv2.INTER_LINEAR)
        depth = moved(field.depth, cv2.INTER_LINEAR)
        areas = np.bincount(field.micronuclei.ravel())
        counted = (areas >= SMALLEST)[field.micronuclei] & (field.micronuclei > 0)
        mn = moved(counted.astype(np.float32), cv2.INTER_LINEAR)
        unsure = moved(((field.micronuclei > 0) & ~counted).astype(np.float32), cv2.INTER_LINEAR)
        dark = cv2.blur(view, (3, 3)) < DARK  # nothing is there that somebody might have left out
        told = 1.0 if field.complete else ((nucleus > 0.3) | (mn > 0) | dark).astype(np.float32)
        # where nuclei touch, the soft mask and the depth dip: these pixels decide whether two stay one
        rim = (nucleus > 0.3) & (depth < 0.25)
        weights = np.stack(
            [inside * (1 + rim), inside * (nucleus > 0.3) * 2 + inside * 0.2, inside * told * (1 - (unsure > 0))]
        )
        if rng.random() < CLUMPY:
            view = clump_chromatin(view, np.where(mn > 0, 0, depth), rng)
        view = vary_light(view, rng)
        targets = np.stack([nucleus, depth, mn])
        return (
            torch.from_numpy(as_channels(view)),
            torch.from_numpy(np.clip(targets, 0, 1)),
            torch.from_numpy(weights.astype(np.float32)),
        )

    def _placement(self, field: Field, centres: Any, rng: np.random.Generator) -> np.ndarray:
        scale = DIAMETER / field.diameter * float(np.exp(rng.normal(0, self.zoom)))
        angle, flip = float(rng.uniform(0, 2 * np.pi)), 1.0 if rng.random() < 0.5 else -1.0
        height, width = field.grey.shape
        row, column = centres[int(rng.integers(len(centres)))] if len(centres) else (height / 2, width / 2)
        jitter = rng.uniform(-0.35, 0.35, 2) * self.size / scale
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        linear = np.array([[cos * flip, -sin], [sin * flip, cos]])
        shift = self.size / 2 - linear @ (np.array([column, row]) + jitter)
        return np.hstack([linear, shift[:, None]]).astype(np.float32)


def clump_chromatin(view: np.ndarray, depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paint heterochromatin: bright spots inside nuclei, as chromocentres of mouse cells and some tumour lines show.

    They are no micronuclei, and a cell line without them does not teach that.

    Parameters
    ----------
    view : (H, W) float32
        At the finder's scale, background 0 and usual nucleus 1.
    depth : (H, W) float32
        Depth inside the nuclei, 0 at the rim and outside; spots lie deeper than a tenth.
    rng

    Returns
    -------
    (H, W) float32
    """
    per_nucleus = float(np.exp(rng.uniform(np.log(3), np.log(25))))
    radius = DIAMETER * float(np.exp(rng.uniform(np.log(0.02), np.log(0.07))))
    seeds = rng.random(view.shape) < per_nucleus / (np.pi / 4 * DIAMETER**2)
    heights = np.where(seeds & (depth > 0.1), rng.uniform(0.2, 1.5, view.shape), 0).astype(np.float32)
    spots = cv2.GaussianBlur(heights, (0, 0), radius) * np.float32(2 * np.pi * radius**2)
    inside = np.clip(depth / 0.15, 0, 1)
    dimmed = view * (1 - inside * float(rng.uniform(0, 0.3)))
    return (dimmed + np.clip(spots, 0, 1.5) * inside * np.clip(view, 0, 1.5)).astype(np.float32)


def vary_light(view: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change what differs between microscopes: gain, contrast curve, uneven background, focus, noise.

    Parameters
    ----------
    view : (H, W) float32, background 0 and usual nucleus 1
    rng

    Returns
    -------
    (H, W) float32
    """
    view = view * float(np.exp(rng.normal(0, 0.3)))
    if rng.random() < 0.5:
        view = np.sign(view) * np.abs(view) ** float(np.exp(rng.normal(0, 0.2)))
    if rng.random() < 0.4:
        height, width = view.shape
        coarse = rng.normal(0, 0.08, (3, 3)).astype(np.float32)
        view = view + cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.35:
        view = cv2.GaussianBlur(view, (0, 0), float(rng.uniform(0.4, 1.5)))
    if rng.random() < 0.15:
        view = view + 1.0 * (view - cv2.GaussianBlur(view, (0, 0), 1.5))
    if rng.random() < 0.5:
        noise = rng.standard_normal(view.shape, dtype=np.float32)
        view = view + noise * float(rng.uniform(0, 0.15)) * np.sqrt(0.1 + np.clip(view, 0, 2))
    return view.astype(np.float32)
