"""Generated smears: pale red cells and purple-nucleated white cells, with exact masks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

PAPER, RED_CELL, CYTOPLASM, NUCLEUS = (243, 228, 220), (226, 168, 158), (190, 180, 214), (92, 50, 140)


def disc(shape: tuple[int, int], y: float, x: float, r: float) -> np.ndarray:
    """Draw a disc: (H, W) bool."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= r * r


def smear(
    seed: int, shape: tuple[int, int] = (96, 96), cells: int = 1, radius: int = 14
) -> tuple[np.ndarray, np.ndarray]:
    """Draw white cells that do not touch on a smear.

    Returns
    -------
    image : (H, W, 3) uint8
    mask : (H, W) uint8, 0 background, 128 cytoplasm, 255 nucleus
    """
    rng = np.random.default_rng(seed)
    image = np.full((*shape, 3), PAPER, np.uint8)
    mask = np.zeros(shape, np.uint8)
    for _ in range(shape[0] * shape[1] // 3000):
        at = (int(rng.integers(shape[1])), int(rng.integers(shape[0])))
        cv2.circle(image, at, radius - 3, RED_CELL, -1, cv2.LINE_AA)
    taken: list[np.ndarray] = []
    gap = 3.6 * radius
    while len(taken) < cells:
        at = rng.uniform(1.8 * radius, np.array(shape) - 1.8 * radius) if cells > 1 else np.array(shape) / 2
        if all(np.hypot(*(at - other)) > gap for other in taken):
            taken.append(at)
    for y, x in taken:
        centre = (round(float(x)), round(float(y)))
        outer, inner = round(1.5 * radius), radius
        cv2.circle(image, centre, outer, CYTOPLASM, -1)
        cv2.circle(mask, centre, outer, 128, -1)
        cv2.circle(image, centre, inner, NUCLEUS, -1)
        cv2.circle(mask, centre, inner, 255, -1)
    noise = rng.normal(0, 3, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8), mask


def write_wbc(folder: Path, first: int = 8, second: int = 4) -> None:
    """Write generated cells in the layout of the WBC set; images 0 and 1 of dataset1 are the same."""
    for name, count, shape, radius in (("dataset1", first, (96, 96), 14), ("dataset2", second, (128, 128), 22)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            image, mask = smear(0 if number == 1 else number, shape, radius=radius)
            cv2.imwrite(str(folder / name / f"{number:03}.bmp"), image[..., ::-1])
            cv2.imwrite(str(folder / name / f"{number:03}.png"), mask)
