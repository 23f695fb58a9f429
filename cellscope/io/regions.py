"""Regions of interest from GeoJSON, as QuPath exports annotations."""

from __future__ import annotations

import gzip
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from cellscope.errors import UsageError
from cellscope.imaging.regions import Polygon, Regions
from cellscope.io.text import one_line


@lru_cache(maxsize=32)
def read_regions(path: str | os.PathLike[str]) -> Regions:
    """Read the polygons of a GeoJSON file: a FeatureCollection, a list of features, one feature or a geometry.

    Parameters
    ----------
    path : path
        ``.geojson``, or the same with ``.gz``. Coordinates are pixels of the full-resolution image.

    Raises
    ------
    UsageError
        The file cannot be read, is no GeoJSON, or holds no polygon.
    """
    path = Path(path)
    shown = one_line(path)
    try:
        data = path.read_bytes()
        found = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
        polygons = [polygon for geometry in _geometries(found) for polygon in _polygons(geometry)]
    except OSError as error:
        raise UsageError(f"{shown}: the regions cannot be read ({error.strerror or error})") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"{shown}: is no GeoJSON of polygons ({error}); export annotations from QuPath") from error
    if not polygons:
        raise UsageError(f"{shown}: holds no polygon; draw regions as closed annotations")
    return Regions(polygons)


def check_regions(path: Path | None) -> None:
    """Raise UsageError, before any work, if ``--roi`` names nothing that can be read; a folder is looked at later."""
    if path is not None and not path.is_dir():
        read_regions(path)


def _geometries(found: Any) -> list[Any]:
    if isinstance(found, list):
        return [geometry for item in found for geometry in _geometries(item)]
    if found["type"] == "FeatureCollection":
        return _geometries(found["features"])
    if found["type"] == "Feature":
        return _geometries(found["geometry"]) if found.get("geometry") else []
    if found["type"] == "GeometryCollection":
        return _geometries(found["geometries"])
    return [found]


def _polygons(geometry: dict[str, Any]) -> list[Polygon]:
    if geometry["type"] not in ("Polygon", "MultiPolygon"):
        return []  # points and lines enclose nothing
    several = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    return [tuple(_ring(ring) for ring in rings) for rings in several]


def _ring(points: Any) -> np.ndarray:
    ring = np.asarray([point[:2] for point in points], float)
    if ring.ndim != 2 or len(ring) < 3 or not np.isfinite(ring).all():
        raise ValueError("a ring has fewer than three points")
    return ring[:-1] if np.array_equal(ring[0], ring[-1]) else ring
