"""Measurements of the dividing cell, followed through a sequence: size, shape, brightness and motion.

The cell that divides is the brightest nucleus near the middle of the first frame. It is followed by mean shift, at
three scales, and measured in every frame: how bright and how wide its chromatin is, into how many parts of which size
it falls, how rough the cell looks in transmitted light. Lengths are in pixels of the training data.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

SCALES = ((6.0, 0.8), (8.0, 1.0), (11.0, 1.3))
"""Width of the mean shift's Gaussian in pixels, and factor of all radii."""

SEGMENTS = ((0.0, 1 / 6), (1 / 6, 1 / 3), (1 / 3, 1 / 2), (1 / 2, 3 / 4), (3 / 4, 1.0))
"""Parts of a sequence over which measurements are averaged; divisions split in the second or third."""

PER_FRAME = 18
FEATURES = PER_FRAME * len(SCALES) * (len(SEGMENTS) + 5)
"""Length of the result of `measure`."""

SMALLEST_PART = 8
"""Pixels."""


def measure(pair: np.ndarray, zoom: float = 1.0) -> np.ndarray:
    """Measure a sequence.

    Parameters
    ----------
    pair : (T, 2, H, W) float32
        Transmitted light and nuclei, not normalised.
    zoom : float
        Pixels of the training data per pixel of the sequence.

    Returns
    -------
    (FEATURES,) float32
        Per scale and measurement: means over `SEGMENTS`, largest, smallest, standard deviation, mean step between
        frames, second half less beginning.
    """
    light, nuclei = pair[:, 0], pair[:, 1]
    middle = float(np.median(light))
    contrast = light / middle - 1 if abs(middle) > 1e-6 else light / max(float(np.abs(light).max()), 1e-6)
    if abs(zoom - 1) > 0.05:
        contrast, nuclei = (ndimage.zoom(channel, (1, zoom, zoom), order=1) for channel in (contrast, nuclei))
    nuclei = smoothed(nuclei)
    each = np.concatenate([_follow_and_measure(contrast, nuclei, width, factor) for width, factor in SCALES], axis=1)
    return summary(each).astype(np.float32)


