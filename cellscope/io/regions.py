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
        regions = [(name, _polygons(geometry)) for geometry, name in _geometries(found)]
    except DatasetError as error:
        raise UsageError(f"{error} (the regions are no GeoJSON of polygons)") from error
    except (Fault, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{shown}: is no GeoJSON of polygons ({one_line(str(error))[:80]}); export annotations from QuPath"
        ) from error
    regions = [(name, polygons) for name, polygons in regions if polygons]
    if not regions:
        raise UsageError(f"{shown}: holds no polygon; draw regions as closed annotations")
    members = [number for number, (_, polygons) in enumerate(regions) for _ in polygons]
    return Regions(
        [polygon for _, polygons in regions for polygon in polygons], members, _unique([name for name, _ in regions])
    )


def check_regions(path: Path | None) -> None:
    """Raise UsageError, before any work, if ``--roi`` names nothing that can be read; a folder is looked at later."""
    if path is not None and not path.is_dir():
        read_regions(path)


def _geometries(found: Any, name: str = "") -> list[tuple[Any, str]]:
    """List the geometries and what they are called."""
    if isinstance(found, list):
        return [geometry for item in found for geometry in _geometries(item, name)]
    if found["type"] == "FeatureCollection":
        return _geometries(found["features"])
    if found["type"] == "Feature":
        return _geometries(found["geometry"], _name(found.get("properties"))) if found.get("geometry") else []
    if found["type"] == "GeometryCollection":
        return _geometries(found["geometries"], name)
    return [(found, name)]


def _name(properties: Any) -> str:
    """Give an annotation's name, else its class: both are QuPath's."""
    if not isinstance(properties, dict):
        return ""
    class_ = properties.get("classification")
    named = properties.get("name") or (class_.get("name") if isinstance(class_, dict) else "")
    return one_line(str(named)).strip() if named else ""


def _unique(names: list[str]) -> list[str]:
    """Add a number to names that are shared, and to none: ``Tumor 1``, ``Tumor 2``, ``region 1``."""
    listed = [name or "region" for name in names]
    found: list[str] = []
    for at, name in enumerate(listed):
        numbered = name if names[at] and listed.count(name) == 1 else f"{name} {listed[: at + 1].count(name)}"
        while numbered in found:
            numbered += "'"
        found.append(numbered)
    return found


def _polygons(geometry: dict[str, Any]) -> list[Polygon]:
    if geometry["type"] not in ("Polygon", "MultiPolygon"):
        return []  # points and lines enclose nothing
    several = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    return [tuple(_open(ring) for ring in checks.part(rings)) for rings in several]


def _open(ring: np.ndarray) -> np.ndarray:
    """Leave out a last point that repeats the first."""
    return ring[:-1] if np.array_equal(ring[0], ring[-1]) else ring
