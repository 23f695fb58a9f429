"""Boxes that are stated as two corners where COCO has a corner and a size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cellscope.errors import DatasetError
from cellscope.io.annotations.tally import note
from cellscope.io.text import one_line

SLACK = 2.0
"""Pixels by which a box may leave its image, or differ from its outline, and still be right."""

FEWEST = 5
"""Outlines of an image from which on their scale is judged."""


def refuse_corners(annotations: list[Any], images: Mapping[Any, Mapping[str, Any]], path: Path) -> None:
    """Refuse a file whose boxes are ``x1, y1, x2, y2``: read as ``x, y, width, height`` they would lie elsewhere.

    As corners all of them lie within the images and, where there are polygons, on them; as sizes they do not.

    Raises
    ------
    DatasetError
    """
    sizes = {}
    for number, facts in images.items():
        width, height = facts.get("width"), facts.get("height")
        if isinstance(width, int) and isinstance(height, int):
            sizes[str(number)] = (width, height)
    boxes, limits, extents = [], [], []
    for one in annotations:
        box = one.get("bbox")
        if not isinstance(box, list) or len(box) != 4:
            continue
        try:
            boxes.append([float(value) for value in box])
        except (TypeError, ValueError, OverflowError):
            continue
        limits.append(sizes.get(str(one.get("image_id")), (np.inf, np.inf)))
        extents.append(_extent(one.get("segmentation")))
    if not boxes:
        return
    array, limit, extent = np.array(boxes), np.array(limits, float), np.array(extents, float)
    if not np.isfinite(array).all():
        return
    ordered = (array[:, 2:] > array[:, :2]).all(1)
    within = (array[:, 2:] <= limit + SLACK).all(1) & ordered
    outlined = np.isfinite(extent).all(1)
    as_corners = np.abs(array - extent).max(1) <= SLACK
    as_sizes = np.abs(array[:, :2] + array[:, 2:] - extent[:, 2:]).max(1) <= SLACK
    if outlined.any():
        wrong = bool((as_corners & ~as_sizes)[outlined].sum() > outlined.sum() / 2)
    else:
        leaving = ((array[:, :2] + array[:, 2:]) > limit + SLACK).any(1)
        wrong = bool(within.all() and leaving.sum() >= max(1, len(array) / 10))
    if wrong:
        raise DatasetError(
            f"{one_line(path)}: the boxes look like two corners (x1, y1, x2, y2); COCO's bbox is x, y, width, height: "
            "export it as COCO, or subtract the first corner from the second"
        )


def _extent(segmentation: Any) -> list[float]:
    """Give the box of polygons as corners, NaN where there are none."""
    nothing = [np.nan] * 4
    if not isinstance(segmentation, list) or not segmentation or not isinstance(segmentation[0], list):
        return nothing
    try:
        points = np.concatenate([np.array(polygon, float).reshape(-1, 2) for polygon in segmentation])
    except (TypeError, ValueError, OverflowError):
        return nothing
    if len(points) < 3 or not np.isfinite(points).all():
        return nothing
    return [*points.min(0), *points.max(0)]


def doubt_scale(
    boxes: Sequence[tuple[float, float, float, float]], shape: tuple[int, int], source: Path, image: str
) -> None:
    """Refuse fractions of the image's size; doubt outlines that all lie in the upper left quarter of the image.

    Parameters
    ----------
    boxes : sequence of (x0, y0, x1, y1)
        Of all objects of the image.
    shape : (height, width)
    source : Path
        The annotation file.
    image : str

    Raises
    ------
    DatasetError
    """
    if len(boxes) < FEWEST:
        return
    height, width = shape
    right, bottom = max(box[2] for box in boxes), max(box[3] for box in boxes)
    if min(min(box[:2]) for box in boxes) >= 0 and max(right, bottom) <= 1 < min(height, width):
        raise DatasetError(
            f"{one_line(source)}: {image}: all coordinates are between 0 and 1, fractions of the image's size; export "
            "them in pixels"
        )
    if right < width / 2 and bottom < height / 2:
        note(
            f"{one_line(source.name)}: {image}: all {len(boxes)} outlines lie in the upper left quarter of the image; "
            "look whether they are in micrometres, or of a smaller copy of it"
        )
