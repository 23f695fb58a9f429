"""Annotated areas among annotated objects: the rectangle that was worked in, the tumour around the nuclei."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cellscope.imaging.regions import Regions
from cellscope.io.annotations.outline import Outline, Polygons
from cellscope.io.annotations.tally import drop

ENCLOSED = 3
"""An outline around at least so many others ..."""

LARGER = 5.0
"""... and so many times larger than their median is no object among them but the area they lie in."""


def without_regions(outlines: list[Outline], path: Path) -> tuple[list[Outline], list[Outline]]:
    """Tell objects from outlines that enclose others as only an area does; each of these is counted as dropped.

    Parameters
    ----------
    outlines : list of Outline
        All with polygons.
    path : Path
        For messages.

    Returns
    -------
    objects, regions : list of Outline
    """
    shapes = [outline.geometry for outline in outlines]
    polygons = [shape for shape in shapes if isinstance(shape, Polygons)]
    if len(polygons) != len(outlines) or len(outlines) <= ENCLOSED:
        return outlines, []
    boxes = np.array([shape.box for shape in polygons])
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    kept, regions = [], []
    for number, (outline, shape) in enumerate(zip(outlines, polygons, strict=True)):
        within = (x > boxes[number, 0]) & (x < boxes[number, 2]) & (y > boxes[number, 1]) & (y < boxes[number, 3])
        within[number] = False
        if within.sum() >= ENCLOSED and areas[number] > LARGER * np.median(areas[within]):
            others = np.flatnonzero(within)
            inside = Regions(shape.parts).contains(y[others] - 0.5, x[others] - 0.5)
            if inside.sum() >= ENCLOSED:
                drop("regions: outlines around other objects", path, f"{outline.name} encloses {int(inside.sum())}")
                regions.append(outline)
                continue
        kept.append(outline)
    return kept, regions
