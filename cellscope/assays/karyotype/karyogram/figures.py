"""Pictures and files of one karyotyped metaphase: overlay and COCO."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from cellscope import __version__
from cellscope.assays.karyotype.cell.assignment import UNASSIGNED
from cellscope.assays.karyotype.cell.chromosomes import Cell
from cellscope.assays.karyotype.classes import CLASSES
from cellscope.assays.karyotype.detect.detections import encode
from cellscope.imaging.overlay import overlay_scale, to_overlay
from cellscope.imaging.tone import to_grey

#: Least width of an overlay; smaller images are enlarged by a whole factor so that labels can be read.
OVERLAY_WIDTH = 1200
REVIEW_COLOUR = (255, 150, 30)


def colour_of(class_: str) -> tuple[int, int, int]:
    """Give a class its colour: hues spread by the golden angle, so that neighbours differ."""
    if class_ == UNASSIGNED:
        return (235, 235, 235)
    hue = int((CLASSES.index(class_) * 137.508) % 360 / 2)
    blue, green, red = cv2.cvtColor(np.uint8([[[hue, 170, 255]]]), cv2.COLOR_HSV2BGR)[0, 0].tolist()  # type: ignore[arg-type]
    return red, green, blue


def draw_overlay(pixels: np.ndarray, cell: Cell) -> np.ndarray:
    """Draw contours and classes on the image; chromosomes to review have their name in a box.

    Parameters
    ----------
    pixels : (H, W, C) uint8, uint16 or float32
    cell : Cell

    Returns
    -------
    (H * k, W * k, 3) uint8, k a whole factor
    """
    grey = to_grey(pixels)
    low, high = np.percentile(grey, [0.1, 99.9])
    base = np.clip((grey - low) * (255.0 / max(high - low, 1e-6)), 0, 255).astype(np.uint8)
    factor = int(overlay_scale(base.shape[1], OVERLAY_WIDTH))
    canvas = cv2.cvtColor(to_overlay(base, factor), cv2.COLOR_GRAY2RGB)
    for chromosome in cell.chromosomes:
        x0, y0 = map(int, chromosome.detection.bbox[:2])
        enlarged = to_overlay(chromosome.detection.mask.astype(np.uint8), factor, cv2.INTER_NEAREST)
        contours, _ = cv2.findContours(
            enlarged, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(x0 * factor, y0 * factor)
        )
        cv2.drawContours(canvas, contours, -1, colour_of(chromosome.class_), 2, cv2.LINE_AA)
    picture = Picture.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(max(14, canvas.shape[1] // 70))
    for chromosome in cell.chromosomes:
        y0, x1 = (int(value) * factor for value in chromosome.detection.bbox[[1, 2]])
        name = "?" if chromosome.class_ == UNASSIGNED else chromosome.class_
        if chromosome.review or chromosome.class_ == UNASSIGNED:
            name += f" #{chromosome.label}"  # as the karyogram calls it
        # Beside the chromosome rather than on it: the bands are what one wants to see.
        room = round(draw.textlength(name, font=font)) + 8
        where = (min(max(x1 + 2, 4), canvas.shape[1] - room), min(max(y0 - 4, 4), canvas.shape[0] - 24))
        box = draw.textbbox(where, name, font=font)
        draw.rectangle((box[0] - 3, box[1] - 2, box[2] + 3, box[3] + 2), fill=(12, 14, 20))
        if chromosome.review:
            draw.rectangle((box[0] - 4, box[1] - 3, box[2] + 4, box[3] + 3), outline=REVIEW_COLOUR, width=2)
        draw.text(where, name, fill=colour_of(chromosome.class_), font=font)
    return np.asarray(picture)


def as_coco(cell: Cell, image: str) -> dict[str, Any]:
    """Give the instances as COCO: RLE masks, `id` the label, category 23 = X, 24 = Y, 25 = unassigned."""
    names = [*CLASSES, UNASSIGNED]
    annotations = []
    for chromosome in cell.chromosomes:
        x0, y0 = map(int, chromosome.detection.bbox[:2])
        left, top, right, bottom = chromosome.detection.reported_box(cell.shape)
        annotations.append(
            {
                "id": chromosome.label,
                "image_id": 1,
                "category_id": names.index(chromosome.class_) + 1,
                "bbox": [round(float(value), 2) for value in (left, top, right - left, bottom - top)],
                "area": chromosome.detection.area,
                "segmentation": encode(chromosome.detection.mask, x0, y0, cell.shape),
                "score": round(chromosome.detection.score, 5),
                "iscrowd": 0,
            }
        )
    return {
        "info": {"description": "chromosomes found by cellscope; research use only", "version": __version__},
        "images": [{"id": 1, "file_name": image, "height": cell.shape[0], "width": cell.shape[1]}],
        "categories": [{"id": index, "name": name} for index, name in enumerate(names, 1)],
        "annotations": annotations,
    }
