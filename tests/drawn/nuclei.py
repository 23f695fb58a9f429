"""Maps that a perfect network would give, made from a label image for tests."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def perfect_maps(labels: np.ndarray, kinds: dict[int, int] | None = None, n_types: int = 4) -> np.ndarray:
    """Give the maps of a label image; `kinds` is label -> type, else the label modulo the number of types.

    Distances run from the centroid to -1 and 1 at the nucleus's ends (Graham et al. 2019, section 3.1).
    """
    maps = np.zeros((*labels.shape, 3 + n_types), np.float16)
    maps[..., 0] = labels > 0
    maps[labels == 0, 3:] = 1 / n_types
    for label, place in enumerate(ndimage.find_objects(labels), 1):
        if place is None:
            continue
        view = maps[place]
        rows, columns = np.nonzero(labels[place] == label)
        for channel, at in ((1, columns), (2, rows)):
            distance = at - at.mean()
            view[rows, columns, channel] = np.where(
                distance < 0, -distance / min(distance.min(), -1e-6), distance / max(distance.max(), 1e-6)
            )
        view[rows, columns, 3 + (label % n_types if kinds is None else kinds[label])] = 1
    return maps


def packed(side: int, pitch: int, seed: int = 0, share: float = 0.8) -> np.ndarray:
    """Draw round nuclei of many sizes, most of them touching: (side, side) int32, later ones over earlier ones."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((side, side), np.int32)
    rows, columns = np.mgrid[:side, :side]
    number = 0
    for y in range(pitch // 2, side, pitch):
        for x in range(pitch // 2, side, pitch):
            if rng.random() > share:
                continue
            number += 1
            cy, cx = y + rng.uniform(-1, 1), x + rng.uniform(-1, 1)
            a, b = rng.uniform(0.42, 0.6, 2) * pitch
            box = (slice(max(y - pitch, 0), y + pitch), slice(max(x - pitch, 0), x + pitch))
            inside = ((rows[box] - cy) / a) ** 2 + ((columns[box] - cx) / b) ** 2 <= 1
            labels[box][inside & (labels[box] == 0)] = number
    return labels
