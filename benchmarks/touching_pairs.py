"""Generated images of two cells whose nuclei touch, to measure whether they are counted as two."""

from __future__ import annotations

import cv2
import numpy as np

from cellscope.assays.nucleus_seg.classes import NUCLEUS
from cellscope.assays.nucleus_seg.training.crops import Smear
from cellscope.assays.nucleus_seg.training.paste import shifted
from cellscope.imaging.smear import background_colour


def is_single(smear: Smear) -> bool:
    """Tell whether an image holds one whole annotated cell."""
    cells = smear.cells
    border = np.concatenate([cells[0], cells[-1], cells[:, 0], cells[:, -1]])
    return cells.max() == 1 and not border.any() and int((smear.mask == NUCLEUS).sum()) >= 50


def touching_pair(first: Smear, second: Smear, rng: np.random.Generator) -> np.ndarray:
    """Paste the second cell beside the first so that their nuclei touch.

    Parameters
    ----------
    first, second : Smear
        With one cell each (`is_single`).
    rng : Generator
        Draws the direction, the turn and the size of the second, 0.8 to 1.25 times the first's.

    Returns
    -------
    (H, W, 3) uint8
        The first image with a margin of its background's colour, and the second cell on it, its colours shifted to the
        first's background.
    """
    zoom = first.diameter / second.diameter * rng.uniform(0.8, 1.25)
    side = int(max(first.image.shape[:2]) + 5 * first.diameter)
    image, mask = _on_canvas(first, side, 1.0, 0.0, first)
    other, other_mask = _on_canvas(second, side, zoom, rng.uniform(0, 360), first)
    nucleus, other_nucleus = mask == NUCLEUS, other_mask == NUCLEUS
    near = cv2.dilate(nucleus.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    angle = rng.uniform(0, 2 * np.pi)
    direction = np.array([np.cos(angle), np.sin(angle)])
    step = max(first.diameter / 60, 1.0)
    shift = np.zeros(2, int)
    for distance in np.arange(side / 2, 0, -step):
        shift = np.rint(direction * distance).astype(int)
        if (shifted(other_nucleus, shift) & near).any():
            break
    stamp = shifted(other_mask > 0, shift)
    # The first cell's nucleus stays whole: the second lies beneath it there.
    stamp &= ~nucleus
    alpha = cv2.GaussianBlur(stamp.astype(np.float32), (0, 0), max(0.012 * first.diameter, 0.5))[..., None]
    return (image * (1 - alpha) + shifted(other, shift) * alpha).astype(np.uint8)


def _on_canvas(smear: Smear, side: int, zoom: float, degrees: float, paper: Smear) -> tuple[np.ndarray, np.ndarray]:
    """Put a cell into the middle of a canvas of the background colour of `paper`."""
    rows, columns = np.nonzero(smear.mask == NUCLEUS)
    centre = (float(columns.mean()), float(rows.mean()))
    warp = np.asarray(cv2.getRotationMatrix2D(centre, degrees, zoom), float)
    warp[:, 2] += side / 2 - np.array(centre)
    colour, own = background_colour(paper.image), background_colour(smear.image)
    balanced = np.clip(smear.image * np.clip(colour / np.maximum(own, 1), 0.5, 2), 0, 255).astype(np.uint8)
    image = cv2.warpAffine(
        balanced, warp, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT,
        borderValue=tuple(float(value) for value in colour),
    )  # fmt: skip
    return image, cv2.warpAffine(smear.mask, warp, (side, side), flags=cv2.INTER_NEAREST)
