"""Morphometry of nuclei and cells: size, outline, lobes, chromatin, nucleus-to-cell ratio."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pandas as pd
from scipy import ndimage
from skimage.feature import graycomatrix, graycoprops

from cellscope.imaging.labels import find_markers, label_table
from cellscope.imaging.measure import add_physical

#: Harmonics of the outline that count as its shape; what they leave is roughness.
HARMONICS = 8
#: Points at which an outline is sampled.
OUTLINE_POINTS = 256
#: A lobe's inscribed circle must shrink by this share of the largest one's radius on the way to the next lobe.
LOBE_DEPTH = 0.15
#: Grey levels of the co-occurrence matrix.
LEVELS = 16
#: The smallest inscribed radius of a lobe, as a share of the largest.
SMALLEST_LOBE = 0.35
TEXTURES = ("contrast", "homogeneity", "energy", "correlation")
COLUMNS = (
    "circularity", "roughness", "n_lobes", "n_parts", "density_mean", "density_std",
    *(f"texture_{name}" for name in TEXTURES), "texture_entropy", "cell_area", "nucleus_cell_ratio", "cut_by_border",
)  # fmt: skip


def measure_nuclei(
    labels: np.ndarray, cells: np.ndarray | None, rgb: np.ndarray, pixel_size_um: float | None
) -> pd.DataFrame:
    """Measure every nucleus.

    Parameters
    ----------
    labels : (H, W) int, 1..N
    cells : (H, W) int or None
        Same numbers as `labels`; None leaves the columns about the cell empty.
    rgb : (H, W, 3) uint8
    pixel_size_um : float or None

    Returns
    -------
    DataFrame
        A row per nucleus: scikit-image's names, ``intensity_mean_red`` and so on, `COLUMNS`, and physical columns.
        ``density_*`` are of the optical density -log10(green / 255), which grows with the chromatin's stain.
    """
    table = label_table(labels, rgb, channels={0: "red", 1: "green", 2: "blue"})
    rows = []
    for number, place, mask in _each(labels):
        colour = rgb[place]
        density = -np.log10(np.maximum(colour[..., 1], 1) / 255.0)
        inside = density[mask]
        lobes, parts = count_lobes(mask)
        row: dict[str, float | bool] = {
            "roughness": roughness(mask),
            "n_lobes": lobes,
            "n_parts": parts,
            "density_mean": float(inside.mean()),
            "density_std": float(inside.std()),
            **texture(colour[..., 1], mask),
            "cut_by_border": bool(
                place[0].start == 0
                or place[1].start == 0
                or place[0].stop == labels.shape[0]
                or place[1].stop == labels.shape[1]
            ),
            "label": number,
        }
        rows.append(row)
    more = pd.DataFrame(rows, columns=["label", *(name for name in COLUMNS if name not in _FROM_TABLE)])
    table = table.merge(more, on="label", how="left")
    perimeter = table["perimeter"].to_numpy(float)
    # The perimeter of a few pixels is underestimated, so that a dot would be rounder than a circle.
    table["circularity"] = np.clip(
        4 * np.pi * table["area"] / np.where(perimeter > 0, perimeter, np.nan) ** 2, None, 1.0
    )
    if cells is None:
        table["cell_area"] = table["nucleus_cell_ratio"] = np.nan
    else:
        areas = np.bincount(cells.ravel(), minlength=int(labels.max(initial=0)) + 1).astype(float)
        table["cell_area"] = areas[table["label"].to_numpy(int)]
        table["nucleus_cell_ratio"] = table["area"] / table["cell_area"]
    ordered = [name for name in table if name not in COLUMNS] + list(COLUMNS)
    table = add_physical(table[ordered], pixel_size_um)
    table["cell_area_um2"] = table["cell_area"] * pixel_size_um**2 if pixel_size_um else np.nan
    return table


_FROM_TABLE = ("circularity", "cell_area", "nucleus_cell_ratio")


def _each(labels: np.ndarray) -> Iterator[tuple[int, tuple[slice, slice], np.ndarray]]:
    for number, place in enumerate(ndimage.find_objects(labels), 1):
        if place is not None:
            yield number, place, labels[place] == number


def count_lobes(mask: np.ndarray) -> tuple[int, int]:
    """Count the lobes of a nucleus: bodies joined by necks, and separate parts.

    A lobe is a peak of the distance to the outline that stands out by `LOBE_DEPTH` of the largest inscribed radius and
    has at least `SMALLEST_LOBE` of that radius.

    Parameters
    ----------
    mask : (h, w) bool, not empty

    Returns
    -------
    lobes, parts : int
        Each at least 1.
    """
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))
    largest = float(distance.max())
    smooth = cv2.GaussianBlur(distance.astype(np.float32), (0, 0), max(0.08 * largest, 0.5))
    markers = find_markers(
        smooth, np.pad(mask, 1), depth=max(LOBE_DEPTH * largest, 0.25), floor=SMALLEST_LOBE * largest
    )
    parts = int(ndimage.label(mask, np.ones((3, 3)))[1])
    return max(int(markers.max()), 1), parts


def roughness(mask: np.ndarray) -> float:
    """Measure how much the outline departs from itself smoothed, whatever its shape.

    The outline of the largest part is sampled at equal steps and kept to its `HARMONICS` lowest Fourier harmonics.

    Parameters
    ----------
    mask : (h, w) bool, not empty

    Returns
    -------
    float
        Root mean square distance between the two, as a share of the radius of the disc with the same area.
    """
    contours, _ = cv2.findContours(np.pad(mask, 1).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=len)[:, 0].astype(float)
    if len(outline) < 8:
        return 0.0
    closed = np.vstack([outline, outline[:1]])
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    at = np.linspace(0, length[-1], OUTLINE_POINTS, endpoint=False)
    points = np.interp(at, length, closed[:, 0]) + 1j * np.interp(at, length, closed[:, 1])
    spectrum = np.fft.fft(points)
    frequency = np.abs(np.fft.fftfreq(OUTLINE_POINTS, 1 / OUTLINE_POINTS))
    rest = np.fft.ifft(np.where(frequency > HARMONICS, spectrum, 0))
    return float(np.sqrt(np.mean(np.abs(rest) ** 2)) / np.sqrt(mask.sum() / np.pi))


def texture(grey: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """Measure the chromatin's texture by the co-occurrence of neighbouring grey values (Haralick).

    Parameters
    ----------
    grey : (h, w) uint8
    mask : (h, w) bool

    Returns
    -------
    dict
        ``texture_contrast`` and so on, means over four directions at a distance of one pixel; only pairs of pixels that
        both lie in the mask count.
    """
    levels = np.where(mask, grey.astype(np.int32) * LEVELS // 256 + 1, 0).astype(np.uint8)
    pairs = graycomatrix(
        levels, [1], [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4], levels=LEVELS + 1, symmetric=True
    ).astype(float)[1:, 1:]
    if not pairs.sum():
        return {f"texture_{name}": float("nan") for name in (*TEXTURES, "entropy")}
    values = {f"texture_{name}": float(graycoprops(pairs, name).mean()) for name in TEXTURES}
    shares = pairs / np.maximum(pairs.sum((0, 1), keepdims=True), 1)
    values["texture_entropy"] = float(-(shares * np.log2(np.maximum(shares, 1e-12))).sum((0, 1)).mean())
    return values
