"""The checks that every outline goes through, whichever program wrote it. Errors say what; readers add where."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from cellscope.io.annotations.outline import Part, Ring

LARGEST = 2.0**24
"""No image has more rows or columns: coordinates beyond are damage, and C code that draws them writes elsewhere."""


class Fault(Exception):
    """What is wrong with one object, in words that follow its name."""


class TooFew(Fault):
    """An outline of fewer than three points: a click, not an object. It is dropped and counted."""

    def __init__(self) -> None:
        super().__init__("its outline has fewer than three points")


def numbers(values: Any) -> np.ndarray:
    """Check that values are finite numbers of a size that coordinates have.

    Returns
    -------
    (...) float64

    Raises
    ------
    Fault
    """
    try:
        array = np.array(values, dtype=float)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Fault("its outline holds something other than numbers, or lists of different lengths") from error
    if not np.isfinite(array).all():
        raise Fault("its outline holds a coordinate that is not finite")
    if array.size and np.abs(array).max() > LARGEST:
        raise Fault(f"its outline holds the coordinate {array.flat[np.abs(array).argmax()]:g}, which no image reaches")
    return array


def number(value: Any, what: str) -> float:
    """Check one finite number."""
    if isinstance(value, bool):
        raise Fault(f"its {what} is {value}")
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise Fault(f"its {what} is {str(value)[:40]!r}, no number") from error
    if not np.isfinite(found) or abs(found) > LARGEST:
        raise Fault(f"its {what} is {found:g}")
    return found


def ring(points: Any) -> Ring:
    """Check one closed line: at least three different points, each x and y (further values, such as z, are left out).

    Returns
    -------
    (n, 2) float
        As given: a last point that repeats the first stays.

    Raises
    ------
    TooFew, Fault
    """
    if not isinstance(points, (list, tuple, np.ndarray)):
        raise Fault("its outline is not a list of points")
    if len(points) == 0:
        raise TooFew
    try:
        pairs = [(point[0], point[1]) for point in points]
    except (TypeError, IndexError, KeyError) as error:
        raise Fault("its outline holds something other than points with x and y") from error
    array = numbers(pairs)
    if array.ndim != 2:
        raise Fault("its outline is nested too deep")
    closed = len(array) > 1 and bool((array[0] == array[-1]).all())
    if len(array) - closed < 3:
        raise TooFew
    return array


def part(rings: Any) -> Part:
    """Check a polygon: its outside and holes; holes of fewer than three points enclose nothing and are left out."""
    if not isinstance(rings, (list, tuple)) or not rings:
        raise TooFew
    kept = [ring(rings[0])]
    for hole in rings[1:]:
        try:
            kept.append(ring(hole))
        except TooFew:
            continue
    return tuple(kept)


def parts(polygons: Iterable[Any]) -> tuple[Part, ...]:
    """Check several polygons of one object; those of fewer than three points are left out unless all are.

    Raises
    ------
    TooFew, Fault
    """
    kept = []
    for polygon in polygons:
        try:
            kept.append(part(polygon))
        except TooFew:
            continue
    if not kept:
        raise TooFew
    return tuple(kept)


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Part:
    """Give the outline of a rectangle."""
    return (np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], float),)


def ellipse(x: float, y: float, rx: float, ry: float, degrees: float = 0.0) -> Part:
    """Give the outline of an ellipse: 64 points, turned clockwise as seen (y runs down).

    Raises
    ------
    Fault
        If a radius is not positive.
    """
    if rx <= 0 or ry <= 0:
        raise Fault("its radius is not positive")
    t = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    across, down = rx * np.cos(t), ry * np.sin(t)
    turn = np.deg2rad(degrees)
    return (
        np.stack([x + across * np.cos(turn) - down * np.sin(turn), y + across * np.sin(turn) + down * np.cos(turn)], 1),
    )
