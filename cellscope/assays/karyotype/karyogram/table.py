"""A cell's rows of ``objects.csv``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cellscope.assays.karyotype.cell.chromosomes import Cell
from cellscope.assays.karyotype.classes import CLASSES
from cellscope.imaging.measure import add_physical, measure_mask


def objects_table(cell: Cell, grey: np.ndarray, pixel_size_um: float | None) -> pd.DataFrame:
    """Give the cell's rows of ``objects.csv``.

    Parameters
    ----------
    cell : Cell
    grey : (H, W) float32
        The image's own grey values.
    pixel_size_um : float or None
    """
    rows = []
    for chromosome in cell.chromosomes:
        x0, y0, x1, y1 = map(int, chromosome.detection.bbox)
        row: dict[str, Any] = {
            "label": chromosome.label,
            "class": chromosome.class_,
            "score": chromosome.detection.score,
            "review": chromosome.review,
        }
        row |= {f"p_{name}": float(p) for name, p in zip(CLASSES, chromosome.probabilities, strict=True)}
        row |= measure_mask(chromosome.detection.mask, (y0, x0), grey[y0:y1, x0:x1])
        row |= {
            "confidence": chromosome.confidence,
            "odd_size": chromosome.odd_size,
            "angle_degrees": float(np.degrees(chromosome.angle)),
            "short_arm_up": "" if chromosome.short_arm_up is None else chromosome.short_arm_up,
            "touching": chromosome.touching,
            "cut_off": chromosome.cut_off,
            "reasons": "; ".join(chromosome.reasons),
        }
        rows.append(row)
    columns = ["label", "class", "score", "review", *(f"p_{name}" for name in CLASSES)]
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)
    return add_physical(table, pixel_size_um)
