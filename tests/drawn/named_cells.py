"""Cells for tests, named by a made-up classifier."""

from __future__ import annotations

import numpy as np

from cellscope.assays.karyotype.cell.chromosomes import Cell, name_cell
from cellscope.assays.karyotype.detect.detections import Detection
from drawn.karyotype import CLASSES, Generated


def detections(cell: Generated, score: float = 0.95) -> list[Detection]:
    return [
        Detection(box.astype(int), mask[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])], score)
        for mask, box in zip(cell.masks, cell.boxes, strict=True)
    ]


def named(cell: Generated, *, polarity: np.ndarray | None = None, sure: float = 0.99, **changes: object) -> Cell:
    scores = np.full((len(cell.classes), 24), np.log((1 - sure) / 23))
    scores[np.arange(len(cell.classes)), [CLASSES.index(name) for name in cell.classes]] = np.log(sure)
    settings = {"assign": True, "aneuploidy_cost": 3.0, "review_below": 0.8} | changes
    shape = cell.pixels.shape
    return name_cell(detections(cell), scores, polarity, shape=shape, bright_on_dark=not cell.inverted, **settings)
