"""Of which pixels an annotation tells nothing: crowds, areas to ignore, and what lies outside the regions worked in."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from cellscope.io.annotations.outline import AnnotatedImage, Outline
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
        In crowds and areas to ignore; and outside the regions, where every object has its centre in one of them:
        regions with objects beside them, such as a tumour's outline, do not say where objects were looked for. None
        where everything is known.
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
        if outline.geometry is not None:
            outline.geometry.draw(drawn, 1)
    return drawn > 0
