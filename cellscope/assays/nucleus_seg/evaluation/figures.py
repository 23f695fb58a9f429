"""Figures of `eval`: Dice by source beside the baseline, and the worst images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pandas as pd

from cellscope.assays.nucleus_seg.classes import NUCLEUS
from cellscope.report.plots import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def box_figure(table: pd.DataFrame) -> Figure:
    """Draw each image's Dice by source: the network's beside the Otsu baseline's.

    Parameters
    ----------
    table : DataFrame
        ``source``, ``dice``, ``otsu_dice``.
    """
    sources = sorted(set(table["source"]))
    figure = new_figure(7.5, 0.9 + 0.9 * len(sources))
    axes = figure.add_subplot()
    rng = np.random.default_rng(0)
    for row, source in enumerate(reversed(sources)):
        part = table[table["source"] == source]
        for shift, name, colour in ((0.17, "dice", "#1b7f4b"), (-0.17, "otsu_dice", "#b0562b")):
            values = part[name].to_numpy(float)
            height = row + shift + rng.uniform(-0.08, 0.08, len(values))
            axes.plot(values, height, "o", ms=3, alpha=0.5, color=colour, mec="none")
            axes.plot([values.mean()] * 2, [row + shift - 0.14, row + shift + 0.14], color=colour, lw=2.5)
    axes.set_yticks(range(len(sources)), sources[::-1])
    axes.set_ylim(-0.5, len(sources) - 0.5)
    axes.set_xlabel("Dice of an image (bar: mean)")
    for name, colour in (("network", "#1b7f4b"), ("Otsu baseline", "#b0562b")):
        axes.plot([], [], "o", color=colour, label=name)
    axes.legend(loc="lower left", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def worst_figure(items: Sequence[Any]) -> Figure:
    """Show the worst images: truth in white, what was found in orange.

    Parameters
    ----------
    items : sequence of objects with ``image``, ``truth``, ``labels`` and ``row`` (``image``, ``dice``)
    """
    columns = min(max(len(items), 1), 5)
    rows = max(-(-len(items) // columns), 1)
    figure = new_figure(2.3 * columns, 2.55 * rows)
    for number, item in enumerate(items, 1):
        axes = figure.add_subplot(rows, columns, number)
        axes.imshow(outlined(item.image, item.truth == NUCLEUS, item.labels > 0))
        axes.set_title(f"{item.row['image'].split('/')[-1]}\nDice {item.row['dice']:.3f}", fontsize=7)
        axes.axis("off")
    return figure


def outlined(image: np.ndarray, truth: np.ndarray, found: np.ndarray, side: int = 360) -> np.ndarray:
    """Draw both outlines on the part of the image that holds them, enlarged to about `side` pixels.

    Parameters
    ----------
    image : (H, W, 3) uint8
    truth, found : (H, W) bool
    side : int

    Returns
    -------
    (h, w, 3) uint8
    """
    rows, columns = np.nonzero(truth | found)
    if len(rows):
        margin = max(8, int(0.15 * max(np.ptp(rows), np.ptp(columns))))
        top, left = max(rows.min() - margin, 0), max(columns.min() - margin, 0)
        place = (slice(top, rows.max() + margin), slice(left, columns.max() + margin))
        image, truth, found = image[place], truth[place], found[place]
    scale = side / max(image.shape[:2])
    size = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
    canvas = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    for mask, colour in ((truth, (255, 255, 255)), (found, (255, 120, 20))):
        enlarged = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        contours, _ = cv2.findContours(enlarged, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, contours, -1, colour, 1, cv2.LINE_AA)
    return canvas
