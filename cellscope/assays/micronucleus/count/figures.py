"""Pictures and files of one field: overlay, outlines for QuPath, the thumbnails of the review gallery."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pandas as pd

from cellscope.assays.micronucleus.classes import CLASSES, MICRONUCLEUS
from cellscope.imaging.overlay import overlay_scale, to_overlay
from cellscope.imaging.polygons import collection, feature, outlines
from cellscope.report.thumbnails import encode

OVERLAY_WIDTH = 1400
"""Least width of an overlay; smaller fields are enlarged by a whole factor so that micronuclei can be seen."""

COLOURS = {"normal": (64, 180, 220), MICRONUCLEUS: (255, 120, 40), "not scorable": (200, 120, 220)}
MN_COLOUR = (255, 235, 60)
THUMB = 96
MEASUREMENTS = ("score", "p_micronucleus", "n_micronuclei", "area", "intensity_mean")


def display(grey: np.ndarray) -> np.ndarray:
    """Stretch a channel for the eye: square root from its 20th to its 99.7th percentile, so that dim micronuclei show.

    Parameters
    ----------
    grey : (H, W) float32

    Returns
    -------
    (H, W) uint8
    """
    low, high = np.percentile(grey, [20, 99.7])
    return np.rint(255 * np.sqrt(np.clip((grey - low) / max(high - low, 1e-6), 0, 1))).astype(np.uint8)


def _kind(row: Any) -> str:
    return str(row["class"]) if row["scorable"] else "not scorable"


def draw_overlay(grey: np.ndarray, labels: np.ndarray, micronuclei: np.ndarray, table: pd.DataFrame) -> np.ndarray:
    """Draw the cells by class, micronuclei, and the probability of every positive or unsure cell.

    Parameters
    ----------
    grey : (H, W) float32
    labels, micronuclei : (H, W) int
    table : DataFrame
        From `cellscope.assays.micronucleus.count.objects.cell_table`.

    Returns
    -------
    (k H, k W, 3) uint8, k a whole factor
    """
    factor = int(overlay_scale(grey.shape[1], OVERLAY_WIDTH))
    base = to_overlay(display(grey), factor)
    canvas = cv2.cvtColor(base, cv2.COLOR_GRAY2RGB)
    kinds = {int(row["label"]): _kind(row) for row in table.to_dict("records")}
    for label, contours in _contours(labels, factor):
        cv2.drawContours(canvas, contours, -1, COLOURS[kinds.get(label, "normal")], 1, cv2.LINE_AA)
    for _, contours in _contours(micronuclei, factor):
        cv2.drawContours(canvas, contours, -1, MN_COLOUR, 1, cv2.LINE_AA)
    size = 0.4 * max(factor, 1) / 1.5
    for row in table.to_dict("records"):
        if row["scorable"] and (row["class"] == MICRONUCLEUS or row["review"]):
            place = (int(row["bbox-3"] * factor) + 2, int(row["bbox-0"] * factor) + 4)
            text = f"{row['p_micronucleus']:.2f}" + ("?" if row["review"] else "")
            cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), 3, cv2.LINE_AA)
            cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, COLOURS[_kind(row)], 1, cv2.LINE_AA)
    return canvas


def _contours(labels: np.ndarray, factor: int) -> Any:
    from scipy import ndimage

    for index, place in enumerate(ndimage.find_objects(labels), 1):
        if place is None:
            continue
        mask = np.pad((labels[place] == index).astype(np.uint8), 1)
        mask = to_overlay(mask, factor, cv2.INTER_NEAREST)
        offset = (int(place[1].start - 1) * factor, int(place[0].start - 1) * factor)
        yield index, cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=offset)[0]


def as_features(image: str, labels: np.ndarray, table: pd.DataFrame) -> dict[str, Any]:
    """Give the cells as GeoJSON: one feature per row of ``objects.csv``."""
    shapes = outlines(labels)
    return collection(
        [
            feature(
                shapes[int(row["label"])],
                image=image,
                label=int(row["label"]),
                classification=_kind(row),
                colour=COLOURS[_kind(row)],
                measurements={name: row[name] for name in MEASUREMENTS},
                kind="nucleus",
                object_type="detection",
            )
            for row in table.to_dict("records")
        ]
    )


def gallery_of(
    image: str, grey: np.ndarray, table: pd.DataFrame, parents: np.ndarray, diameter: float, most: int
) -> dict[str, Any]:
    """Cut thumbnails of the positive and the unsure cells for the review gallery of the report.

    Parameters
    ----------
    image : str
    grey : (H, W) float32
    table : DataFrame
    parents : (H, W) int
        The nucleus whose micronucleus a pixel belongs to, else 0: a thumbnail marks its own cell's only.
    diameter : float
        Median nucleus diameter, pixels.
    most : int
        Cells at most: unsure ones first, then the surest.

    Returns
    -------
    dict
        ``classes``, ``total`` positive or unsure cells, ``cells``: label, place, class, probability, review, picture.
    """
    wanted = table[table["scorable"] & ((table["class"] == MICRONUCLEUS) | table["review"])]
    ranked = wanted.sort_values(["review", "p_micronucleus"], ascending=[False, False], kind="stable").head(most)
    shown = display(grey)
    half = max(round(1.4 * diameter), 8)
    cells = []
    for row in ranked.to_dict("records"):
        y, x = round(row["centroid-0"]), round(row["centroid-1"])
        top, left = max(y - half, 0), max(x - half, 0)
        place = np.s_[top : y + half, left : x + half]  # cut first: comparing the whole field for each cell takes long
        picture = thumbnail(shown[place], parents[place] == row["label"], y - top, x - left, half)
        cells.append(
            {
                "label": int(row["label"]),
                "centroid-0": round(float(row["centroid-0"]), 2),
                "centroid-1": round(float(row["centroid-1"]), 2),
                "class": str(row["class"]),
                "probability": round(float(row["p_micronucleus"]), 4),
                "review": bool(row["review"]),
                "picture": encode(picture),
            }
        )
    return {"image": image, "classes": list(CLASSES), "total": len(wanted), "cells": cells}


def thumbnail(shown: np.ndarray, own: np.ndarray, y: int, x: int, half: int, *, size: int = THUMB) -> np.ndarray:
    """Cut one thumbnail with a thin ring around part of it.

    Parameters
    ----------
    shown : (H, W) uint8
        From `display`.
    own : (H, W) bool
        What is ringed: the micronuclei of the cell, or its nucleus.
    y, x : int
        Centre.
    half : int
        Half of the side, pixels of the image.
    size : int
        Side of the result.

    Returns
    -------
    (size, size, 3) uint8
    """
    padded = np.zeros((2 * half, 2 * half), np.uint8)
    marks = np.zeros_like(padded)
    top, left = max(y - half, 0), max(x - half, 0)
    cut = shown[top : y + half, left : x + half]
    at = (slice(top - y + half, top - y + half + cut.shape[0]), slice(left - x + half, left - x + half + cut.shape[1]))
    padded[at] = cut
    marks[at] = own[top : y + half, left : x + half]
    flags = cv2.INTER_AREA if 2 * half > size else cv2.INTER_CUBIC
    picture = cv2.cvtColor(cv2.resize(padded, (size, size), interpolation=flags), cv2.COLOR_GRAY2RGB)
    ring = cv2.resize(marks, (size, size), interpolation=cv2.INTER_NEAREST)
    ring = cv2.dilate(ring, np.ones((5, 5), np.uint8))
    contours, _ = cv2.findContours(ring, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, contours, -1, MN_COLOUR, 1)
    return picture
