"""Straighten bent chromosomes along their own middle line: their bands lie across it, not across one axis."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage
from skimage.graph import MCP_Geometric

from cellscope.assays.karyotype.classify.upright import main_axis

#: Length of the middle line over the distance of its ends from which a chromosome counts as bent.
BENT = 1.04
#: A mask wider than this about its axis, in units of its half width, may be bent. An upright rod has 0.58.
SUSPECT = 0.60
#: Half width, in pixels, at which the middle line is found: finer masks only take longer.
WORKING_HALF_WIDTH = 5.0


def straightened(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Resample a bent chromosome along its middle line.

    Parameters
    ----------
    image : (H, W) float32
    mask : (H, W) bool
        One chromosome, not empty.

    Returns
    -------
    tuple of (h, w) float32 and (h, w) bool, or None
        Image and mask, the middle line vertical and running down as the long axis of `main_axis` does; None when the
        chromosome is straight already, or too small for a line to be told.
    """
    centre, angle, elongation = main_axis(mask)
    half_width = float(cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5).max())
    if half_width < 1.5 or mask.sum() < 24:
        return None
    rows, columns = np.nonzero(mask)
    across = (columns - centre[0]) * np.cos(angle) - (rows - centre[1]) * np.sin(angle)
    if across.std() < SUSPECT * half_width and elongation > 1.5:
        return None
    line = middle_line(mask, half_width)
    if line is None:
        return None
    chord = line[-1] - line[0]
    if _length(line) < BENT * max(float(np.linalg.norm(chord)), 1e-6):
        return None
    if chord @ np.array([np.sin(angle), np.cos(angle)]) < 0:
        line = line[::-1]
    return _along(image, mask, line, half_width)


def middle_line(mask: np.ndarray, half_width: float) -> np.ndarray | None:
    """Find the line through a chromosome's middle, from tip to tip.

    The tips are the two pixels farthest apart by the way inside the mask; every pixel lies somewhere between them by
    the same measure, and the line is the moving mean of the pixels' places along it.

    Parameters
    ----------
    mask : (H, W) bool
    half_width : float
        Of the chromosome, in pixels.

    Returns
    -------
    (N, 2) float or None
        x, y, about one pixel apart; None when the mask is no longer than it is wide.
    """
    shrink = min(1.0, WORKING_HALF_WIDTH / half_width)
    small = mask
    if shrink < 1:
        size = (max(2, round(mask.shape[1] * shrink)), max(2, round(mask.shape[0] * shrink)))
        small = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5
    zoom = np.array([mask.shape[1] / small.shape[1], mask.shape[0] / small.shape[0]])
    count, labels, stats, _ = cv2.connectedComponentsWithStats(small.astype(np.uint8), connectivity=8)
    if count < 2:
        return None
    small = np.pad(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])), 1)
    rows, columns = np.nonzero(small)
    first = _distances(small, (int(rows[0]), int(columns[0])))
    tip = np.unravel_index(int(first.argmax()), first.shape)
    from_tip = _distances(small, (int(tip[0]), int(tip[1])))
    other = np.unravel_index(int(from_tip.argmax()), from_tip.shape)
    length = float(from_tip[other])
    if length < 3 * half_width * shrink:
        return None
    from_other = _distances(small, (int(other[0]), int(other[1])))
    place = ((from_tip - from_other + length) / 2)[rows, columns]
    grid = np.linspace(0, length, max(round(length / shrink), 4) + 1)
    reach = max(0.6 * half_width * shrink, 1.0)
    weights = np.exp(-0.5 * ((grid[:, None] - place[None]) / reach) ** 2)
    weights /= weights.sum(1, keepdims=True)
    return (weights @ np.stack([columns, rows], 1) - 0.5) * zoom - 0.5


def _distances(mask: np.ndarray, start: tuple[int, int]) -> np.ndarray:
    """Distance inside the mask from a pixel; 0 outside."""
    found, _ = MCP_Geometric(np.where(mask, 1.0, -1.0), fully_connected=True).find_costs([start])
    return np.where(np.isfinite(found) & mask, found, 0.0)


def _length(line: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())


def _along(
    image: np.ndarray, mask: np.ndarray, line: np.ndarray, half_width: float
) -> tuple[np.ndarray, np.ndarray] | None:
    steps = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))]
    length = steps[-1]
    fine = np.arange(0, length, 0.5)
    smooth = max(1.6 * half_width, 3.0)
    direction = np.stack(
        [
            np.gradient(ndimage.gaussian_filter1d(np.interp(fine, steps, line[:, k]), smooth, mode="nearest"))
            for k in (0, 1)
        ],
        1,
    )
    # The line stops short of the tips by about half a width; go on straight until both are covered.
    down = np.arange(-1.6 * half_width, length + 1.6 * half_width, 1.0)
    inside = np.clip(down, 0, length)
    along = np.stack([np.interp(inside, fine, direction[:, k]) for k in (0, 1)], 1)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    points = np.stack([np.interp(inside, steps, line[:, k]) for k in (0, 1)], 1) + (down - inside)[:, None] * along
    reach = int(np.ceil(1.8 * half_width)) + 2
    off = np.arange(-reach, reach + 1)
    x = (points[:, :1] + along[:, 1:] * off).astype(np.float32)
    y = (points[:, 1:] - along[:, :1] * off).astype(np.float32)
    straight = cv2.remap(image.astype(np.float32), x, y, cv2.INTER_LINEAR)
    inside_mask = cv2.remap(mask.astype(np.float32), x, y, cv2.INTER_LINEAR) > 0.5
    count, labels, stats, _ = cv2.connectedComponentsWithStats(inside_mask.astype(np.uint8))
    if count < 2:
        return None
    return straight, labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
