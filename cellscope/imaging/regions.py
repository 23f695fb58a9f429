"""Regions of interest: polygons with holes, in pixels of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

Polygon = tuple[np.ndarray, ...]
"""Rings of (n, 2) float, x then y, in QuPath's coordinates: pixel (row 0, column 0) spans 0 to 1. The first is the
outside, the others are holes."""


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
        depth = sign * (ring[:, axis] - limit)
        kept: list[np.ndarray] = []
        for at in range(len(ring)):
            here, last = ring[at], ring[at - 1]
            if (depth[at] >= 0) != (depth[at - 1] >= 0):
                kept.append(last + (here - last) * (depth[at - 1] / (depth[at - 1] - depth[at])))
            if depth[at] >= 0:
                kept.append(here)
        ring = np.array(kept) if kept else np.zeros((0, 2))
    return ring


def _crossings(ring: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Tell for which points a ray to the right crosses a ring an odd number of times."""
    odd = np.zeros(len(x), bool)
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, 0), strict=True):
        if y0 == y1:
            continue
        between = (y >= min(y0, y1)) & (y < max(y0, y1))
        odd[between] ^= x[between] < x0 + (y[between] - y0) * (x1 - x0) / (y1 - y0)
    return odd
