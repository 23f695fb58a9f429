"""Regions of interest from GeoJSON, as QuPath exports annotations."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from cellscope.errors import DatasetError, UsageError
from cellscope.imaging.regions import Polygon, Regions
from cellscope.io.annotations import checks
from cellscope.io.annotations.checks import Fault
from cellscope.io.annotations.document import parse_json, read_text
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
        found = parse_json(read_text(path), path)
        polygons = [polygon for geometry in _geometries(found) for polygon in _polygons(geometry)]
    except DatasetError as error:
        raise UsageError(f"{error} (the regions are no GeoJSON of polygons)") from error
    except (Fault, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{shown}: is no GeoJSON of polygons ({one_line(str(error))[:80]}); export annotations from QuPath"
        ) from error
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
    return [tuple(_open(ring) for ring in checks.part(rings)) for rings in several]


def _open(ring: np.ndarray) -> np.ndarray:
    """Leave out a last point that repeats the first."""
    return ring[:-1] if np.array_equal(ring[0], ring[-1]) else ring
