"""Measurements of what a division leaves behind: how many bodies of chromatin, how far apart, and what lies between.

The followed cell is turned so that the long axis of its chromatin lies along the columns, in every frame: two daughters
lie side by side, whichever way the cell divided. A person tells two cells from one cell with two nuclei by the dip
between them in fluorescence and by the dark line between them in transmitted light.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

SIDE = 52
"""Of the turned square, pixels of the training data."""

BINS, BIN = 6, 4
"""Of a profile along an axis: both halves are averaged, so it reaches 24 pixels from the middle."""

MOST_BODIES = 5
REACH = 21.0
"""Pixels from the followed place within which bodies of chromatin are looked for."""

DIP = 0.93
"""Two maxima are two bodies if between them chromatin is fainter than this share of the fainter one."""

PAIR, PROFILE = 10, 5 * BINS
PER_FRAME = PAIR + PROFILE


def measure_daughters(contrast: np.ndarray, nuclei: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Measure every frame around the followed place.

    Parameters
    ----------
    contrast, nuclei : (T, H, W) float32
        Transmitted light against its median; nuclei from `tracks.smoothed`.
    places : (T, 2) float
        Row and column.

    Returns
    -------
    (T, PER_FRAME) float64
    """
    squares = turned(contrast, nuclei, places)
    bodies = np.array([_bodies(light, chromatin) for light, chromatin in squares])
    return np.concatenate([bodies, _profiles(squares)], axis=1)


def turned(contrast: np.ndarray, nuclei: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Cut a square around each place, the long axis of the chromatin along its columns: (T, 2, SIDE, SIDE) float32."""
    offset = np.arange(SIDE) - (SIDE - 1) / 2
    out = np.empty((len(nuclei), 2, SIDE, SIDE), np.float32)
    for number, (angle, (row, column)) in enumerate(zip(long_axis(nuclei, places), places, strict=True)):
        down, across = offset[:, None], offset[None, :]
        sin, cos = np.sin(angle), np.cos(angle)
        at = np.stack([row + across * sin + down * cos, column + across * cos - down * sin])
        for channel, frame in enumerate((contrast[number], nuclei[number])):
            out[number, channel] = ndimage.map_coordinates(frame, at, order=1, mode="nearest")
    return out


def long_axis(nuclei: np.ndarray, places: np.ndarray, radius: float = 14.0) -> np.ndarray:
    """Say which way chromatin is long around each place, smoothed over three frames: (T,) radians, 0 along columns."""
    rows, columns = np.mgrid[: nuclei.shape[1], : nuclei.shape[2]].astype(np.float32)
    spreads = []
    for frame, (row, column) in zip(nuclei, places, strict=True):
        near = np.hypot(rows - row, columns - column) < radius
        weight = np.clip(frame - 0.3 * (frame[near].max() if near.any() else 1.0), 0, None) * near
        total = float(weight.sum()) + 1e-6
        y, x = float((weight * rows).sum()) / total, float((weight * columns).sum()) / total
        down, across = rows - y, columns - x
        spreads.append([float((weight * product).sum()) / total for product in (down**2, down * across, across**2)])
    padded = np.array([spreads[0], *spreads, spreads[-1]])
    tall, both, wide = (padded[:-2] + 2 * padded[1:-1] + padded[2:]).T
    return 0.5 * np.arctan2(2 * both, wide - tall)


def _line(image: np.ndarray, start: np.ndarray, end: np.ndarray, count: int = 13) -> np.ndarray:
    share = np.linspace(0, 1, count)
    return ndimage.map_coordinates(image, start[:, None] + share * (end - start)[:, None], order=1, mode="nearest")


def _bodies(light: np.ndarray, chromatin: np.ndarray) -> list[float]:
    """Count bodies of chromatin and compare the brightest two: `PAIR` numbers."""
    middle = (SIDE - 1) / 2
    rows, columns = np.mgrid[:SIDE, :SIDE] - middle
    distance = np.hypot(rows, columns)
    soft = ndimage.gaussian_filter(chromatin, 0.7)
    top = float(soft[distance < 16].max()) + 1e-6
    peaks = np.argwhere((soft == ndimage.maximum_filter(soft, 5)) & (distance < REACH) & (soft > 0.25 * top))
    height = soft[tuple(peaks.T)]
    found: list[int] = []
    for candidate in np.argsort(-height)[:12].tolist():
        valleys = (_line(soft, peaks[candidate], peaks[other]).min() for other in found)
        if all(valley < DIP * height[candidate] for valley in valleys):
            found.append(candidate)
        if len(found) == MOST_BODIES:
            break
    if len(found) < 2:
        return [float(len(found)), 0, 0, 0, 0, 1, 0, 0, 0, top]
    first, second, *more = found
    third = more[0] if more else None
    gap = _line(soft, peaks[first], peaks[second])
    edge = ndimage.gaussian_filter(light, 0.8)
    across = _line(edge, peaks[first], peaks[second])
    inside = (across[0] + across[-1]) / 2
    return [
        float(len(found)),
        float(height[second] / height[first]),
        float(height[third] / height[first]) if third is not None else 0.0,
        float(np.hypot(*(peaks[first] - peaks[second]))),
        float(np.hypot(*(peaks[first] - peaks[third]))) if third is not None else 0.0,
        float(gap.min() / height[second]),
        float(across[4:9].min() - inside),
        float(across[4:9].max() - inside),
        float(across.std()),
        top,
    ]


def _profiles(squares: np.ndarray) -> np.ndarray:
    """Average along the axis and across it, from the middle outwards: (T, PROFILE)."""
    light, chromatin = squares[:, 0], squares[:, 1]
    half, wide = slice(SIDE // 2 - 5, SIDE // 2 + 5), slice(SIDE // 2 - 8, SIDE // 2 + 8)

    def halves(profile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        start = (SIDE - 2 * BINS * BIN) // 2
        binned = profile[:, start : start + 2 * BINS * BIN].reshape(len(profile), 2 * BINS, BIN).mean(2)
        return binned[:, BINS - 1 :: -1], binned[:, BINS:]

    left, right = halves(chromatin[:, half].mean(1))
    parts = [(left + right) / 2, np.abs(left - right)]
    for profile in (light[:, half].mean(1), light[:, wide].std(1), chromatin[:, :, half].mean(2)):
        left, right = halves(profile)
        parts.append((left + right) / 2)
    return np.concatenate(parts, axis=1)
