"""GeoJSON that came back from QuPath: objects with their ids, and areas drawn around what was looked at."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from cellscope.errors import InputError
from cellscope.imaging.taken import Returned, is_region
from cellscope.io.annotations.checks import Fault, TooFew
from cellscope.io.annotations.geojson import DETECTED, class_of, features, kind_of, measurements, parts_of
from cellscope.io.text import one_line

REGION = ("region*", "ignore*", "region")
_NEVER = ("tile", "tma_core", "root")


def read_returned(path: Path, classes: Collection[str], typical: float) -> tuple[list[Returned], list[list[Any]]]:
    """Read the objects of a corrected file.

    Detections and cells are objects. So are annotations of one of the classes, and those without a class that are no
    larger than objects can be; every other annotation is a region.

    Parameters
    ----------
    path : Path
        ``.geojson`` or ``.geojson.gz``.
    classes : collection of str
        Those that an object can have; another one is an error. With a single class, names mean nothing.
    typical : float
        Area of an object, pixels.

    Returns
    -------
    objects : list of Returned
    regions : list of outlines

    Raises
    ------
    InputError
        It cannot be read, or an object has a class that is not among `classes`.
    """
    objects, regions = [], []
    for number, one in enumerate(features(path), 1):
        kind, named = kind_of(one), class_of(one)
        if kind in _NEVER:
            continue
        try:
            parts = parts_of(one.get("nucleusGeometry") or one.get("geometry"))
        except TooFew:
            continue
        except Fault as error:
            raise InputError(f"{one_line(path)}: object {number}: {error}") from None
        outline = [ring.tolist() for part in parts for ring in part]
        if kind not in DETECTED and _is_area(named, outline, classes, typical):
            regions.append(outline)
            continue
        known = len(classes) > 1
        if known and named and named not in classes:
            raise InputError(
                f"{one_line(path)}: object {number} is of the class {one_line(named)!r}; the model knows "
                f"{', '.join(classes)}"
            )
        label = measurements(one).get("label", 0.0)
        stated = int(label) if label == int(label) else 0
        objects.append(Returned(named if known else "", outline, str(one.get("id") or ""), stated))
    return objects, regions


def _is_area(named: str, outline: list[Any], classes: Collection[str], typical: float) -> bool:
    if named.lower() in REGION:
        return True
    if named in classes:
        return False
    return is_region(outline, typical) or bool(named and len(classes) > 1)
