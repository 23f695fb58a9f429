"""Cells pasted beside cells, so that a network sees more of them touch than smears show."""

from __future__ import annotations

import cv2
import numpy as np

from cellscope.assays.nucleus_seg.classes import CYTOPLASM, NUCLEUS
from cellscope.imaging.smear import background_colour

#: A crop: image (h, w, 3) uint8, mask (h, w) uint8 in codes of `classes`, cells (h, w) int.
Crop = tuple[np.ndarray, np.ndarray, np.ndarray]
#: Smallest cell and smallest visible nucleus that is pasted, pixels.
LEAST_CELL, LEAST_NUCLEUS = 50, 30


def paste_neighbour(
    image: np.ndarray,
    mask: np.ndarray,
    cells: np.ndarray,
    other: Crop,
    rng: np.random.Generator,
    *,
    touch_rate: float = 0.0,
) -> Crop:
    """Paste the cell in the middle of another crop so that it touches one that is there.

    Parameters
    ----------
    image, mask, cells : the crop
    other : a crop of the same size with a cell in its middle
    rng : Generator
    touch_rate : float
        How often the nuclei touch, and the cells overlap as far as that takes; otherwise the cells touch or overlap by
        up to 30 %.

    Returns
    -------
    tuple
        New image, mask and cells; unchanged ones where there is nothing to touch.
    """
    their_image, their_mask, their_cells = other
    stamp = _middle_cell(their_cells)
    present = [value for value in np.unique(cells) if value]
    if not present or stamp is None:
        return image, mask, cells
    target = cells == present[rng.integers(len(present))]
    if rng.random() < touch_rate:
        moved, shift = _until_nuclei_touch(stamp, their_mask, target, mask, rng)
    else:
        moved, shift = _until_cells_touch(stamp, target, rng)
    nucleus = shifted(their_mask == NUCLEUS, shift) & moved
    if nucleus.sum() < LEAST_NUCLEUS:
        return image, mask, cells
    ratio = background_colour(image) / np.maximum(background_colour(their_image), 1)
    pasted = np.clip(shifted(their_image, shift) * np.clip(ratio, 0.5, 2), 0, 255)
    # Cells are seen through one another only at their rims: a soft edge of about a pixel.
    alpha = cv2.GaussianBlur(moved.astype(np.float32), (0, 0), rng.uniform(0.5, 1.2))[..., None]
    blended = (image * (1 - alpha) + pasted * alpha).astype(np.uint8)
    moved_mask = shifted(their_mask, shift)
    return (
        blended,
        np.where(moved, np.where(moved_mask == 0, CYTOPLASM, moved_mask), mask).astype(np.uint8),
        np.where(moved, cells.max() + 1, cells).astype(cells.dtype),
    )


def _middle_cell(cells: np.ndarray) -> np.ndarray | None:
    """Give the pixels of the cell in the middle, or of the largest; None where there is none worth pasting."""
    number = cells[cells.shape[0] // 2, cells.shape[1] // 2]
    if number == 0:
        values = cells[cells > 0]
        if not len(values):
            return None
        number = np.bincount(values).argmax()
    stamp = cells == number
    return stamp if stamp.sum() >= LEAST_CELL else None


def _until_cells_touch(
    stamp: np.ndarray, target: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Move a cell from far towards another until they overlap as much as is drawn: give its pixels and the shift."""
    allowed = stamp.sum() * (rng.uniform(0, 0.04) if rng.random() < 0.5 else rng.uniform(0, 0.3))
    for shift in _approach(target, rng, 3.0):
        moved = shifted(stamp, shift)
        if (moved & target).sum() > allowed:
            break
    return moved, shift


def _until_nuclei_touch(
    stamp: np.ndarray, their_mask: np.ndarray, target: np.ndarray, mask: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Move a cell from far towards another until their nuclei touch or nearly so; one nucleus lies over the other."""
    nucleus = target & (mask == NUCLEUS)
    reach = 2 * int(rng.integers(0, 3)) + 1
    near = cv2.dilate(nucleus.astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
    theirs = stamp & (their_mask == NUCLEUS)
    for shift in _approach(target, rng, 1.0):
        if (shifted(theirs, shift) & near).any():
            break
    moved = shifted(stamp, shift)
    return (moved & ~nucleus if rng.random() < 0.7 else moved), shift


def _approach(target: np.ndarray, rng: np.random.Generator, step: float) -> list[np.ndarray]:
    """Give shifts that bring a cell from the middle of a crop, out of a direction drawn, onto `target`."""
    rows, columns = np.nonzero(target)
    side = len(target)
    centre = np.array([columns.mean(), rows.mean()])
    angle = rng.uniform(0, 2 * np.pi)
    direction = np.array([np.cos(angle), np.sin(angle)])
    middle = np.array([side / 2, side / 2])
    return [np.rint(centre + direction * distance - middle).astype(int) for distance in np.arange(side, 0, -step)]


def shifted(array: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Move an array by whole pixels (x, y); what comes in is 0."""
    moved = np.zeros_like(array)
    height, width = array.shape[:2]
    x, y = int(shift[0]), int(shift[1])
    if abs(x) >= width or abs(y) >= height:
        return moved
    moved[max(y, 0) : height + min(y, 0), max(x, 0) : width + min(x, 0)] = array[
        max(-y, 0) : height + min(-y, 0), max(-x, 0) : width + min(-x, 0)
    ]
    return moved