def summary(each: np.ndarray) -> np.ndarray:
    """Bring measurements per frame, (T, M) with T at least 2, to a fixed number: ((segments + 5) * M,)."""
    frames = len(each)
    parts = []
    for low, high in SEGMENTS:
        start = min(round(low * frames), frames - 1)
        parts.append(each[start : max(round(high * frames), start + 1)].mean(0))
    half, beginning = each[frames // 2 :].mean(0), each[: max(frames // 4, 1)].mean(0)
    steps = np.abs(np.diff(each, axis=0)).mean(0)
    return np.concatenate([*parts, each.max(0), each.min(0), each.std(0), steps, half - beginning])


def smoothed(nuclei: np.ndarray) -> np.ndarray:
    """Free nuclear fluorescence, (T, H, W), of background and pixel noise; 1 is its 99.7th percentile."""
    nuclei = nuclei - np.percentile(nuclei, 15)
    nuclei = np.stack([ndimage.gaussian_filter(frame, 1.0) for frame in nuclei])
    return np.clip(nuclei / max(float(np.percentile(nuclei, 99.7)), 1e-6), 0, None)


def follow_cell(nuclei: np.ndarray, width: float) -> np.ndarray:
    """Follow the dividing cell by mean shift.

    Parameters
    ----------
    nuclei : (T, H, W) float32
        From `smoothed`.
    width : float
        Of the Gaussian that weighs pixels around the last place.

    Returns
    -------
    (T, 2) float64
        Row and column.
    """
    rows, columns = (np.arange(side, dtype=np.float32) for side in nuclei.shape[1:])
    at = first_place(nuclei[0])
    places = []
    for frame in nuclei:
        bright = np.clip(frame - np.median(frame), 0, None) ** 1.5
        for _ in range(6):
            down, across = (
                np.exp(-((line - middle) ** 2) / (2 * width**2))
                for line, middle in zip((rows, columns), at, strict=True)
            )
            by_row, by_column = down * (bright @ across), across * (down @ bright)
            at = np.array([by_row @ rows, by_column @ columns]) / (by_row.sum() + 1e-6)
        places.append(at)
    return np.array(places)


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


def nucleus_diameter(nuclei: np.ndarray) -> float | None:
    """Measure the brightest nucleus: diameter of a disc of its area, pixels, median over the first, middle, last frame.

    Parameters
    ----------
    nuclei : (T, H, W) float32

    Returns
    -------
    float or None
        None where nothing is bright.
    """
    found = []
    for frame in (nuclei[0], nuclei[len(nuclei) // 2], nuclei[-1]):
        smooth = ndimage.gaussian_filter(frame, 1.0)
        low, high = float(np.median(smooth)), float(smooth.max())
        if high > low:
            labels, _ = ndimage.label(smooth > (low + high) / 2)
            found.append(2 * np.sqrt(np.sum(labels == labels.flat[smooth.argmax()]) / np.pi))
    return float(np.median(found)) if found else None


def first_place(frame: np.ndarray) -> np.ndarray:
    """Find the dividing cell in the first frame: bright, and near the middle: (y, x)."""
    height, width = frame.shape
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    spread = 2 * (0.25 * (height + width) / 2) ** 2
    near = np.exp(-((rows - (height - 1) / 2) ** 2 + (columns - (width - 1) / 2) ** 2) / spread)
    weight = ndimage.gaussian_filter(frame, 2) * near
    return np.array(np.unravel_index(weight.argmax(), weight.shape), float)


def _follow_and_measure(contrast: np.ndarray, nuclei: np.ndarray, width: float, factor: float) -> np.ndarray:
    rows, columns = np.mgrid[: nuclei.shape[1], : nuclei.shape[2]].astype(np.float32)
    places = follow_cell(nuclei, width)
    found = [
        _measure_frame(light, frame, np.hypot(rows - y, columns - x), rows, columns, factor)
        for light, frame, (y, x) in zip(contrast, nuclei, places, strict=True)
    ]
    return np.array(found)


def _measure_frame(
    light: np.ndarray, frame: np.ndarray, distance: np.ndarray, rows: np.ndarray, columns: np.ndarray, factor: float
) -> list[float]:
    """Measure one frame around the followed place: `PER_FRAME` numbers."""
    inner, middle, outer = (distance < radius * factor for radius in (10, 16, 24))
    if not inner.any() or not (outer & ~middle).any():
        inner = middle = outer = np.ones_like(inner)  # smaller than the cell: all there is
    top = float(frame[middle].max())
    labels, count = ndimage.label((frame > max(0.5 * top, 0.12)) & (distance < 20 * factor))
    areas = np.sort(np.bincount(labels.ravel())[1:])[::-1] if count else np.zeros(0)
    areas = areas[areas >= SMALLEST_PART]
    first, second, third = (float(areas[k]) if len(areas) > k else 0.0 for k in range(3))
    weight = np.clip(frame - 0.3 * top, 0, None) * middle
    total = float(weight.sum()) + 1e-6
    y, x = float((weight * rows).sum()) / total, float((weight * columns).sum()) / total
    across = [[float((weight * a * b).sum()) / total for b in (rows - y, columns - x)] for a in (rows - y, columns - x)]
    narrow, wide = np.sqrt(np.clip(np.linalg.eigvalsh(np.array(across)), 0, None))
    return [
        top,
        float(frame[inner].mean()),
        float(frame[middle].mean()),
        float(frame[outer].mean() - frame[middle].mean()),
        float(light[inner].std()),
        float(light[middle].std()),
        float(light[middle].min()),
        float(light[middle].max()),
        float(np.median(light[inner])),
        float(len(areas)),
        first,
        second,
        third,
        second / (first + 1e-6),
        float(narrow),
        float(wide),
        float((frame > 0.2 * top)[middle].mean()),
        float(((frame > 0.15) & outer).sum()),
    ]
