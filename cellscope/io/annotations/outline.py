"""One annotated object, whatever program outlined it: its class, and its outline as polygons or as a mask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Union

import numpy as np

from cellscope.errors import DatasetError
from cellscope.imaging.polygons import fill
from cellscope.io.annotations import rle
from cellscope.io.annotations.boxes import doubt_scale
from cellscope.io.text import one_line

Ring = np.ndarray
"""(n, 2) float, x then y; pixel (row 0, column 0) spans 0 to 1. At least three points."""

Part = tuple[Ring, ...]
"""The outside, then holes."""

MOST_WORK = 5e9
"""Points of an outline times pixels of its box: beyond it takes minutes to draw, and no nucleus is like that."""


@dataclass(frozen=True)
class Polygons:
    """Polygons with holes."""

    parts: tuple[Part, ...]

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """Smallest and largest x and y: (x0, y0, x1, y1)."""
        points = np.concatenate([ring for part in self.parts for ring in part])
        return (*map(float, points.min(0)), *map(float, points.max(0)))  # type: ignore[return-value]

    def size(self, _shape: tuple[int, int]) -> float:
        """Give the area of the box, enough to tell a nucleus from the larger one that it lies on."""
        x0, y0, x1, y1 = self.box
        return (x1 - x0) * (y1 - y0)

    def draw(self, labels: np.ndarray, number: int) -> None:
        """Draw into a label image: pixels whose centres lie inside."""
        geometry = {"type": "MultiPolygon", "coordinates": self.parts}
        fill(labels, geometry, number)


@dataclass(frozen=True)
class CocoPolygons:
    """Polygons as COCO means them, drawn as its own tools do: they overlap each other, and there are no holes."""

    polygons: tuple[tuple[float, ...], ...]

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1)."""
        points = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in self.polygons])
        return (*map(float, points.min(0)), *map(float, points.max(0)))  # type: ignore[return-value]

    def mask(self, shape: tuple[int, int]) -> np.ndarray:
        """Draw it: (height, width) bool."""
        from pycocotools import mask

        lists = [list(polygon) for polygon in self.polygons]
        return np.asarray(mask.decode(mask.merge(mask.frPyObjects(lists, *shape)))).astype(bool)

    def _window(self, shape: tuple[int, int]) -> Window:
        """Draw it once: what is sorted by size first is drawn afterwards."""
        kept: tuple[tuple[int, int], Window] | None = self.__dict__.get("_kept")
        if kept is None or kept[0] != shape:
            mask = self.mask(shape)
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            if len(rows):
                place = (int(rows[0]), int(columns[0]))
                window = Window(mask[place[0] : rows[-1] + 1, place[1] : columns[-1] + 1].copy(), place)
            else:
                window = Window(np.zeros((0, 0), bool), (0, 0))
            kept = self.__dict__["_kept"] = (shape, window)
        return kept[1]

    def size(self, shape: tuple[int, int]) -> float:
        """Count its pixels."""
        return self._window(shape).size(shape)

    def draw(self, labels: np.ndarray, number: int) -> None:
        """Draw into a label image."""
        height, width = labels.shape
        self._window((height, width)).draw(labels, number)


@dataclass(frozen=True)
class Runs:
    """A mask of the whole image as run lengths down the columns, checked to fill it."""

    runs: np.ndarray
    shape: tuple[int, int]

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1); all zero for an empty mask."""
        mask = self.mask(self.shape)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            return (0.0, 0.0, 0.0, 0.0)
        return (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))

    def mask(self, _shape: tuple[int, int]) -> np.ndarray:
        """Draw it: (height, width) bool."""
        return rle.decode(self.runs, *self.shape)

    def size(self, _shape: tuple[int, int]) -> float:
        """Count its pixels."""
        return float(self.runs[1::2].sum())

    def draw(self, labels: np.ndarray, number: int) -> None:
        """Draw into a label image."""
        labels[self.mask(self.shape)] = number


@dataclass(frozen=True)
class Window:
    """A mask of a part of the image, its first pixel at (row, column)."""

    pixels: np.ndarray
    place: tuple[int, int]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1)."""
        (row, column), (height, width) = self.place, self.pixels.shape
        return float(column), float(row), float(column + width), float(row + height)

    def size(self, _shape: tuple[int, int]) -> float:
        """Count its pixels."""
        return float(np.count_nonzero(self.pixels))

    def draw(self, labels: np.ndarray, number: int) -> None:
        """Draw into a label image; what lies outside it is cut off."""
        row, column = self.place
        top, left = max(row, 0), max(column, 0)
        here = labels[top : max(row + self.pixels.shape[0], 0), left : max(column + self.pixels.shape[1], 0)]
        shown = self.pixels[top - row :, left - column :]
        here[shown[: here.shape[0], : here.shape[1]]] = number


