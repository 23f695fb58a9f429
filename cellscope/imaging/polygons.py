"""Outlines of objects as GeoJSON that QuPath opens: polygons with holes, one feature per object."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from scipy import ndimage
from skimage.draw import polygon as draw_polygon
from skimage.measure import find_contours

#: Names features: the same image, class of thing and label give the same UUID in every run.
NAMESPACE = uuid.UUID("6f2c7f52-7a0e-5c0b-9a43-0f3c6f1f4d11")

Ring = list[list[float]]


def outline(mask: np.ndarray, offset: tuple[int, int] = (0, 0)) -> dict[str, Any]:
    """Trace the outline of one object.

    Rings run half-way between pixel centres inside and outside, so even a single pixel has an outline with an area,
    and no ring crosses itself or another. Coordinates are QuPath's: x right, y down, and pixel (row 0, column 0) spans
    0 to 1.

    Parameters
    ----------
    mask : (h, w) bool, not empty
    offset : (row, column) of the mask's first pixel in the image

    Returns
    -------
    dict
        A GeoJSON geometry: ``Polygon``, or ``MultiPolygon`` for an object in several parts. The first ring of a polygon
        is its outside, counterclockwise as RFC 7946 wants (in coordinates as they are, y not flipped); others are
        holes. Rings are closed.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    row, column = offset
    # Padded by one, so that objects at the mask's edge are closed; +0.5 because pixel centres lie at half integers.
    rings = find_contours(np.pad(mask.astype(np.float32), 1), 0.5, fully_connected="low")
    outer: list[np.ndarray] = []
    holes: list[np.ndarray] = []
    for ring in rings:
        points = _without_collinear(ring[:, ::-1] + (column - 0.5, row - 0.5))
        (outer if _signed_area(ring) < 0 else holes).append(points)
    if not outer:
        raise ValueError("an empty mask has no outline")
    polygons = [[_oriented(ring, positive=True)] for ring in outer]
    for hole in holes:
        owner = _owner(hole, outer)
        polygons[owner].append(_oriented(hole, positive=False))
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def outlines(labels: np.ndarray) -> dict[int, dict[str, Any]]:
    """Trace every object of a label image: label -> geometry.

    Parameters
    ----------
    labels : (H, W) int, 0 is background
    """
    found = {}
    for index, place in enumerate(ndimage.find_objects(labels), 1):
        if place is not None:
            found[index] = outline(labels[place] == index, (place[0].start, place[1].start))
    return found


def rings(geometry: Mapping[str, Any]) -> list[Ring]:
    """Give all rings of a geometry from `outline`, holes too: what a canvas fills by the even-odd rule."""
    parts = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    return [ring for part in parts for ring in part]


def mask_of(outline: Sequence[Ring]) -> tuple[np.ndarray, tuple[int, int]]:
    """Fill rings by the even-odd rule: the inverse of `rings`.

    Parameters
    ----------
    outline : sequence of rings
        In QuPath's coordinates; may lie outside the image.

    Returns
    -------
    mask : (h, w) bool
        Pixels whose centres lie inside.
    place : (row, column)
        Of its first pixel in the image.
    """
    points = [np.asarray(ring, float)[:, :2] - 0.5 for ring in outline]
    low = np.floor(np.min([ring.min(0) for ring in points], 0)).astype(int)
    high = np.ceil(np.max([ring.max(0) for ring in points], 0)).astype(int) + 1
    mask = np.zeros((high - low)[::-1], bool)
    for ring in points:
        rows, columns = draw_polygon(ring[:, 1] - low[1], ring[:, 0] - low[0], mask.shape)
        mask[rows, columns] ^= True
    return mask, (int(low[1]), int(low[0]))


def feature_id(image: str, label: int, kind: str = "object") -> str:
    """Give the id of an object's feature, the same in every run."""
    return str(uuid.uuid5(NAMESPACE, f"{image}/{kind}/{label}"))


