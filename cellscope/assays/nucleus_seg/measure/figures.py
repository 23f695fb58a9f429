"""The overlay and the GeoJSON of an image."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pandas as pd
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont
from skimage.segmentation import find_boundaries

from cellscope.imaging.overlay import overlay_scale, to_overlay
from cellscope.imaging.polygons import collection, feature, outlines

#: Smaller images are enlarged by a whole factor to at least this width, larger ones shrunk to at most this.
SMALLEST_WIDTH, LARGEST_WIDTH = 480, 4096
NUCLEUS_COLOUR, CELL_COLOUR, REVIEW_COLOUR = (40, 220, 90), (255, 214, 10), (255, 95, 60)


def draw_overlay(rgb: np.ndarray, labels: np.ndarray, cells: np.ndarray | None, objects: pd.DataFrame) -> np.ndarray:
    """Draw the outlines of cells (yellow) and nuclei (green; orange red for those to review) with their numbers.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
    labels : (H, W) int
    cells : (H, W) int or None
    objects : DataFrame
        ``label``, ``review``, ``centroid-0``, ``centroid-1``, ``bbox-*``.

    Returns
    -------
    (h, w, 3) uint8
        Between `SMALLEST_WIDTH` and `LARGEST_WIDTH` wide.
    """
    scale = overlay_scale(labels.shape[1], SMALLEST_WIDTH, LARGEST_WIDTH)
    canvas = to_overlay(rgb, scale)
    size = canvas.shape[1::-1]
    review = np.zeros(int(labels.max(initial=0)) + 1, bool)
    review[objects.loc[objects["review"].astype(bool), "label"].to_numpy(int)] = True
    for image, colours in ((cells, (CELL_COLOUR, CELL_COLOUR)), (labels, (NUCLEUS_COLOUR, REVIEW_COLOUR))):
        if image is None:
            continue
        drawn = to_overlay(image.astype(np.float32), scale, cv2.INTER_NEAREST).astype(np.int32)
        line = find_boundaries(drawn, mode="inner")
        if scale > 1:  # a line of one pixel is hard to see where pixels are large
            line |= find_boundaries(np.where(line, 0, drawn), mode="inner") & (drawn > 0)
        rows, columns = np.nonzero(line)
        canvas[rows, columns] = np.where(review[drawn[rows, columns]][:, None], colours[1], colours[0])
    picture = Picture.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(max(18, min(28, size[0] // 60)))
    for row in objects.to_dict("records"):
        # At the upper right of the nucleus, not on it: the chromatin is what one wants to see.
        where = (row["bbox-3"] * scale + 1, row["bbox-0"] * scale - 2)
        where = (min(max(where[0], 1), size[0] - 26), min(max(where[1], 1), size[1] - 24))
        colour = REVIEW_COLOUR if row["review"] else NUCLEUS_COLOUR
        draw.text(where, str(row["label"]), fill=colour, font=font, stroke_width=1, stroke_fill=(15, 18, 24))
    return np.asarray(picture)


def as_geojson(labels: np.ndarray, objects: pd.DataFrame, image: str) -> dict[str, Any]:
    """Give one feature per nucleus with its measurements, for QuPath.

    Parameters
    ----------
    labels : (H, W) int
    objects : DataFrame
        A row per label.
    image : str
        The contract's ``image``.
    """
    shapes = outlines(labels)
    left_out = {"label", "class", "review", "reasons"}
    return collection(
        [
            feature(
                shapes[row["label"]],
                image=image,
                kind="nucleus",
                label=row["label"],
                classification="nucleus" if not row["review"] else "nucleus: review",
                colour=REVIEW_COLOUR if row["review"] else NUCLEUS_COLOUR,
                measurements={name: value for name, value in row.items() if name not in left_out},
            )
            for row in objects.to_dict("records")
        ]
    )
