"""The overlay and the GeoJSON of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pandas as pd
from scipy import ndimage

from cellscope.assays.histo.measure.legend import INK, PAPER, add_legend, colours_of, entries_of
from cellscope.assays.histo.measure.rois import draw_regions
from cellscope.imaging.overlay import overlay_scale, to_overlay
from cellscope.imaging.polygons import collection, feature, outlines
from cellscope.imaging.regions import Regions

#: Smaller images are enlarged by a whole factor to at least this width, larger ones shrunk to at most this.
SMALLEST_WIDTH, LARGEST_WIDTH = 1000, 4096
#: Fractional bits of the coordinates that OpenCV draws with.
_SHIFT = 4


def draw_overlay(
    rgb: np.ndarray,
    labels: np.ndarray,
    table: pd.DataFrame,
    classes: tuple[str, ...],
    pixel_size_um: float | None = None,
    regions: Regions | None = None,
) -> np.ndarray:
    """Draw the outline of every nucleus in its type's colour, a dot on those to review, and a legend below.

    Parameters
    ----------
    rgb : (H, W, 3) uint8, sRGB
    labels : (H, W) int
    table : DataFrame
        ``label``, ``class``, ``review``, ``centroid-0``, ``centroid-1``.
    classes : tuple of str
    pixel_size_um : float, optional
        For the scale bar.
    regions : Regions, optional
        Drawn over the nuclei, with their names.

    Returns
    -------
    (h, w, 3) uint8
        Between `SMALLEST_WIDTH` and `LARGEST_WIDTH` wide.
    """
    scale = overlay_scale(labels.shape[1], SMALLEST_WIDTH, LARGEST_WIDTH)
    canvas = to_overlay(rgb, scale, cv2.INTER_CUBIC)
    thickness = max(round(2 * min(scale, 2) * canvas.shape[1] / 1600), 1)
    draw_outlines(canvas, labels, table, classes, scale, thickness=thickness)
    review = table[table["review"].astype(bool)]
    for row, column in zip(review["centroid-0"].tolist(), review["centroid-1"].tolist(), strict=True):
        _dot(canvas, (column + 0.5) * scale - 0.5, (row + 0.5) * scale - 0.5, 1.1 + thickness)
    if regions is not None:
        canvas = draw_regions(canvas, regions, scale)
    entries = entries_of(table["class"].value_counts().to_dict(), len(review), classes)
    return add_legend(canvas, entries, pixel_size_um / scale if pixel_size_um else None)


def draw_outlines(
    canvas: np.ndarray,
    labels: np.ndarray,
    table: pd.DataFrame,
    classes: tuple[str, ...],
    scale: float,
    *,
    origin: tuple[int, int] = (0, 0),
    thickness: int = 1,
) -> None:
    """Draw the outline of every row's nucleus in its type's colour, along the centres of its outermost pixels.

    Parameters
    ----------
    canvas : (h, w, 3) uint8
        Changed in place.
    labels : (H, W) int
        May be a window of the image that `canvas` shows.
    table : DataFrame
        ``label`` and ``class``.
    classes : tuple of str
    scale : float
        Pixels of the canvas per pixel of the image.
    origin : (row, column)
        Of the window's first pixel in the image.
    thickness : int
        Pixels of the canvas.
    """
    colours, places = colours_of(classes), ndimage.find_objects(labels)
    for label, class_ in zip(table["label"].tolist(), table["class"].tolist(), strict=True):
        place = places[label - 1]
        rings, _ = cv2.findContours((labels[place] == label).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        corner = (place[1].start + origin[1] + 0.5, place[0].start + origin[0] + 0.5)
        drawn = [np.rint(((ring + corner) * scale - 0.5) * (1 << _SHIFT)).astype(np.int32) for ring in rings]
        cv2.polylines(canvas, drawn, True, colours[class_], thickness, cv2.LINE_AA, _SHIFT)


def _dot(canvas: np.ndarray, x: float, y: float, radius: float) -> None:
    centre = (round(x * (1 << _SHIFT)), round(y * (1 << _SHIFT)))
    for colour, size in ((INK, radius + 1), (PAPER, radius)):
        cv2.circle(canvas, centre, round(size * (1 << _SHIFT)), colour, -1, cv2.LINE_AA, _SHIFT)


def features(
    labels: np.ndarray,
    table: pd.DataFrame,
    image: str,
    classes: tuple[str, ...],
    origin: tuple[int, int] = (0, 0),
    numbers: Sequence[int] | None = None,
) -> list[dict[str, Any]]:
    """Give one feature per row with its outline and measurements, for QuPath.

    Parameters
    ----------
    labels : (h, w) int
        May be a window of a larger image.
    table : DataFrame
        From `measure_nuclei`; a label of `labels` without a row is left out.
    image : str
        The contract's ``image``.
    classes : tuple of str
    origin : (row, column)
        Of the window's first pixel in the image.
    numbers : sequence of int, optional
        The labels in the whole image, per row, where `labels` and `table` have the window's own.
    """
    shapes, colours = outlines(labels), colours_of(classes)
    left_out = {"label", "class", "review", "reasons", "cut_by_border", "roi"}
    return [
        feature(
            _moved(shapes[row["label"]], origin),
            image=image,
            kind="nucleus",
            label=number,
            classification=row["class"],
            colour=colours[row["class"]],
            measurements={
                **{name: value for name, value in row.items() if name not in left_out},
                "review": float(row["review"]),
            },
        )
        for row, number in zip(table.to_dict("records"), numbers or table["label"].tolist(), strict=True)
    ]


def as_geojson(labels: np.ndarray, table: pd.DataFrame, image: str, classes: tuple[str, ...]) -> dict[str, Any]:
    """Give the features of a whole image as one collection."""
    return collection(features(labels, table, image, classes))


def _moved(geometry: dict[str, Any], origin: tuple[int, int]) -> dict[str, Any]:
    row, column = origin
    if not row and not column:
        return geometry
    several = geometry["type"] == "MultiPolygon"
    polygons = geometry["coordinates"] if several else [geometry["coordinates"]]
    moved = [[[[x + column, y + row] for x, y in ring] for ring in rings] for rings in polygons]
    return {"type": geometry["type"], "coordinates": moved if several else moved[0]}
