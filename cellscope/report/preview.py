"""A picture of a prepared dataset: some of its images with the truth outlined, so that a wrong mask is seen in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from cellscope.io.splits import Item
from cellscope.io.write import write_png
from cellscope.report.thumbnails import to_display

FILE = "preview.png"
MOST = 12
ACROSS = 4
SIDE = 360
_LINE = 22
_MARGIN = 8
_GREENS = (0, 200, 0)
COLOURS = ((0, 190, 0), (230, 0, 160), (240, 150, 0), (0, 120, 240), (130, 60, 220), (0, 170, 170), (200, 40, 40))
"""Of layers in their order: outlines that show on white, pink and black."""


@dataclass(frozen=True, eq=False)
class Shown:
    """One image of the preview.

    Attributes
    ----------
    pixels : (H, W) or (H, W, C)
    layers : sequence of (H, W) int
        Label images, each outlined in a colour of its own.
    boxes : sequence of (x, y, width, height)
        Where there is no more than that.
    caption : str
    """

    pixels: np.ndarray
    layers: Sequence[np.ndarray] = ()
    boxes: Sequence[Sequence[float]] = field(default=())
    caption: str = ""


def write_preview(out: Path, items: Sequence[Item], show: Callable[[Item], Shown]) -> None:
    """Draw `MOST` items of a prepared dataset, spread over all of it, into ``preview.png``.

    Parameters
    ----------
    out : Path
        The dataset.
    items : sequence of Item
    show : callable
        Reads an item's files.
    """
    listed = sorted(items, key=lambda item: item.id)
    chosen = [listed[round(at)] for at in np.linspace(0, len(listed) - 1, min(MOST, len(listed)))]
    tiles = [_tile(show(item), item.id) for item in chosen]
    across = min(ACROSS, len(tiles))
    down = -(-len(tiles) // across)
    height, width = SIDE + _LINE + _MARGIN, SIDE + _MARGIN
    page = np.full((down * height + _MARGIN, across * width + _MARGIN, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        top, left = _MARGIN + number // across * height, _MARGIN + number % across * width
        page[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    write_png(out / FILE, page)


def _tile(shown: Shown, name: str) -> np.ndarray:
    """Draw one image with its outlines and a line of text below."""
    pixels = to_display(shown.pixels)
    colour = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, 2)
    factor = SIDE / max(colour.shape[:2])
    size = (max(round(colour.shape[1] * factor), 1), max(round(colour.shape[0] * factor), 1))
    picture = cv2.resize(colour, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST)
    for labels, line in zip(shown.layers, _colours(len(shown.layers)), strict=True):
        _outline(picture, labels, line)
    for x, y, width, height in shown.boxes:
        corners = ((round(x * factor), round(y * factor)), (round((x + width) * factor), round((y + height) * factor)))
        cv2.rectangle(picture, *corners, COLOURS[0], 1)
    tile = np.full((SIDE + _LINE, SIDE, 3), 255, np.uint8)
    tile[: size[1], : size[0]] = picture
    text = " ".join(f"{name}  {shown.caption}".encode("ascii", "replace").decode().split())
    cv2.putText(tile, text[-56:], (1, SIDE + _LINE - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (40, 40, 40), 1, cv2.LINE_AA)
    return tile


def _colours(count: int) -> list[tuple[int, int, int]]:
    return [COLOURS[number % len(COLOURS)] for number in range(count)]


def _outline(picture: np.ndarray, labels: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Draw the edges of every object, the edge between two that touch included."""
    height, width = picture.shape[:2]
    rows = (np.arange(height) * labels.shape[0]) // height
    columns = (np.arange(width) * labels.shape[1]) // width
    seen = labels[rows][:, columns]
    edge = np.zeros(seen.shape, bool)
    for axis in (0, 1):
        step = np.diff(seen, axis=axis) != 0
        before = [slice(None)] * 2
        after = [slice(None)] * 2
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        edge[tuple(before)] |= step
        edge[tuple(after)] |= step
    picture[edge & (seen > 0)] = colour
