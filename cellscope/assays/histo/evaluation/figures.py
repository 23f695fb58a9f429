"""Figures of `eval`: truth and prediction of example images, and the metrics per image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pandas as pd
from scipy import ndimage

from cellscope.assays.histo.measure.legend import Colour, colours_of
from cellscope.report.plots import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Side of what is shown of an image, pixels, and how much it is enlarged.
SIDE, ENLARGED = 280, 2
UNTYPED: Colour = (255, 120, 0)
NETWORK, BASELINE = "#1b7f4b", "#b0562b"


@dataclass
class Example:
    """A part of an image with the nuclei that are there and those that were found.

    Attributes
    ----------
    name, source : str
    image : (h, w, 3) uint8
    panels : dict
        Name of the row (``truth``, ``network``, ``Otsu``) -> label image and its types: label -> type or "".
    values : dict
        Measures of the whole image.
    """

    name: str
    source: str
    image: np.ndarray
    panels: dict[str, tuple[np.ndarray, dict[int, str]]]
    values: dict[str, float] = field(default_factory=dict)


def busiest(labels: np.ndarray, side: int = SIDE) -> tuple[slice, slice]:
    """Give the window of about `side` pixels with the most nucleus pixels among those half a side apart.

    Parameters
    ----------
    labels : (H, W) int
    side : int
    """
    best, place = -1, (slice(0, side), slice(0, side))
    for top in _starts(labels.shape[0], side):
        for left in _starts(labels.shape[1], side):
            window = (slice(top, top + side), slice(left, left + side))
            pixels = int(np.count_nonzero(labels[window]))
            if pixels > best:
                best, place = pixels, window
    return place


def _starts(length: int, side: int) -> list[int]:
    return [*range(0, max(length - side, 0), side // 2), max(length - side, 0)]


def outlined(image: np.ndarray, labels: np.ndarray, types: dict[int, str], colours: dict[str, Colour]) -> np.ndarray:
    """Draw the outline of every nucleus in its type's colour on the enlarged image.

    Parameters
    ----------
    image : (h, w, 3) uint8
    labels : (h, w) int
    types : dict
        Label -> type; those it lacks get the colour of untyped ones.
    colours : dict
        Type -> (red, green, blue).

    Returns
    -------
    (2 h, 2 w, 3) uint8
    """
    size = (image.shape[1] * ENLARGED, image.shape[0] * ENLARGED)
    canvas = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    enlarged = cv2.resize(labels.astype(np.float32), size, interpolation=cv2.INTER_NEAREST).astype(np.int32)
    for label, place in enumerate(ndimage.find_objects(enlarged), 1):
        if place is None:
            continue
        mask = (enlarged[place] == label).astype(np.uint8)
        rings, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        corner = np.array([place[1].start, place[0].start], np.int32)
        colour = colours.get(types.get(label, ""), UNTYPED)
        cv2.drawContours(canvas, [ring + corner for ring in rings], -1, colour, 2, cv2.LINE_AA)
    return canvas


def example_figure(examples: Sequence[Example], classes: tuple[str, ...]) -> Figure:
    """Show examples in columns, the truth above what was found, as in the paper's Figures 5 to 7.

    Parameters
    ----------
    examples : sequence of Example, not empty
        With the same rows.
    classes : tuple of str
        For the colours; empty where nothing is typed.
    """
    rows, columns = list(examples[0].panels), len(examples)
    colours = colours_of(classes)
    figure = new_figure(0.5 + 2.5 * columns, 0.75 + 2.5 * len(rows))
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for column, example in enumerate(examples):
        for row, name in enumerate(rows):
            axes = grid[row][column]
            labels, types = example.panels[name]
            axes.imshow(outlined(example.image, labels, types, colours))
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
            if column == 0:
                axes.set_ylabel(name, fontsize=9)
        values = ", ".join(f"{key} {value:.2f}" for key, value in example.values.items())
        grid[0][column].set_title(f"{example.name.split('/')[-1]}\n{values}", fontsize=7)
    if classes:
        from matplotlib.lines import Line2D

        shades = {name: "#{:02x}{:02x}{:02x}".format(*colours[name]) for name in classes}
        marks = [Line2D([], [], color=shade, lw=3, label=name) for name, shade in shades.items()]
        legend = figure.legend(handles=marks, loc="outside lower center", ncols=len(classes), fontsize=8, frameon=True)
        legend.get_frame().set_facecolor("#a882b4")
        legend.get_frame().set_linewidth(0)
    return figure


def spread(examples: Sequence[Example], measure: str, number: int) -> list[Example]:
    """Choose examples from the worst to the best by a measure, evenly over the ranks."""
    ranked = sorted(examples, key=lambda example: (np.nan_to_num(example.values.get(measure, 0.0)), example.name))
    return [ranked[at] for at in np.unique(np.linspace(0, len(ranked) - 1, number).round().astype(int))]


def image_figure(table: pd.DataFrame, measures: Sequence[str] = ("dice", "aji", "pq")) -> Figure:
    """Draw what each image came to, by source: the network's beside the baseline's.

    Parameters
    ----------
    table : DataFrame
        ``source``, the measures, and ``otsu_`` with each of them.
    measures : sequence of str
    """
    sources = sorted(set(table["source"]))
    figure = new_figure(3.1 * len(measures) + 0.6, 1.1 + 0.75 * len(sources))
    rng = np.random.default_rng(0)
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axes, measure in zip(panels, measures, strict=True):
        for row, source in enumerate(reversed(sources)):
            part = table[table["source"] == source]
            for shift, name, colour in ((0.17, measure, NETWORK), (-0.17, f"otsu_{measure}", BASELINE)):
                values = part[name].to_numpy(float)
                values = values[np.isfinite(values)]
                height = row + shift + rng.uniform(-0.08, 0.08, len(values))
                axes.plot(values, height, "o", ms=3.5, alpha=0.55, color=colour, mec="none")
                if len(values):
                    axes.plot([values.mean()] * 2, [row + shift - 0.14, row + shift + 0.14], color=colour, lw=2.5)
        axes.set_xlim(0, 1)
        axes.set_xlabel(f"{measure.upper() if measure != 'dice' else 'Dice'} of an image (bar: mean)", fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", lw=0.4, color="#dddddd")
    panels[0].set_yticks(range(len(sources)), sources[::-1])
    panels[0].set_ylim(-0.5, len(sources) - 0.5)
    handles = [panels[0].plot([], [], "o", color=colour, label=name)[0] for name, colour in _METHODS]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, frameon=False, fontsize=8)
    return figure


_METHODS = (("network", NETWORK), ("Otsu baseline", BASELINE))
