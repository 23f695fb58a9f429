"""Chromosomes that lie alone, cut out and pasted into other crops: overlaps whose masks are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from cellscope.assays.karyotype.datasets.metaphase import Metaphase

#: A chromosome lies alone when others cover at most this share of it: other masks of its mask and what surrounds it
#: or, where not all masks are known, other boxes of its box.
ALONE = 0.02
#: Pixels around a cut-out, so that its soft edge comes along.
EDGE = 3
#: A cut-out mostly hidden under others would teach a guess.
MOST_HIDDEN = 0.6


@dataclass(frozen=True)
class Cutout:
    """One chromosome without its surroundings.

    Attributes
    ----------
    image : (h, w) float32
        Normalised grey values, falling to 0 outside the mask.
    mask : (h, w) uint8
    scale : float
        Factor to the detector's scale.
    """

    image: np.ndarray
    mask: np.ndarray
    scale: float


class ChromosomeBank:
    """Cut-outs by source.

    Parameters
    ----------
    metaphases : list of Metaphase
        Each gives those of its chromosomes whose mask is known and which lie alone.
    """

    def __init__(self, metaphases: list[Metaphase]):
        self.cutouts: dict[str, list[Cutout]] = {}
        for metaphase in metaphases:
            self.cutouts.setdefault(metaphase.source, []).extend(_cut_out(metaphase))

    def draw(self, source: str, rng: np.random.Generator) -> Cutout | None:
        """Give a random cut-out of a source; None when it has none."""
        known = self.cutouts.get(source)
        return known[rng.integers(len(known))] if known else None


def _cut_out(metaphase: Metaphase) -> list[Cutout]:
    found = []
    chromosomes = zip(metaphase.masks, metaphase.offsets, metaphase.trusted, _covered(metaphase), strict=True)
    for mask, (x, y), trusted, covered in chromosomes:
        if mask is None or not trusted or mask.sum() < 30 or covered > ALONE:
            continue
        x0, y0 = max(x - EDGE, 0), max(y - EDGE, 0)
        window = metaphase.image[y0 : y + mask.shape[0] + EDGE, x0 : x + mask.shape[1] + EDGE]
        placed = np.zeros(window.shape, np.uint8)
        placed[y - y0 : y - y0 + mask.shape[0], x - x0 : x - x0 + mask.shape[1]] = mask
        weight = cv2.GaussianBlur(cv2.dilate(placed, np.ones((3, 3), np.uint8)).astype(np.float32), (0, 0), 1.0)
        found.append(Cutout((window * np.clip(weight, 0, 1)).astype(np.float32), placed, metaphase.scale))
    return found


def _covered(metaphase: Metaphase) -> np.ndarray:
    """Give for each chromosome the share of it that others cover: (N,) float."""
    known = [mask for mask in metaphase.masks if mask is not None]
    if len(known) < len(metaphase.masks):
        low, high = metaphase.boxes[:, :2], metaphase.boxes[:, 2:]
        shared = np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None])
        areas = np.clip(shared, 0, None).prod(2)
        return (areas.sum(1) - areas.diagonal()) / np.maximum(areas.diagonal(), 1e-6)
    height, width = metaphase.image.shape
    layers = np.zeros((height + 2 * EDGE, width + 2 * EDGE), np.uint8)
    for mask, (x, y) in zip(known, metaphase.offsets, strict=True):
        layers[y + EDGE : y + EDGE + mask.shape[0], x + EDGE : x + EDGE + mask.shape[1]] += mask > 0
    shares = []
    for mask, (x, y) in zip(known, metaphase.offsets, strict=True):
        own = np.pad((mask > 0).astype(np.uint8), EDGE)
        around = cv2.dilate(own, np.ones((2 * EDGE + 1, 2 * EDGE + 1), np.uint8)) > 0
        window = layers[y : y + own.shape[0], x : x + own.shape[1]]
        shares.append((around & (window > own)).sum() / max(own.sum(), 1))
    return np.array(shares)


def paste(
    crop: np.ndarray, taken: np.ndarray, cutout: Cutout, centre: np.ndarray, scale: float, rng: np.random.Generator
) -> np.ndarray | None:
    """Lay a cut-out over a crop, turned by any angle, mirrored or not, and slightly bent.

    Stained chromosomes are translucent: where two cross, both darken (or glow), less than the sum of the two.

    Parameters
    ----------
    crop : (S, S) float32
        Changed in place.
    taken : (S, S) bool
        Where masks lie already.
    cutout : Cutout
    centre : (2,) float
        x, y in the crop.
    scale : float
        Crop pixels per pixel of the cut-out.
    rng : numpy Generator

    Returns
    -------
    (S, S) uint8 or None
        The mask; None (and `crop` untouched) where too little of it would be seen.
    """
    size = crop.shape[0]
    height, width = cutout.image.shape
    angle, flip = rng.uniform(0, 2 * np.pi), rng.choice([-1.0, 1.0])
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    side = int(np.ceil(np.hypot(height, width) * scale)) + 2
    x0, y0 = (np.round(centre).astype(int) - side // 2).tolist()
    columns, rows = np.meshgrid(np.arange(side) - side / 2, np.arange(side) - side / 2)
    # Bending: every point slips sideways by a slow wave along a random direction.
    direction, phase = rng.uniform(0, 2 * np.pi, 2)
    wave = np.sin(2 * np.pi * (columns * np.cos(direction) + rows * np.sin(direction)) / (1.3 * side) + phase)
    slip = rng.uniform(0, 0.09) * side * wave
    columns, rows = columns - slip * np.sin(direction), rows + slip * np.cos(direction)
    map_x = (flip * (cos * columns + sin * rows) + width / 2).astype(np.float32)
    map_y = (-sin * columns + cos * rows + height / 2).astype(np.float32)
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x0 + side, size), min(y0 + side, size)
    if right <= left or bottom <= top:
        return None
    inside = (slice(top - y0, bottom - y0), slice(left - x0, right - x0))
    whole = cv2.remap(cutout.mask * 255, map_x, map_y, cv2.INTER_LINEAR) > 127
    mask = whole[inside]
    area, target = whole.sum(), (slice(top, bottom), slice(left, right))
    if mask.sum() < max(0.5 * area, 12) or (mask & taken[target]).sum() > MOST_HIDDEN * mask.sum():
        return None
    laid = cv2.remap(cutout.image, map_x, map_y, cv2.INTER_LINEAR)[inside]
    below = crop[target]
    crop[target] = np.clip(below + laid * (1 - rng.uniform(0, 0.7) * np.clip(below, 0, 1)), 0, 1.5)
    placed = np.zeros((size, size), np.uint8)
    placed[target] = mask
    return placed


def add_debris(crop: np.ndarray, taken: np.ndarray, rng: np.random.Generator) -> None:
    """Draw what is no chromosome, away from masks: specks of stain, and nuclei that did not divide.

    Parameters
    ----------
    crop : (S, S) float32
        Changed in place.
    taken : (S, S) bool
        Where chromosomes lie.
    rng : numpy Generator
    """
    size = crop.shape[0]
    for nucleus in [False] * int(rng.integers(0, 9)) + [True] * int(rng.random() < 0.35):
        centre = tuple(map(float, rng.uniform(0, size, 2)))
        radius = rng.uniform(0.06, 0.18, 2) * size if nucleus else np.full(2, rng.uniform(1.0, 3.2))
        drawn = np.zeros((size, size), np.uint8)
        cv2.ellipse(drawn, (centre, tuple(2 * radius), float(rng.uniform(0, 180))), 255, -1)
        if nucleus and (taken & (drawn > 0)).any():
            continue
        soft = cv2.GaussianBlur(drawn.astype(np.float32) / 255, (0, 0), rng.uniform(0.6, 1.5)) * rng.uniform(0.3, 1.3)
        if nucleus:
            grain = cv2.resize(rng.normal(1, 0.15, (size // 4, size // 4)).astype(np.float32), (size, size))
            soft *= grain
        crop[...] = np.where(taken, crop, np.clip(np.maximum(crop, soft), 0, 1.5))
