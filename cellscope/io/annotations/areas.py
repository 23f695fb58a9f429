"""Of which pixels an annotation tells nothing: crowds, areas to ignore, and what lies outside the regions worked in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from cellscope.io.annotations.outline import AnnotatedImage, Outline, Polygons
from cellscope.io.annotations.tally import note


def unknown_area(image: AnnotatedImage, shape: tuple[int, int]) -> np.ndarray | None:
    """Draw the pixels of an image of which its annotation tells nothing.

    Parameters
    ----------
    image : AnnotatedImage
    shape : (height, width) of the image

    Returns
    -------
    (height, width) bool, or None
        In crowds, of which a box may be all that is given, and areas to ignore; and outside the regions, where every
        object has its centre in one of them: regions with objects beside them, such as a tumour's outline, do not say
        where objects were looked for. None where everything is known.
    """
    unknown = _drawn([*(one for one in image.outlines if one.crowd), *image.ignored], shape)
    if image.regions:
        inside = _drawn(image.regions, shape)
        boxes = np.array([one.extent for one in image.outlines if one.extent is not None and not one.crowd], float)
        centres = boxes.reshape(-1, 4)[:, [1, 0]] + boxes.reshape(-1, 4)[:, [3, 2]]
        rows, columns = np.clip(centres.astype(int) // 2, 0, np.array(shape) - 1).T
        if inside.any() and inside[rows, columns].all():
            note("where all objects of an image lie in its regions, nothing outside them is taken for annotated")
            unknown |= ~inside
    return unknown if unknown.any() else None


def _drawn(outlines: Iterable[Outline], shape: tuple[int, int]) -> np.ndarray:
    drawn = np.zeros(shape, np.int32)
    for outline in outlines:
        if isinstance(outline.geometry, Polygons):
            for part in outline.geometry.parts:
                drawn[_inside(part, shape)] = 1
        elif outline.geometry is not None:
            outline.geometry.draw(drawn, 1)
        elif outline.extent is not None:
            x0, y0, x1, y1 = outline.extent
            drawn[_inside([np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])], shape)] = 1
    return drawn > 0


def _inside(rings: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Fill rings by the even-odd rule, row by row: areas are large and have thousands of points.

    Returns
    -------
    (height, width) bool
        Pixels whose centres lie inside.
    """
    height, width = shape
    turns = np.zeros((height, width + 1), np.int32)  # from such a pixel on, inside and outside are exchanged
    for ring in rings:
        x, y = np.asarray(ring, float)[:, :2].T - 0.5
        to_x, to_y = np.roll(x, -1), np.roll(y, -1)
        first, end = (
            np.clip(np.ceil(ends), 0, height).astype(int) for ends in (np.minimum(y, to_y), np.maximum(y, to_y))
        )
        edge = np.repeat(np.arange(len(x)), end - first)
        row = first[edge] + np.arange(len(edge)) - np.searchsorted(edge, edge)
        crossing = x[edge] + (row - y[edge]) * (to_x - x)[edge] / (to_y - y)[edge]
        np.add.at(turns, (row, np.clip(np.ceil(crossing), 0, width).astype(int)), 1)
    inside: np.ndarray = np.cumsum(turns[:, :width], axis=1) % 2 == 1
    return inside