def fill(labels: np.ndarray, geometry: Mapping[str, Any], number: int) -> bool:
    """Draw an outline into a label image: the inverse of `outline`.

    Parameters
    ----------
    labels : (H, W) int
        Changed in place. A pixel whose centre lies inside gets the number, whatever it had.
    geometry : mapping
        A GeoJSON ``Polygon`` or ``MultiPolygon`` in QuPath's coordinates; parts outside the image are cut off.
    number : int

    Returns
    -------
    bool
        Whether a pixel was drawn.

    Raises
    ------
    ValueError
        For a geometry of another kind or without three points.
    """
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind not in ("Polygon", "MultiPolygon") or not coordinates:
        raise ValueError(f"a {kind} has no area")
    parts = [coordinates] if kind == "Polygon" else coordinates
    drawn = False
    for rings in parts:
        points = [np.asarray(ring, float)[:, :2] - 0.5 for ring in rings]
        if not points or min(map(len, points)) < 3:
            raise ValueError("an outline needs at least three points")
        low = np.maximum(np.floor(points[0].min(0)).astype(int), 0)
        high = np.minimum(np.ceil(points[0].max(0)).astype(int) + 1, (labels.shape[1], labels.shape[0]))
        if (high <= low).any():
            continue
        window = labels[low[1] : high[1], low[0] : high[0]]
        inside = np.zeros(window.shape, bool)
        for ring in points:  # even-odd: a hole takes out what the outside put in
            rows, columns = draw_polygon(ring[:, 1] - low[1], ring[:, 0] - low[0], window.shape)
            inside[rows, columns] ^= True
        window[inside] = number
        drawn |= bool(inside.any())
    return drawn


def feature(
    geometry: Mapping[str, Any],
    *,
    image: str,
    label: int,
    classification: str,
    colour: Sequence[int],
    measurements: Mapping[str, Any],
    kind: str = "object",
    object_type: str = "detection",
    name: str | None = None,
) -> dict[str, Any]:
    """Make the GeoJSON feature of one object.

    Parameters
    ----------
    geometry : mapping
        From `outline`.
    image : str
        The contract's ``image``; with `kind` and `label` it makes the stable id.
    label : int
    classification : str
    colour : (red, green, blue), 0..255
    measurements : mapping
        Name -> number; what is not a finite number is left out, since neither JSON nor QuPath has a word for it.
    kind : str
        What the label numbers, where an image has several kinds: ``nucleus``, ``micronucleus``.
    object_type : str
        QuPath's ``detection``, ``cell`` or ``annotation``.
    name : str, optional
        Shown by QuPath.
    """
    properties: dict[str, Any] = {
        "objectType": object_type,
        "classification": {"name": classification, "color": [int(value) for value in colour]},
        "measurements": {
            "label": int(label),
            **{key: float(value) for key, value in measurements.items() if _is_number(value)},
        },
    }
    if name is not None:
        properties["name"] = name
    return {
        "type": "Feature",
        "id": feature_id(image, label, kind),
        "geometry": dict(geometry),
        "properties": properties,
    }


def collection(features: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Gather features for one file."""
    return {"type": "FeatureCollection", "features": list(features)}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and math.isfinite(value)


def _signed_area(points: np.ndarray) -> float:
    """Return the area by the shoelace formula over the two columns in their order."""
    first, second = points[:, 0], points[:, 1]
    return 0.5 * float(np.dot(first[:-1], second[1:]) - np.dot(first[1:], second[:-1]))


def _without_collinear(ring: np.ndarray) -> np.ndarray:
    """Drop points in the middle of a straight line; the ring stays closed."""
    points = ring[:-1]
    before, after = points - np.roll(points, 1, 0), np.roll(points, -1, 0) - points
    turns = np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]) > 1e-9
    kept = points[turns]
    return np.vstack([kept, kept[:1]])


def _oriented(ring: np.ndarray, *, positive: bool) -> Ring:
    points = ring if (_signed_area(ring) > 0) == positive else ring[::-1]
    return points.round(2).tolist()


def _owner(hole: np.ndarray, outer: list[np.ndarray]) -> int:
    """Find the smallest outside that holds a hole."""
    if len(outer) == 1:
        return 0
    point = (float(hole[0, 0]), float(hole[0, 1]))
    around = [
        number for number, ring in enumerate(outer) if cv2.pointPolygonTest(ring.astype(np.float32), point, False) >= 0
    ]
    return min(around, key=lambda number: abs(_signed_area(outer[number])))