Geometry = Union[Polygons, CocoPolygons, Runs, Window]  # noqa: UP007  evaluated when the module is imported


@dataclass(frozen=True, eq=False)
class Outline:
    """One annotated object.

    Attributes
    ----------
    name : str
        What messages call it: ``annotation 12``, ``object 3``.
    class_ : str
        Empty where unknown.
    geometry : Geometry or None
        None where the source gives a box only.
    box : tuple or None
        ``x, y, width, height`` where the source states it.
    crowd : bool
        Not one object but an area with several that nobody outlined.
    measured : mapping
        Name -> finite number: what the program that wrote the file keeps with the object.
    """

    name: str
    class_: str
    geometry: Geometry | None
    box: tuple[float, float, float, float] | None = None
    crowd: bool = False
    measured: Mapping[str, float] = field(default_factory=dict)

    @property
    def extent(self) -> tuple[float, float, float, float] | None:
        """Smallest and largest x and y: (x0, y0, x1, y1)."""
        if self.geometry is not None:
            return self.geometry.box
        return None if self.box is None else (*self.box[:2], self.box[0] + self.box[2], self.box[1] + self.box[3])


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """One image and its objects.

    Attributes
    ----------
    path : Path
        The image.
    source : Path
        The file with the outlines, for messages.
    outlines : sequence of Outline
    name : str
        The image's name in the annotation, without suffix; unique within a source.
    stated : (width, height) or None
        The size that the annotation states.
    facts : dict
        What else it says of the image.
    first_on_top : bool
        Where two objects overlap, the first in the file is on top; else the smaller.
    regions, ignored : sequence of Outline
        Areas that were worked in, and areas of which the annotation tells nothing; see `areas.unknown_area`.
    """

    path: Path
    source: Path
    outlines: Sequence[Outline]
    name: str
    stated: tuple[int, int] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    first_on_top: bool = False
    regions: Sequence[Outline] = ()
    ignored: Sequence[Outline] = ()

    def check(self, shape: tuple[int, int]) -> None:
        """Check the objects against the image they are said to belong to.

        Parameters
        ----------
        shape : (height, width) of the image

        Raises
        ------
        DatasetError
            If the annotation states another size, or an outline lies outside the image.
        """
        height, width = shape
        where = f"{one_line(self.source)}: {one_line(self.path.name)}"
        if self.stated is not None and self.stated != (width, height):
            raise DatasetError(
                f"{one_line(self.path)}: the image is {width} x {height} pixels but the annotation file "
                f"{one_line(self.source.name)} says {self.stated[0]} x {self.stated[1]}; annotate the image as it is"
            )
        reach = max(height, width)
        boxes = [box for outline in self.outlines if (box := outline.extent) is not None]
        doubt_scale(boxes, shape, self.source, one_line(self.path.name))
        for outline in self.outlines:
            if (box := outline.extent) is None:
                continue
            x0, y0, x1, y1 = box
            far = min(x0, y0) < -reach or x1 > width + reach or y1 > height + reach
            if far or x0 >= width or y0 >= height or x1 < 0 or y1 < 0:
                raise DatasetError(
                    f"{where}: {outline.name} lies outside the image ({width} x {height} pixels), at x {x0:g} to "
                    f"{x1:g}, y {y0:g} to {y1:g}; the outlines belong to another image or another magnification"
                )
            if isinstance(outline.geometry, Polygons):
                points = sum(len(ring) for part in outline.geometry.parts for ring in part)
                if points * min(outline.geometry.size(shape), height * width) > MOST_WORK:
                    raise DatasetError(f"{where}: {outline.name} has {points} points; simplify its outline")


def draw(image: AnnotatedImage, outlines: Iterable[Outline], shape: tuple[int, int]) -> np.ndarray:
    """Draw outlines into a label image; the number of an object is its place, from 1.

    Parameters
    ----------
    image : AnnotatedImage
        Says what is on top.
    outlines : iterable of Outline
        All with a geometry.
    shape : (height, width)

    Returns
    -------
    (height, width) int32
    """
    labels = np.zeros(shape, np.int32)
    shapes = [outline.geometry for outline in outlines]
    order = list(range(len(shapes)))
    if image.first_on_top:
        order.reverse()
    else:
        sizes = [shape_.size(shape) if shape_ is not None else 0.0 for shape_ in shapes]
        order.sort(key=lambda index: -sizes[index])
    for index in order:
        geometry = shapes[index]
        if geometry is not None:
            geometry.draw(labels, index + 1)
    return labels
