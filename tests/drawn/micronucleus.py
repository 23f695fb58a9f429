"""Drawn fields of nuclei, some with micronuclei: known in every pixel, in MNFinder's layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tifffile

PLACES = ((40, 40), (40, 110), (110, 40), (110, 110))


@dataclass
class DrawnField:
    """A field: grey (H, W) uint16; nuclei 1..N and micronuclei 1..M (H, W) int32; micronucleus -> nucleus."""

    grey: np.ndarray
    nuclei: np.ndarray
    micronuclei: np.ndarray
    parents: dict[int, int]


def draw_field(seed: int = 0, carriers: tuple[int, ...] = (1, 3), size: int = 150) -> DrawnField:
    """Draw four nuclei of radius 12 to 13 at `PLACES`; the carriers have a micronucleus of radius 3 to their right."""
    rng = np.random.default_rng(seed)
    nuclei, micronuclei = np.zeros((size, size), np.int32), np.zeros((size, size), np.int32)
    parents = {}
    for label, (row, column) in enumerate(PLACES, 1):
        cv2.ellipse(nuclei, (column, row), (13, 12), float(rng.uniform(0, 180)), 0, 360, label, -1)
        if label in carriers:
            parents[len(parents) + 1] = label
            cv2.circle(micronuclei, (column + 18, row), 3, len(parents), -1)
    signal = 1000.0 * (nuclei > 0) + 700.0 * (micronuclei > 0)
    grey = cv2.GaussianBlur(signal.astype(np.float32), (0, 0), 0.8) + 100 + rng.normal(0, 8, signal.shape)
    return DrawnField(np.clip(grey, 0, 65535).astype(np.uint16), nuclei, micronuclei, parents)


def colours(codes: np.ndarray) -> np.ndarray:
    """Paint labels as MNFinder does: RGBA, one colour per cell, alpha 0 outside."""
    painted = np.zeros((*codes.shape, 4), np.uint8)
    for code in np.unique(codes[codes > 0]):
        painted[codes == code] = (37 * code % 256, 91 * code % 256, (code * 13 + 5) % 256, 255)
    return painted


def write_mnfinder(root: Path, sets: dict[str, int]) -> Path:
    """Write sets of fields below `root`: folder name such as ``2024-01-01_RPE1`` -> number of fields."""
    seed = 0
    for name, count in sets.items():
        for kind in ("images", "nucleus_masks", "mn_masks"):
            (root / name / kind).mkdir(parents=True, exist_ok=True)
        for number in range(1, count + 1):
            seed += 1
            field = draw_field(seed, carriers=((1, 3), (2,), (1, 2, 4))[seed % 3])
            tifffile.imwrite(root / name / "images" / f"{number}.tif", field.grey)
            cv2.imwrite(str(root / name / "nucleus_masks" / f"{number}.png"), colours(field.nuclei))
            owner = np.zeros_like(field.micronuclei)
            for label, parent in field.parents.items():
                owner[field.micronuclei == label] = parent
            cv2.imwrite(str(root / name / "mn_masks" / f"{number}.png"), colours(owner))
    return root
