"""The legend below an overlay: types with colours and counts, the review mark, the scale bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

Colour = tuple[int, int, int]

#: Tell apart on pink and purple, also for eyes that do not see red or green: they differ in lightness and blueness.
#: None is white, which QuPath would draw on white glass and in white lists.
_NAMED: dict[str, Colour] = {
    "nucleus": (0, 205, 255),
    "other": (255, 120, 0),
    "inflammatory": (255, 225, 0),
    "epithelial": (0, 205, 255),
    "spindle": (0, 150, 70),
}
_FURTHER: tuple[Colour, ...] = (
    (0, 205, 255), (255, 225, 0), (0, 150, 70), (255, 120, 0), (10, 60, 200), (20, 20, 20), (130, 230, 160),
    (200, 0, 110),
)  # fmt: skip
INK, PAPER, BEHIND = (24, 28, 34), (255, 255, 255), (168, 130, 180)


def colours_of(classes: Sequence[str]) -> dict[str, Colour]:
    """Give every type a colour; the built-in ones have theirs, others take what is left, in their order.

    Parameters
    ----------
    classes : sequence of str

    Returns
    -------
    dict
        Type -> (red, green, blue). Beyond eight types colours repeat.
    """
    found = {name: _NAMED[name] for name in classes if name in _NAMED}
    free = [colour for colour in _FURTHER if colour not in found.values()] or list(_FURTHER)
    for number, name in enumerate(name for name in classes if name not in _NAMED):
        found[name] = free[number % len(free)]
    return {name: found[name] for name in classes}


@dataclass(frozen=True)
class Entry:
    """One thing the legend explains.

    Attributes
    ----------
    text : str
    colour : (red, green, blue)
    mark : str
        How the picture shows it: ``outline``, ``disc``, ``dot`` (small, with a dark rim) or ``none``.
    """

    text: str
    colour: Colour = PAPER
    mark: str = "outline"


def entries_of(
    counts: dict[str, int], n_review: int, classes: Sequence[str], *, discs: bool = False, dots: bool = True
) -> list[Entry]:
    """Make the legend's entries: every type with its count, then how many are to be reviewed.

    Parameters
    ----------
    counts : dict
        Type -> nuclei.
    n_review : int
    classes : sequence of str
    discs : bool
        The picture shows nuclei as discs instead of outlines.
    dots : bool
        It marks those to review with dots.
    """
    colours, mark = colours_of(classes), "disc" if discs else "outline"
    entries = [Entry(f"{name.replace('_', ' ')} {counts.get(name, 0):,}", colours[name], mark) for name in classes]
    return [*entries, Entry(f"to review {n_review:,}", mark="dot" if dots else "none")]


def scale_length(um_per_px: float, width: int) -> tuple[float, int]:
    """Choose the length of a scale bar: 1, 2 or 5 times a power of ten, at most a sixth of the width.

    Returns
    -------
    micrometres, pixels
    """
    limit = max(um_per_px * width / 6, 1e-9)
    power = 10.0 ** np.floor(np.log10(limit))
    length = max(step * power for step in (1, 2, 5) if step * power <= limit * (1 + 1e-9))
    return length, max(round(length / um_per_px), 1)


def add_legend(picture: np.ndarray, entries: Sequence[Entry], um_per_px: float | None = None) -> np.ndarray:
    """Set a white strip with the legend below a picture; entries that do not fit go to further lines.

    Parameters
    ----------
    picture : (h, w, 3) uint8
    entries : sequence of Entry
    um_per_px : float, optional
        Draws a scale bar at the right end.

    Returns
    -------
    (h + strip, w, 3) uint8
    """
    width = picture.shape[1]
    size = int(np.clip(width // 68, 13, 44))
    letters = font(size)
    mark, gap, line = round(1.5 * size), round(0.5 * size), round(2.0 * size)
    measure = ImageDraw.Draw(Picture.new("RGB", (1, 1)))
    bar = scale_length(um_per_px, width) if um_per_px else None
    name = (f"{bar[0] / 1000:g} mm" if bar[0] >= 1000 else f"{bar[0]:g} µm") if bar else ""
    blocks = [mark + gap + measure.textlength(entry.text, font=letters) + 2 * gap for entry in entries]
    if bar:
        blocks.append(bar[1] + gap + measure.textlength(name, font=letters) + gap)
    places, x, row = [], float(gap), 0
    for block in blocks:
        if x + block > width and x > gap:
            x, row = float(gap), row + 1
        places.append((x, row))
        x += block
    if bar:
        places[-1] = (max(places[-1][0], width - blocks[-1]), places[-1][1])
    strip = Picture.new("RGB", (width, (places[-1][1] + 1) * line + gap), PAPER)
    draw = ImageDraw.Draw(strip)
    for (left, at), entry in zip(places, entries, strict=False):
        middle = at * line + line / 2 + gap / 2
        _draw_mark(draw, entry, left, middle, size)
        shift = gap if entry.mark == "none" else mark + gap
        draw.text((left + shift, middle), entry.text, fill=INK, font=letters, anchor="lm")
    if bar:
        left, at = places[-1]
        middle = at * line + line / 2 + gap / 2
        draw.rectangle((left, middle - size / 8, left + bar[1], middle + size / 8), fill=INK)
        draw.text((left + bar[1] + gap, middle), name, fill=INK, font=letters, anchor="lm")
    return np.concatenate([picture, np.asarray(strip)])


@lru_cache(maxsize=8)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Give the font that comes with matplotlib: Pillow's own lacks the micro sign."""
    spec = find_spec("matplotlib")
    data = Path(spec.origin or "").parent / "mpl-data" if spec else Path()
    if not data.is_dir():  # where a distribution keeps it apart; importing matplotlib takes a while
        import matplotlib

        data = Path(matplotlib.get_data_path())
    return ImageFont.truetype(str(data / "fonts/ttf/DejaVuSans.ttf"), size)


def _draw_mark(draw: ImageDraw.ImageDraw, entry: Entry, left: float, middle: float, size: int) -> None:
    """Draw what an entry looks like in the picture, on the purple of nuclei, so that colours look as they do there."""
    if entry.mark == "none":
        return
    right = left + 1.5 * size
    draw.rounded_rectangle((left, middle - 0.45 * size, right, middle + 0.45 * size), size // 4, fill=BEHIND)
    if entry.mark == "outline":
        box = (left + 0.25 * size, middle - 0.25 * size, right - 0.25 * size, middle + 0.25 * size)
        draw.rounded_rectangle(box, size // 6, outline=entry.colour, width=max(size // 7, 2))
        return
    radius = (0.3 if entry.mark == "disc" else 0.22) * size
    centre = (left + right) / 2
    rim = INK if entry.mark == "dot" else None
    box = (centre - radius, middle - radius, centre + radius, middle + radius)
    draw.ellipse(box, fill=entry.colour, outline=rim, width=max(round(radius / 3), 1))
