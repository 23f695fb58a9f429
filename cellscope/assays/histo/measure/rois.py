"""The regions of ``--roi``: which nuclei lie in which, counts and densities of each, and their outlines drawn."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pandas as pd
from PIL import Image as Picture
from PIL import ImageDraw

from cellscope.assays.histo.measure.legend import INK, PAPER, font
from cellscope.assays.histo.measure.rows import count_unsure
from cellscope.assays.histo.measure.summary import UNSURE
from cellscope.imaging.regions import Regions

TABLE, COLUMN = "rois", "roi"
"""The table of regions, and the column of ``objects.csv`` that names them."""

COLUMNS = (COLUMN, "n_objects", "n_review", "area_mm2", "density_per_mm2")
"""Its columns behind ``image``; with several types ``n_<type>``, ``<type>_per_mm2`` and ``n_unsure`` follow."""

#: Fractional bits of the coordinates that OpenCV draws with.
_SHIFT = 4


def names_at(regions: Regions, rows: np.ndarray, columns: np.ndarray) -> list[str]:
    """Name the regions that points lie in, several with ``; `` between.

    Parameters
    ----------
    regions : Regions
    rows, columns : (N,) float
    """
    inside = [region.contains(rows, columns) for region in regions.each()]
    return [
        "; ".join(name for name, one in zip(regions.names, inside, strict=True) if one[at]) for at in range(len(rows))
    ]


class RegionCounts:
    """Counts the nuclei of every region, batch by batch.

    Parameters
    ----------
    regions : Regions
    classes : sequence of str
    """

    def __init__(self, regions: Regions, classes: Sequence[str]) -> None:
        self.regions, self.each, self.classes = regions, regions.each(), tuple(classes)
        self.counts = np.zeros((len(self.each), len(self.classes)), int)
        self.reviewed = np.zeros(len(self.each), int)
        self.unsure = np.zeros(len(self.each), int)

    def add(self, table: pd.DataFrame) -> None:
        """Count a batch of rows of ``objects.csv``."""
        rows, columns = (table[f"centroid-{axis}"].to_numpy(float) for axis in (0, 1))
        for number, region in enumerate(self.each):
            inside = table[region.contains(rows, columns)]
            self.counts[number] += [int((inside["class"] == name).sum()) for name in self.classes]
            self.reviewed[number] += int(inside["review"].sum())
            self.unsure[number] += count_unsure(inside)

    def table(
        self, shape: tuple[int, int], pixel_size_um: float | None, tissue: np.ndarray | None = None
    ) -> pd.DataFrame:
        """Give a row per region: its nuclei, area and densities.

        Parameters
        ----------
        shape : (height, width) of the image
        pixel_size_um : float or None
            Areas and densities are empty where it is not known.
        tissue : (h, w) bool, optional
            Where nuclei were looked for, of any size; an area is the tissue's share of the region.
        """
        several = len(self.classes) > 1
        rows = []
        for number, region in enumerate(self.each):
            counts, area = self.counts[number], None
            if pixel_size_um:
                area = region.area(shape) * _share(region, tissue, shape) * pixel_size_um**2 / 1e6
            total = int(counts.sum())
            density = total / area if area else None
            found = (self.regions.names[number], total, int(self.reviewed[number]), area, density)
            row = dict(zip(COLUMNS, found, strict=True))
            if several:
                row |= {f"n_{name}": int(count) for name, count in zip(self.classes, counts, strict=True)}
                row |= {
                    f"{name}_per_mm2": count / area if area else None
                    for name, count in zip(self.classes, counts.tolist(), strict=True)
                }
                row[UNSURE] = int(self.unsure[number])
            rows.append(row)
        return pd.DataFrame(rows)


def _share(region: Regions, tissue: np.ndarray | None, shape: tuple[int, int]) -> float:
    if tissue is None:
        return 1.0
    drawn = region.mask(tissue.shape[:2], tissue.shape[0] / shape[0])
    return float(tissue[drawn].mean()) if drawn.any() else 0.0


def draw_regions(canvas: np.ndarray, regions: Regions, scale: float) -> np.ndarray:
    """Draw the outline of every region, dark with a light rim, and its name at its top left.

    Parameters
    ----------
    canvas : (h, w, 3) uint8
    regions : Regions
    scale : float
        Pixels of the canvas per pixel of the image.

    Returns
    -------
    (h, w, 3) uint8
    """
    drawn = canvas.copy()
    thickness = max(round(canvas.shape[1] / 700), 2)
    for colour, width in ((PAPER, 2 * thickness), (INK, thickness)):
        for polygon in regions.polygons:
            rings = [np.rint((ring * scale - 0.5) * (1 << _SHIFT)).astype(np.int32)[:, None] for ring in polygon]
            cv2.polylines(drawn, rings, True, colour, width, cv2.LINE_AA, _SHIFT)
    size = int(np.clip(canvas.shape[1] // 60, 13, 48))
    picture = Picture.fromarray(drawn)
    pen = ImageDraw.Draw(picture)
    for region, name in zip(regions.each(), regions.names, strict=True):
        corners = np.concatenate([polygon[0] for polygon in region.polygons]) * scale
        x, y = np.clip(corners.min(0), 0, canvas.shape[1::-1]).tolist()
        x0, y0, x1, y1 = pen.textbbox((x + 0.4 * size, max(y - 0.3 * size, 1.3 * size)), name, font(size), anchor="lb")
        pad = size // 4
        left = min(max(x0, pad), max(canvas.shape[1] - (x1 - x0) - pad, pad)) - x0
        pen.rectangle((x0 + left - pad, y0 - pad, x1 + left + pad, y1 + pad), fill=PAPER)
        pen.text((x0 + left, y1), name, fill=INK, font=font(size), anchor="lb")
    return np.asarray(picture)
