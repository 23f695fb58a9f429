"""Rotate and crop: one chromosome, upright, alone, at one size (section II-B2; axes from the mask's moments)."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

#: Height and width of the view the classifier sees.
VIEW = (128, 64)
MARGIN = 4


def main_axis(mask: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Find a mask's centre, the angle of its long axis and its elongation.

    Parameters
    ----------
    mask : (H, W) bool, not empty

    Returns
    -------
    centre : (2,) float
        x, y of the pixels' mean.
    angle : float
        Radians from the vertical (down) to the long axis, in (-pi/2, pi/2]; rotating by it makes the axis vertical.
    elongation : float
        Ratio of the standard deviations along and across, at least 1.
    """
    rows, columns = np.nonzero(mask)
    points = np.stack([columns, rows], 1).astype(np.float64)
    centre = points.mean(0)
    if len(points) < 3:
        return centre, 0.0, 1.0
    values, vectors = np.linalg.eigh(np.cov((points - centre).T) + np.eye(2) / 12)
    x, y = vectors[:, 1]
    if y < 0:
        x, y = -x, -y
    return centre, float(np.arctan2(x, y)), float(np.sqrt(values[1] / values[0]))


def upright_view(
    image: np.ndarray,
    mask: np.ndarray,
    *,
    size: tuple[int, int] = VIEW,
    extra_angle: float = 0.0,
    zoom: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
    half_turn: bool = False,
    mirror: bool = False,
    scale: float | None = None,
) -> np.ndarray:
    """Cut one chromosome out, turn its long axis upright and fit it to a view; everything outside its mask is 0.

    Parameters
    ----------
    image : (H, W) float32
        Normalised: bright on dark.
    mask : (H, W) bool
    size : (height, width) of the view
    extra_angle, zoom, shift : float
        Variations for training: radians, factor, pixels of the view.
    half_turn, mirror : bool
    scale : float, optional
        View pixels per image pixel; None fits the chromosome to the view.

    Returns
    -------
    (height, width) float32
    """
    height, width = size
    centre, angle, _ = main_axis(mask)
    angle += extra_angle + (np.pi if half_turn else 0.0)
    cos, sin = np.cos(angle), np.sin(angle)
    # With x right and y down this turns the direction (sin, cos) of the axis to (0, 1).
    turn = np.array([[cos, -sin], [sin, cos]])
    if mirror:
        turn = np.diag([-1.0, 1.0]) @ turn
    rows, columns = np.nonzero(mask)
    turned = (np.stack([columns, rows], 1) - centre) @ turn.T
    low, high = turned.min(0) - 0.5, turned.max(0) + 0.5
    if scale is None:
        extent = np.maximum(high - low, 1.0)
        scale = float(min((height - 2 * MARGIN) / extent[1], (width - 2 * MARGIN) / extent[0])) * zoom
    linear = turn * scale
    middle = np.array([(width - 1) / 2, (height - 1) / 2]) + shift - scale * (low + high) / 2
    matrix = np.hstack([linear, (middle - linear @ centre)[:, None]])
    if scale < 0.8:
        image = cv2.GaussianBlur(image, (0, 0), 0.4 / scale)
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)
    flags = cv2.INTER_LINEAR if scale < 2 else cv2.INTER_CUBIC
    view = cv2.warpAffine(image, matrix, (width, height), flags=flags)
    inside = cv2.warpAffine(soft, matrix, (width, height), flags=cv2.INTER_LINEAR)
    inside = np.clip(inside * 2, 0, 1)
    covered = view[inside > 0.5]
    # Chromosomes of one spread differ in brightness by where they lie; their bands are what tells them apart.
    level = float(np.percentile(covered, 90)) if covered.size else 1.0
    return np.clip(view * inside / max(level, 1e-6), 0, 1.5).astype(np.float32)


def single_chromosome(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normalise an image that holds one chromosome, and find its mask.

    The background is the median of the image's border, since a chromosome may fill most of the image.

    Parameters
    ----------
    grey : (H, W) float32

    Returns
    -------
    normalised : (H, W) float32
        Bright on dark, in [0, 1.5].
    mask : (H, W) bool
        All True when nothing stands out.
    """
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    # A chromosome cut tightly touches the border: the background is the border's more extreme side, not its middle.
    low, high = np.percentile(grey, [1, 99])
    middle = (low + high) / 2
    bright = float(np.median(border)) < middle
    background = float(np.percentile(border, 20 if bright else 80))
    signal = (grey - background) if bright else (background - grey)
    signal = np.clip(signal, 0, None)
    top = float(np.percentile(signal, 99))
    if top <= 0:
        return np.zeros_like(grey, np.float32), np.ones(grey.shape, bool)
    as_bytes = (np.clip(signal / top, 0, 1) * 255).astype(np.uint8)
    level, _ = cv2.threshold(as_bytes, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    raw = cv2.GaussianBlur(as_bytes, (0, 0), 0.7) > 0.5 * level
    mask = ndimage.binary_fill_holes(cv2.morphologyEx(raw.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if len(stats) < 2:
        return np.zeros_like(grey, np.float32), np.ones(grey.shape, bool)
    mask = labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    scale = float(np.percentile(signal[mask], 90))
    return np.clip(signal / max(scale, 1e-6), 0, 1.5).astype(np.float32), mask
