"""The rows of `objects.csv`: type and confidence of every nucleus, its shape, its stain, and the reasons for review."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd

from cellscope.assays.histo.classes import PIXEL_SIZE_UM
from cellscope.assays.histo.nuclei.postprocess import Nuclei
from cellscope.imaging.measure import add_physical
from cellscope.imaging.shapes import measure_labels
from cellscope.imaging.stain import stains

#: The ring around a nucleus that its stain is compared with begins and ends here, micrometres from its outline.
RING_UM = (0.4, 2.0)
#: What fills less than this share of its convex hull may be two nuclei taken for one.
WHOLE = 0.8
#: Larger than this is hardly one nucleus, square micrometres.
HUGE_UM2 = 500.0
#: A nucleus has at least this much more haematoxylin than its surroundings, optical density.
DARKER = 0.02
UNSURE = "type unsure"
REASONS = (
    UNSURE,
    "may not be a nucleus",
    "cut by the border",
    "odd shape, two as one?",
    "very large",
    "no darker than its surroundings",
)
"""Reasons for review, in the order they are named."""
STAIN = ("haematoxylin_mean", "haematoxylin_std", "eosin_mean", "eosin_std", "haematoxylin_contrast")


def context(pixel_size_um: float | None) -> int:
    """Give how far around a nucleus its surroundings are measured, pixels: windows must hold that much more."""
    return int(np.ceil(RING_UM[1] / (pixel_size_um or PIXEL_SIZE_UM))) + 1


def measure_nuclei(
    rgb: np.ndarray,
    nuclei: Nuclei,
    classes: tuple[str, ...],
    pixel_size_um: float | None,
    *,
    origin: tuple[int, int] = (0, 0),
    shape: tuple[int, int] | None = None,
    review_below: float = 0.6,
) -> pd.DataFrame:
    """Measure every nucleus of an image or of a window of one.

    Where `context` pixels around a nucleus lie in the window, or outside the image, its row does not depend on the
    window.

    Parameters
    ----------
    rgb : (h, w, 3) uint8, sRGB
    nuclei : Nuclei
        Labels (h, w) 1..N, with probabilities (N, K) and scores (N,) in that order.
    classes : tuple of K str
        One class: no probabilities are written.
    pixel_size_um : float or None
    origin : (row, column)
        Of the window's first pixel in the image.
    shape : (H, W), optional
        Of the whole image; the window's when not given.
    review_below : float
        Type probability or score below which a nucleus is marked for review.

    Returns
    -------
    DataFrame
        A row per label: ``label, class, score, review``, ``p_<class>``, scikit-image's names in pixels of the whole
        image, ``circularity``, `STAIN` (optical densities), ``cut_by_border``, ``reasons``, then ``_um`` and ``_um2``.
    """
    shapes = measure_labels(nuclei.labels, origin)
    present = shapes["label"].to_numpy(int) - 1
    probabilities = nuclei.probabilities[present]
    score = nuclei.score[present].astype(float)
    typed = len(classes) > 1
    best = probabilities.argmax(1) if typed else np.zeros(len(present), int)
    if nuclei.named is not None:
        best = nuclei.named[present]
    table = pd.DataFrame(
        {"label": shapes["label"], "class": np.array(classes, object)[best], "score": score, "review": False}
    )
    sure = score
    if typed:
        for column, name in enumerate(classes):
            table[f"p_{name}"] = probabilities[:, column].astype(float)
        sure = probabilities.max(1, initial=0.0)
    table = pd.concat([table, shapes.drop(columns="label")], axis=1)
    perimeter = shapes["perimeter"].to_numpy()
    # The perimeter of a few pixels is underestimated, so that a dot would be rounder than a circle.
    table["circularity"] = np.minimum(4 * np.pi * shapes["area"] / np.maximum(perimeter, 1e-9) ** 2, 1.0)
    for name, values in stain_of(rgb, nuclei.labels, present + 1, pixel_size_um).items():
        table[name] = values
    height, width = shape or (nuclei.labels.shape[0] + origin[0], nuclei.labels.shape[1] + origin[1])
    cut = (
        (table["bbox-0"] <= 0) | (table["bbox-1"] <= 0) | (table["bbox-2"] >= height) | (table["bbox-3"] >= width)
    ).to_numpy(bool)
    flags = np.stack(
        [
            (sure < review_below) & typed,
            score < review_below,
            cut,
            (table["solidity"] < WHOLE).to_numpy(bool) & ~cut,
            (table["area"] * (pixel_size_um or PIXEL_SIZE_UM) ** 2 > HUGE_UM2).to_numpy(bool),
            (table["haematoxylin_contrast"] < DARKER).to_numpy(bool),
        ],
        axis=1,
    )
    table["cut_by_border"] = cut
    names = np.array(REASONS)
    table["reasons"] = pd.Series(["; ".join(names[row]) for row in flags], index=table.index, dtype=object)
    table["review"] = flags.any(1)
    return add_physical(table, pixel_size_um)


def count_unsure(table: pd.DataFrame) -> int:
    """Count the rows of ``objects.csv`` whose type is unsure: the counts by type are right to within so many."""
    return int(table["reasons"].str.contains(UNSURE, regex=False, na=False).sum())


def stain_of(
    rgb: np.ndarray, labels: np.ndarray, numbers: np.ndarray, pixel_size_um: float | None
) -> dict[str, np.ndarray]:
    """Measure haematoxylin and eosin inside every nucleus and in a ring around it.

    The ring is what lies `RING_UM` from a nucleus's outline, is nearer to it than to any other nucleus, and belongs to
    none.

    Parameters
    ----------
    rgb : (h, w, 3) uint8
    labels : (h, w) int
    numbers : (N,) int
        The labels to measure.
    pixel_size_um : float or None

    Returns
    -------
    dict
        `STAIN` -> (N,) float: means and standard deviations of the optical densities, and the difference of
        haematoxylin's mean inside and in the ring (NaN where a nucleus has no ring).
    """
    if not len(numbers):
        return {name: np.zeros(0) for name in STAIN}
    density = stains(rgb)
    size = int(labels.max()) + 1
    inside = np.flatnonzero(labels)
    owner = labels.ravel()[inside]
    count = np.maximum(np.bincount(owner, minlength=size), 1)
    found: dict[str, np.ndarray] = {}
    for channel, name in enumerate(("haematoxylin", "eosin")):
        values = density[..., channel].ravel()[inside].astype(float)
        mean = np.bincount(owner, values, size) / count
        found[f"{name}_mean"] = mean
        found[f"{name}_std"] = np.sqrt(np.bincount(owner, (values - mean[owner]) ** 2, size) / count)
    first, last = (value / (pixel_size_um or PIXEL_SIZE_UM) for value in RING_UM)
    distance, nearest = cv2.distanceTransformWithLabels(
        (labels == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_pixel = np.zeros(int(nearest.max()) + 1, labels.dtype)
    of_pixel[nearest.ravel()[inside]] = owner
    # At least one pixel wide, also where a pixel measures more than the ring.
    ring = np.flatnonzero((distance > max(first, 1.0)) & (distance <= max(last, 2.5)))
    around = of_pixel[nearest.ravel()[ring]]
    pixels = np.bincount(around, minlength=size)
    outside = np.bincount(around, density[..., 0].ravel()[ring].astype(float), size)
    with np.errstate(invalid="ignore"):
        found["haematoxylin_contrast"] = found["haematoxylin_mean"] - outside / np.where(pixels > 0, pixels, np.nan)
    return {name: found[name][numbers] for name in STAIN}
