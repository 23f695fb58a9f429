"""Regions of interest: polygons with holes, in pixels of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

Polygon = tuple[np.ndarray, ...]
"""Rings of (n, 2) float, x then y, in QuPath's coordinates: pixel (row 0, column 0) spans 0 to 1. The first is the
outside, the others are holes."""

_PAIRS = 2**21
"""Edges and points that are compared at once."""


@dataclass(frozen=True, eq=False)
class Regions:
    """Polygons; what lies in any of them is inside.

    Attributes
    ----------
    polygons : sequence of Polygon
    members : sequence of int
        The region that each polygon belongs to, from 0: a region may be in several pieces. Not given: each is its own.
    names : sequence of str
        Of the regions.
    """

    polygons: Sequence[Polygon]
    members: Sequence[int] = ()
    names: Sequence[str] = ()

    def each(self) -> list[Regions]:
        """Give every region by itself, in order."""
        members = self.members or range(len(self.polygons))
        return [
            Regions([polygon for polygon, member in zip(self.polygons, members, strict=True) if member == number])
            for number in range(max(members, default=-1) + 1)
        ]

    def area(self, shape: tuple[int, int]) -> float:
        """Measure the polygons within an image, in its pixels: exact, holes left out, overlaps counted twice.

        Parameters
        ----------
        shape : (height, width) of the image
        """
        height, width = shape
        areas = [[_area(_clipped(ring, height, width)) for ring in polygon] for polygon in self.polygons]
        return sum(outside - sum(holes) for outside, *holes in areas)

    def contains(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Tell which points lie inside.

        Parameters
        ----------
        rows, columns : (N,) float
            Pixel coordinates as centroids have them: the centre of the first pixel is (0, 0).

        Returns
        -------
        (N,) bool
        """
        x, y = np.asarray(columns, float) + 0.5, np.asarray(rows, float) + 0.5
        inside = np.zeros(len(x), bool)
        for polygon in self.polygons:
            odd = np.zeros(len(x), bool)
            for ring in polygon:
                odd ^= _crossings(ring, x, y)
            inside |= odd
        return inside

    def mask(self, shape: tuple[int, int], factor: float) -> np.ndarray:
        """Draw the regions.

        Parameters
        ----------
        shape : (height, width) of the mask
        factor : float
            Pixels of the mask per pixel of the image.

        Returns
        -------
        (height, width) bool
            At least one pixel for every polygon that reaches into the mask.
        """
        drawn = np.zeros(shape, np.uint8)
        for polygon in self.polygons:
            one = np.zeros(shape, np.uint8)
            rings = [np.floor(ring * factor).astype(np.int32)[:, None] for ring in polygon]
            cv2.fillPoly(one, rings, 1)  # even-odd over all rings, so holes stay free
            drawn |= one
        return drawn > 0


def _area(ring: np.ndarray) -> float:
    x, y = ring[:, 0], ring[:, 1]
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def _clipped(ring: np.ndarray, height: int, width: int) -> np.ndarray:
    """Cut a ring to the image, edge by edge (Sutherland and Hodgman 1974)."""
    for axis, limit, sign in ((0, 0, 1), (0, width, -1), (1, 0, 1), (1, height, -1)):
        if not len(ring):
            break
        depth = sign * (ring[:, axis] - limit)
        last, before = np.roll(ring, 1, 0), np.roll(depth, 1)
        inside = depth >= 0
        crosses = inside != (before >= 0)
        share = np.divide(before, before - depth, out=np.zeros_like(depth), where=crosses)
        # in the order of the ring: where an edge enters or leaves, then its end
        both = np.stack([last + (ring - last) * share[:, None], ring], 1).reshape(-1, 2)
        ring = both[np.stack([crosses, inside], 1).ravel()]
    return ring


def _crossings(ring: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Tell for which points a ray to the right crosses a ring an odd number of times."""
    order = np.argsort(y, kind="stable")
    px, py = x[order], y[order]
    (x0, y0), (x1, y1) = ring.T, np.roll(ring, -1, 0).T
    # an edge can only cross the rays of the points between its ends: [low, high) in their order
    low = np.searchsorted(py, np.minimum(y0, y1), "left")
    high = np.searchsorted(py, np.maximum(y0, y1), "left")
    edges = np.flatnonzero(high > low)
    counts = (high - low)[edges]
    ends = np.cumsum(counts)
    crossed = np.zeros(len(x), np.int64)
    first = 0
    while first < len(edges):
        done = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, done + _PAIRS, "right")))
        some, each = edges[first:last], counts[first:last]
        edge = np.repeat(some, each)
        within = np.arange(len(edge)) - np.repeat(np.cumsum(each) - each, each)
        point = np.repeat(low[some], each) + within
        at = x0[edge] + (py[point] - y0[edge]) * (x1[edge] - x0[edge]) / (y1[edge] - y0[edge])
        crossed += np.bincount(point[px[point] < at], minlength=len(x))
        first = last
    odd = np.zeros(len(x), bool)
    odd[order] = crossed % 2 == 1
    return odd
