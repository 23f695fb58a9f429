"""Metaphases for the detector: rotated, scaled crops to train on, whole images to validate on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from pycocotools import mask as rle
from torch.utils.data import Dataset, Sampler

from cellscope.assays.karyotype.paste import ChromosomeBank, add_debris, paste
from cellscope.assays.karyotype.scale import detector_scale, resize
from cellscope.imaging.tone import foreground, normalise_tone
from cellscope.io.prepared import PreparedDataset
from cellscope.io.read import read

MIN_VISIBLE = 0.35
MIN_SIDE = 4
#: Share of crops that get chromosomes of other metaphases pasted in, and, of crops whose image has boxes only, share
#: that are made of nothing else: there every mask is known, and every angle is possible.
PASTED = 0.5
MADE_UP = 0.3


@dataclass
class Metaphase:
    """An annotated metaphase, normalised, at its own resolution.

    Attributes
    ----------
    image : (H, W) float32
        From `normalise_tone`.
    scale : float or (2,) float
        Factor to the detector's scale; along x and y where a data set resizes them differently.
    boxes : (N, 4) float32
        x0, y0, x1, y1.
    masks : list of N (h, w) uint8 arrays or None
        Over the box rounded outwards; pseudo-masks where the source has boxes only and the chromosome lies alone.
    offsets : (N, 2) int
        x, y of each mask's first pixel.
    ignored : list of (x, y, mask)
        Regions to be erased: what must not teach anything.
    classes : list of str or None
    margin : float
        What was taken off each side of a box-only image's boxes, in pixels.
    """

    name: str
    source: str
    image: np.ndarray
    scale: Any
    boxes: np.ndarray
    masks: list[np.ndarray | None]
    offsets: np.ndarray
    ignored: list[tuple[int, int, np.ndarray]]
    classes: list[str | None]
    margin: float = 0.0


def load_metaphase(root: Path, row: Any, *, tight: bool = False) -> Metaphase:
    """Read one metaphase item of a prepared dataset.

    Parameters
    ----------
    root : Path
        The dataset.
    row : named tuple
        A row of its items.
    tight : bool
        Take off the margin that the boxes of a box-only image were drawn with (see `box_margin`): what a detector
        that also learns from masks should be taught. Without it, boxes are as annotated: what it is measured by.
    """
    image, _ = normalise_tone(read(root / row.image).pixels[..., 0].astype(np.float32))
    target = json.loads((root / row.target).read_text())
    boxes, masks, offsets, ignored, classes = [], [], [], [], []
    annotations = target["annotations"]
    every_box = np.array([annotation["bbox"] for annotation in annotations], np.float32).reshape(-1, 4)
    pseudo, margin = None, 0.0
    if not all(annotation["segmentation"] for annotation in annotations):
        pseudo = foreground(image)
        if tight:
            margin = box_margin(every_box, pseudo)
            shrink = np.minimum(margin, 0.3 * every_box[:, 2:])
            every_box = np.hstack([every_box[:, :2] + shrink, every_box[:, 2:] - 2 * shrink]).astype(np.float32)
    for index, annotation in enumerate(annotations):
        x, y, w, h = map(float, every_box[index])
        x0, y0 = max(int(np.floor(x)), 0), max(int(np.floor(y)), 0)
        x1, y1 = min(int(np.ceil(x + w)), image.shape[1]), min(int(np.ceil(y + h)), image.shape[0])
        if x1 - x0 < 2 or y1 - y0 < 2:
            continue
        mask: np.ndarray | None
        if annotation["segmentation"]:
            mask = np.ascontiguousarray(rle.decode(annotation["segmentation"])[y0:y1, x0:x1])
        else:
            assert pseudo is not None
            mask = _pseudo_mask(pseudo[y0:y1, x0:x1], index, every_box)
        if annotation.get("ignore") and mask is not None:
            ignored.append((x0, y0, mask))
            continue
        boxes.append([x, y, x + w, y + h])
        masks.append(mask)
        offsets.append([x0, y0])
        classes.append(annotation["class"])
    return Metaphase(
        row.id,
        row.id.split("/", 1)[0],
        image,
        detector_scale(image),
        np.array(boxes, np.float32).reshape(-1, 4),
        masks,
        np.array(offsets, int).reshape(-1, 2),
        ignored,
        classes,
        margin,
    )


def box_margin(boxes: np.ndarray, foreground_: np.ndarray) -> float:
    """Estimate how far outside the chromosomes an image's boxes were drawn.

    Parameters
    ----------
    boxes : (N, 4) float
        x, y, width, height.
    foreground_ : (H, W) bool

    Returns
    -------
    float
        Pixels per side: the median, over boxes whose foreground is one component that does not reach the box's border,
        of the mean distance between the two; 0 where fewer than five boxes tell.
    """
    gaps = []
    for x, y, w, h in boxes:
        x0, y0 = max(int(x), 0), max(int(y), 0)
        cut = foreground_[y0 : int(np.ceil(y + h)), x0 : int(np.ceil(x + w))].astype(np.uint8)
        if cut.size == 0:
            continue
        _, _, stats, _ = cv2.connectedComponentsWithStats(cut)
        if len(stats) < 2:
            continue
        left, top, width, height, area = stats[1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))]
        right, bottom = cut.shape[1] - left - width, cut.shape[0] - top - height
        if min(left, top, right, bottom) > 0 and area > 0.8 * cut.sum():
            gaps.append((left + top + right + bottom) / 4)
    return float(np.median(gaps)) if len(gaps) >= 5 else 0.0


def _pseudo_mask(foreground_in_box: np.ndarray, index: int, boxes: np.ndarray) -> np.ndarray | None:
    """Take the foreground in a box for the mask, but only where no other box comes near: else the mask is not known."""
    x, y, w, h = boxes[index]
    others = np.delete(boxes, index, 0)
    overlap_w = np.minimum(x + w, others[:, 0] + others[:, 2]) - np.maximum(x, others[:, 0])
    overlap_h = np.minimum(y + h, others[:, 1] + others[:, 3]) - np.maximum(y, others[:, 1])
    shared = (np.clip(overlap_w, 0, None) * np.clip(overlap_h, 0, None)).sum()
    if shared > 0.02 * w * h or foreground_in_box.mean() < 0.15:
        return None
    _, labels, stats, _ = cv2.connectedComponentsWithStats(foreground_in_box.astype(np.uint8))
    if len(stats) < 2:
        return None
    return (labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)


def erase_ignored(metaphase: Metaphase) -> np.ndarray:
    """Give the image with the regions to ignore set to background."""
    if not metaphase.ignored:
        return metaphase.image
    image = metaphase.image.copy()
    for x, y, mask in metaphase.ignored:
        grown = cv2.dilate(np.pad(mask.astype(np.uint8), 3), np.ones((7, 7), np.uint8))
        y0, x0 = max(y - 3, 0), max(x - 3, 0)
        cut = grown[y0 - (y - 3) :, x0 - (x - 3) :][: image.shape[0] - y0, : image.shape[1] - x0]
        image[y0 : y0 + cut.shape[0], x0 : x0 + cut.shape[1]][cut > 0] = 0.0
    return image


def vary_tone(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change contrast, gamma, background, blur and noise as stains and cameras do; values stay in [0, 1.5]."""
    image = image.copy()
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.3))
    image = np.power(image, rng.uniform(0.65, 1.5)) * rng.uniform(0.7, 1.25)
    if rng.random() < 0.3:
        rows, columns = np.mgrid[-1 : 1 : image.shape[0] * 1j, -1 : 1 : image.shape[1] * 1j]
        a, b = rng.uniform(-1, 1, 2)
        image = image + rng.uniform(0, 0.08) * (1 + a * rows + b * columns)
    if rng.random() < 0.5:
        image = image + rng.normal(0, rng.uniform(0.005, 0.05), image.shape)
    return np.clip(image, 0, 1.5).astype(np.float32)


