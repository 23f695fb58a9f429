"""Metaphases for the detector: rotated, scaled crops to train on, whole images to validate on."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from cellscope.assays.karyotype.datasets.metaphase import Metaphase, erase_ignored
from cellscope.assays.karyotype.detect.scale import resize
from cellscope.assays.karyotype.training.paste import ChromosomeBank, add_debris, paste

MIN_VISIBLE = 0.35
MIN_SIDE = 4
#: Share of crops that get chromosomes of other metaphases pasted in, and, of crops whose image has boxes only, share
#: that are made of nothing else: there every mask is known, and every angle is possible.
PASTED = 0.5
MADE_UP = 0.3
#: Of crops whose masks a network drew (`box_masks`), share that makes quarter turns, with the boxes as annotated; the
#: others turn by any angle, and their boxes are the turned masks' extents.
AS_ANNOTATED = 0.35


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
        no_masks = any(mask is None for mask in metaphase.masks)
        boxes_only = no_masks or (metaphase.believed is not None and rng.random() < AS_ANNOTATED)
        angle = rng.integers(4) * np.pi / 2 if boxes_only else rng.uniform(0, 2 * np.pi)
        flip = rng.choice([-1.0, 1.0])
        # Centre on a chromosome, loosely: crops of empty background teach little.
        anchor = (
            metaphase.boxes[rng.integers(len(metaphase.boxes))]
            if len(metaphase.boxes)
            else np.array([0, 0, *metaphase.image.shape[::-1]])
        )
        centre = np.array([(anchor[0] + anchor[2]) / 2, (anchor[1] + anchor[3]) / 2])
        shift = rng.uniform(-0.25, 0.25, 2) * self.size
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
        masks_in_doubt = no_masks or metaphase.believed is not None
        made_up = self.bank is not None and masks_in_doubt and rng.random() < MADE_UP
        if made_up:
            crop = np.zeros_like(crop)
        chromosomes = zip(metaphase.boxes, metaphase.masks, metaphase.offsets, metaphase.trusted, strict=True)
        for box, mask, (x, y), trusted in chromosomes:
            if made_up:
                break
            placed, visible = self._place(box, mask, x, y, linear, offset, matrix, boxes_only)
            if placed is None:
                continue
            boxes.append(visible)
            masks.append(placed)
            known.append(trusted)
        if self.bank is not None and (made_up or rng.random() < PASTED):
            number = int(rng.integers(12, 36) if made_up else rng.integers(1, 7))
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
