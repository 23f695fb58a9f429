"""Objects as a person draws them: filled outlines, and pieces cut along a line."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage
from skimage.draw import polygon


def filled(points: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    """Fill an outline.

    Parameters
    ----------
    points : (N, 2) float
        x, y; pixel (row 0, column 0) spans 0 to 1. Closed or not.
    shape : (height, width)
        Of the image; what lies outside is cut off.

    Returns
    -------
    mask : (h, w) bool
    offset : (x, y) int
        Of its first pixel.

    Raises
    ------
    ValueError
        Fewer than three points, or none of its pixels in the image.
    """
    points = np.asarray(points, float)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
        raise ValueError("an outline needs at least three points x, y")
    low = np.maximum(np.floor(points.min(0)).astype(int), 0)
    high = np.minimum(np.ceil(points.max(0)).astype(int) + 1, (shape[1], shape[0]))
    if (high <= low).any():
        raise ValueError("the outline lies outside the image")
    local = points - 0.5 - low  # pixel centres at whole numbers
    mask = np.zeros((high[1] - low[1], high[0] - low[0]), bool)
    rows, columns = polygon(local[:, 1], local[:, 0], mask.shape)
    mask[rows, columns] = True
    if not mask.any():
        raise ValueError("the outline holds no pixel of the image")
    return mask, (int(low[0]), int(low[1]))


def split_mask(mask: np.ndarray, line: np.ndarray, *, smallest: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut an object in two along a line.

    Parameters
    ----------
    mask : (h, w) bool
    line : (N, 2) float
        x, y in pixels of the mask, (0, 0) the corner of its first pixel. Two points are a straight line through the
        whole object; more are a curve, which must cross it.
    smallest : int
        Pixels of a piece at least.

    Returns
    -------
    left, right : (h, w) bool
        Left of the line as one goes along it, and the other; specks beside the largest part of each are dropped.

    Raises
    ------
    ValueError
        The line does not cut the object.
    """
    line = np.asarray(line, float).reshape(-1, 2)
    if len(line) < 2 or not np.isfinite(line).all():
        raise ValueError("a line needs at least two points x, y")
    rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]] + 0.5
    if len(line) == 2:
        pieces = mask & _left(line[0], line[1], rows, columns), mask & ~_left(line[0], line[1], rows, columns)
    else:
        pieces = _along_curve(mask, line, rows, columns)
    cleaned = tuple(without_specks(piece, smallest) for piece in pieces)
    if min(int(piece.sum()) for piece in cleaned) < smallest:
        raise ValueError("the line does not go through the object")
    return cleaned[0], cleaned[1]


def _left(start: np.ndarray, end: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    (ax, ay), (bx, by) = start, end
    left: np.ndarray = (bx - ax) * (rows - ay) - (by - ay) * (columns - ax) < 0
    return left


def _along_curve(
    mask: np.ndarray, line: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Take the curve out, and give its pixels to the nearer of the two largest parts that are left."""
    wall = np.zeros(mask.shape, np.uint8)
    corners = np.rint((line - 0.5) * 16).astype(np.int32)  # sixteenths of a pixel
    cv2.polylines(wall, [corners], False, 1, 1, cv2.LINE_4, 4)
    parts, count = ndimage.label(mask & (wall == 0))  # of pixels that share a side: a wall of such pixels is tight
    if count < 2:
        raise ValueError("the line does not go through the object")
    sizes = np.bincount(parts.ravel())[1:]
    first, second = (np.argsort(sizes, kind="stable")[::-1][:2] + 1).tolist()
    seeds = np.where(np.isin(parts, (first, second)), parts, 0)
    nearest = ndimage.distance_transform_edt(seeds == 0, return_distances=False, return_indices=True)
    owner = seeds[tuple(nearest)]
    ends = _left(line[0], line[-1], rows, columns)
    share = [float(ends[mask & (owner == one)].mean()) for one in (first, second)]
    order = (first, second) if share[0] >= share[1] else (second, first)
    return mask & (owner == order[0]), mask & (owner == order[1])


def without_specks(mask: np.ndarray, smallest: int) -> np.ndarray:
    """Drop specks beside the largest part of an object: those below a tenth of it, or below `smallest` pixels.

    Parameters
    ----------
    mask : (h, w) bool
    smallest : int
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    return np.isin(labels, 1 + np.flatnonzero(areas >= max(smallest, 0.1 * areas.max(initial=0))))