class DetectCrops(Dataset):
    """Random square crops: rotated by any angle, flipped, scaled around the canonical scale.

    Parameters
    ----------
    metaphases : list of Metaphase
    size : int
        Side of a crop in pixels.
    scale_jitter : (low, high)
    seed : int
        With the epoch-free sample number, fixes every random choice: the same number gives the same crop.
    bank : ChromosomeBank, optional
        Chromosomes to paste in; none pastes nothing.
    """

    def __init__(
        self,
        metaphases: list[Metaphase],
        size: int,
        scale_jitter: tuple[float, float],
        seed: int,
        bank: ChromosomeBank | None = None,
    ):
        self.metaphases, self.size, self.scale_jitter, self.seed = metaphases, size, scale_jitter, seed
        self.bank = bank

    def __len__(self) -> int:
        return len(self.metaphases)

    def __getitem__(self, key: tuple[int, int]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Give the crop numbered `key` = (metaphase, draw)."""
        index, draw = key
        rng = np.random.default_rng([self.seed, draw])
        return self._crop(self.metaphases[index], rng)

    def _crop(self, metaphase: Metaphase, rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        scale = metaphase.scale * np.exp(rng.uniform(*np.log(self.scale_jitter)))
        # A box says nothing of what lies inside: only quarter turns keep it true. Masks can turn by any angle.
        boxes_only = any(mask is None for mask in metaphase.masks)
        angle = rng.integers(4) * np.pi / 2 if boxes_only else rng.uniform(0, 2 * np.pi)
        flip = rng.choice([-1.0, 1.0])
        # Centre on a chromosome, loosely: crops of empty background teach little.
        anchor = (
            metaphase.boxes[rng.integers(len(metaphase.boxes))]
            if len(metaphase.boxes)
            else np.array([0, 0, *metaphase.image.shape[::-1]])
        )
        centre = np.array([(anchor[0] + anchor[2]) / 2, (anchor[1] + anchor[3]) / 2])
        shift = rng.uniform(-0.4, 0.4, 2) * self.size
        cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
        linear = np.array([[cos * flip, -sin], [sin * flip, cos]])
        # Pixel centres lie at integer coordinates for OpenCV, boxes are measured between edges: hence the half pixel.
        offset = self.size / 2 + shift - linear @ centre
        matrix = np.hstack([linear, (offset + linear @ [0.5, 0.5] - 0.5)[:, None]])
        image = erase_ignored(metaphase)
        if scale < 0.8:
            image = cv2.GaussianBlur(image, (0, 0), 0.5 / scale * 0.8)
        crop = cv2.warpAffine(image, matrix, (self.size, self.size), flags=cv2.INTER_LINEAR)
        boxes, masks, known = [], [], []
        made_up = self.bank is not None and boxes_only and rng.random() < MADE_UP
        if made_up:
            crop = np.zeros_like(crop)
        for box, mask, (x, y) in zip(metaphase.boxes, metaphase.masks, metaphase.offsets, strict=True):
            if made_up:
                break
            placed, visible = self._place(box, mask, x, y, linear, offset, matrix, boxes_only)
            if placed is None:
                continue
            boxes.append(visible)
            masks.append(placed)
            known.append(mask is not None)
        if self.bank is not None and (made_up or rng.random() < PASTED):
            number = int(rng.integers(8, 22) if made_up else rng.integers(1, 7))
            for placed in self._paste(crop, masks, metaphase.source, scale / metaphase.scale, number, rng):
                boxes.append(_extent(placed))
                masks.append(placed)
                known.append(True)
            if made_up:
                add_debris(crop, np.any(masks, axis=0) if masks else np.zeros(crop.shape, bool), rng)
        crop = vary_tone(crop, rng)
        target = {
            "boxes": torch.from_numpy(np.array(boxes, np.float32).reshape(-1, 4)),
            "masks": torch.from_numpy(np.stack(masks))
            if masks
            else torch.zeros(0, self.size, self.size, dtype=torch.uint8),
            "mask_ok": torch.tensor(known, dtype=torch.bool),
        }
        return torch.from_numpy(crop)[None], target

    def _paste(
        self,
        crop: np.ndarray,
        masks: list[np.ndarray],
        source: str,
        jitter: float,
        number: int,
        rng: np.random.Generator,
    ) -> list[np.ndarray]:
        """Paste up to `number` chromosomes into the crop, most of them near others; give their masks."""
        assert self.bank is not None
        taken = np.zeros(crop.shape, bool)
        for mask in masks:
            taken |= mask > 0
        pasted: list[np.ndarray] = []
        for _ in range(number):
            cutout = self.bank.draw(source, rng)
            if cutout is None:
                break
            centre = rng.uniform(0, self.size, 2)
            if taken.any() and rng.random() < 0.7:
                rows, columns = np.nonzero(taken)
                chosen = rng.integers(len(rows))
                centre = np.array([columns[chosen], rows[chosen]]) + rng.normal(0, 0.05 * self.size, 2)
            placed = paste(crop, taken, cutout, centre, cutout.scale * jitter * rng.uniform(0.85, 1.18), rng)
            if placed is not None and min(np.ptp(np.nonzero(placed), axis=1)) + 1 >= MIN_SIDE:
                taken |= placed > 0
                pasted.append(placed)
        return pasted

    def _place(
        self,
        box: np.ndarray,
        mask: np.ndarray | None,
        x: int,
        y: int,
        linear: np.ndarray,
        offset: np.ndarray,
        matrix: np.ndarray,
        boxes_only: bool,
    ) -> tuple[np.ndarray | None, list[float]]:
        """Move one chromosome into the crop; (None, []) when too little of it is inside."""
        size = self.size
        corners = np.array([[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]]) @ linear.T + offset
        low, high = corners.min(0), corners.max(0)
        if (high <= 0).any() or (low >= size).any():
            return None, []
        inside = np.clip(np.concatenate([low, high]), 0, size)
        placed = np.zeros((size, size), np.uint8)
        if mask is not None:
            moved = matrix.copy()
            moved[:, 2] += linear @ [x, y]
            placed = (
                cv2.warpAffine(mask.astype(np.uint8) * 255, moved, (size, size), flags=cv2.INTER_LINEAR) > 127
            ).astype(np.uint8)
        if boxes_only:
            kept = (
                np.prod(inside[2:] - inside[:2]) > MIN_VISIBLE * np.prod(high - low)
                and min(inside[2:] - inside[:2]) >= MIN_SIDE
            )
            return (placed, inside.tolist()) if kept else (None, [])
        # The whole moved mask's area, visible or not, tells how much the crop's edge cuts off.
        area = float(mask.sum()) * abs(np.linalg.det(linear)) if mask is not None else 0.0
        if placed.sum() < max(MIN_VISIBLE * area, 12):
            return None, []
        tight = _extent(placed)
        if tight[2] - tight[0] < MIN_SIDE or tight[3] - tight[1] < MIN_SIDE:
            return None, []
        return placed, tight


def _extent(mask: np.ndarray) -> list[float]:
    """Give a mask's box: x0, y0, x1, y1."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)]


class DrawSampler(Sampler):
    """Reproducible draws (item, number), sources weighted; skips what a resumed training has seen.

    Of several training processes each takes every n-th draw.

    Parameters
    ----------
    items : list of objects with a ``source``
    weights : dict
        Source -> how often it is drawn, 1 where it is not named; whatever the number of its items.
    draws : int
        Of one process, from the first step to the last.
    seed : int
    start : int
        Draws that the process has made before.
    """

    def __init__(self, items: Sequence[Any], weights: dict[str, float], draws: int, seed: int, start: int = 0):
        count = Counter(item.source for item in items)
        weight = np.array([weights.get(item.source, 1.0) / count[item.source] for item in items])
        self.probability, self.draws, self.seed, self.start = weight / weight.sum(), draws, seed, start

    def __len__(self) -> int:
        """Count all draws, also those before `start`: Lightning counts a resumed loader from the beginning."""
        return self.draws

    def __iter__(self) -> Any:
        """Yield (item, draw) from `start` to `draws`."""
        together = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank, world = (torch.distributed.get_rank(), torch.distributed.get_world_size()) if together else (0, 1)
        order = np.random.default_rng([self.seed, 7]).choice(
            len(self.probability), self.draws * world, p=self.probability
        )
        for position in range(self.start, self.draws):
            draw = position * world + rank
            yield int(order[draw]), draw


class DetectWhole(Dataset):
    """Whole metaphases at the canonical scale, with their index."""

    def __init__(self, metaphases: list[Metaphase]):
        self.metaphases = metaphases

    def __len__(self) -> int:
        return len(self.metaphases)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """Give (1, H, W) float32 and the metaphase's index."""
        metaphase = self.metaphases[index]
        return torch.from_numpy(resize(erase_ignored(metaphase), metaphase.scale))[None], index


def load_metaphases(
    dataset: PreparedDataset, split: str, *, fold: int | None = None, limit: int | None = None, tight: bool = False
) -> list[Metaphase]:
    """Read the metaphases of a split, `limit` of them spread evenly; `tight` as in `load_metaphase`."""
    rows = dataset.split(split, fold=fold)
    rows = rows[rows["target"] != ""]
    if limit is not None and len(rows) > limit:
        rows = rows.iloc[np.linspace(0, len(rows) - 1, limit).round().astype(int)]
    return [load_metaphase(dataset.root, row, tight=tight) for row in rows.itertuples()]
