"""What lies in an annotated box: a chromosome's mask from the foreground, for sets that have boxes only."""

from __future__ import annotations

import cv2
import numpy as np

#: How far outside its box a chromosome may reach, and the least share of both of the box's sides it must fill.
REACH = 3
FILLED = 0.6
#: Of a box's area: what others may share of it, and the least that must be foreground.
SHARED = 0.34
LEAST = 0.15


class BoxCutouts:
    """Masks of the boxes of one metaphase.

    Boxes of neighbours overlap wherever chromosomes lie aslant, long before the chromosomes touch: a component of the
    foreground that fits its box alone is the chromosome, whatever other boxes lie over it. Where none fits, the
    chromosome touches another: then it is the largest piece of the foreground in the box that no other box shares.

    Parameters
    ----------
    foreground : (H, W) bool
    boxes : (N, 4) float
        x0, y0, x1, y1.
    """

    def __init__(self, foreground: np.ndarray, boxes: np.ndarray):
        self.foreground, self.boxes = foreground, boxes
        _, self.labels, stats, _ = cv2.connectedComponentsWithStats(foreground.astype(np.uint8))
        low, sides = stats[:, :2], stats[:, 2:4]
        self.extents, self.areas = np.hstack([low, low + sides]), stats[:, cv2.CC_STAT_AREA]

    def mask(self, index: int) -> np.ndarray | None:
        """Give the mask over the box rounded outwards, clipped at the image; None where it cannot be told.

        Returns
        -------
        (h, w) bool or None
        """
        x0, y0, x1, y1 = self.boxes[index]
        rows = slice(max(int(np.floor(y0)), 0), int(np.ceil(y1)))
        columns = slice(max(int(np.floor(x0)), 0), int(np.ceil(x1)))
        fitting = self._fitting(index)
        if fitting is not None:
            return self.labels[rows, columns] == fitting
        return self._unshared(index, rows, columns)

    def _fitting(self, index: int) -> int | None:
        """Find the component that fills the box and no other box as well."""
        inside = self._inside(self.boxes[index])
        if not inside.any():
            return None
        label = int(np.argmax(np.where(inside, self.areas, 0)))
        rivals = [self._inside(box)[label] for number, box in enumerate(self.boxes) if number != index]
        return None if any(rivals) else label

    def _inside(self, box: np.ndarray) -> np.ndarray:
        """Tell which components lie in a box and fill it."""
        low, high = self.extents[:, :2], self.extents[:, 2:]
        lies = ((low >= box[:2] - REACH) & (high <= box[2:] + REACH)).all(1)
        fills = ((high - low) >= FILLED * (box[2:] - box[:2])).all(1)
        found = lies & fills
        found[0] = False
        return found

    def _unshared(self, index: int, rows: slice, columns: slice) -> np.ndarray | None:
        x0, y0, x1, y1 = self.boxes[index]
        others = np.delete(self.boxes, index, 0)
        w = np.minimum(x1, others[:, 2]) - np.maximum(x0, others[:, 0])
        h = np.minimum(y1, others[:, 3]) - np.maximum(y0, others[:, 1])
        shared = np.clip(w, 0, None) * np.clip(h, 0, None)
        if shared.sum() > SHARED * (x1 - x0) * (y1 - y0):
            return None
        left, top = int(np.floor(x0)), int(np.floor(y0))
        cut = self.foreground[rows, columns].astype(np.uint8)
        for other, area in zip(others, shared, strict=True):
            if area > 0:
                ox0, oy0 = max(int(other[0]) - left, 0), max(int(other[1]) - top, 0)
                cut[oy0 : max(int(other[3]) - top, 0), ox0 : max(int(other[2]) - left, 0)] = 0
        _, labels, stats, _ = cv2.connectedComponentsWithStats(cut)
        if len(stats) < 2:
            return None
        best = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
        return labels == best if stats[best, cv2.CC_STAT_AREA] >= LEAST * cut.size else None
