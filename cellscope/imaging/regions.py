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
    """

    polygons: Sequence[Polygon]

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


def _crossings(ring: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Tell for which points a ray to the right crosses a ring an odd number of times."""
    odd = np.zeros(len(x), bool)
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, 0), strict=True):
        if y0 == y1:
            continue
        between = (y >= min(y0, y1)) & (y < max(y0, y1))
        odd[between] ^= x[between] < x0 + (y[between] - y0) * (x1 - x0) / (y1 - y0)
    return odd
