"""A page to print: pictures, lines and words at places in dots, drawn as PNG, or as SVG or PDF with words as words."""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass, field

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

DPI = 300
#: matplotlib's settings are the process's: two that change them at once would leave each other's behind.
_SETTINGS = threading.Lock()

Colour = tuple[int, int, int]


@dataclass
class Image:
    """A grey or colour picture, its top left corner at (x, y)."""

    x: int
    y: int
    pixels: np.ndarray


@dataclass
class Box:
    """A filled rectangle from (x0, y0) to (x1, y1), both included."""

    x0: int
    y0: int
    x1: int
    y1: int
    fill: Colour


@dataclass
class Outline:
    """A closed line of `width` dots through points (x, y)."""

    points: list[tuple[float, float]]
    colour: Colour
    width: int = 2


@dataclass
class Words:
    """Words `size` dots high at (x, y): their left or middle, and their top."""

    x: int
    y: int
    text: str
    size: int
    fill: Colour
    middle: bool = False


@dataclass
class Page:
    """Things drawn on white, in order.

    Attributes
    ----------
    width, height : int
        In dots, 300 to the inch.
    """

    width: int
    height: int = 0
    things: list[Image | Box | Outline | Words] = field(default_factory=list)

    def add(self, *things: Image | Box | Outline | Words) -> None:
        """Put things on the page, above those already there."""
        self.things.extend(things)


def to_pixels(page: Page) -> np.ndarray:
    """Draw a page: (height, width, 3) uint8, sRGB."""
    sheet = Picture.new("RGB", (page.width, page.height), "white")
    draw = ImageDraw.Draw(sheet)
    for thing in page.things:
        if isinstance(thing, Image):
            sheet.paste(Picture.fromarray(thing.pixels), (thing.x, thing.y))
        elif isinstance(thing, Box):
            draw.rectangle((thing.x0, thing.y0, thing.x1, thing.y1), fill=thing.fill)
        elif isinstance(thing, Outline):
            draw.line([*thing.points, *thing.points[:2]], fill=thing.colour, width=thing.width, joint="curve")
        else:
            font = ImageFont.load_default(thing.size)
            anchor = "mt" if thing.middle else "lt"
            draw.text((thing.x, thing.y), thing.text, fill=thing.fill, font=font, anchor=anchor)
    return np.asarray(sheet)


def to_vector(page: Page, form: str) -> bytes:
    """Draw a page as ``svg`` or ``pdf``: words stay words and lines lines, so that print is sharp at any size.

    The same page gives the same bytes.
    """
    import matplotlib
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.patches import Polygon, Rectangle

    points = 72 / DPI
    figure = Figure(figsize=(page.width / DPI, page.height / DPI))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, page.width), ylim=(page.height, 0))
    axes.axis("off")
    for layer, thing in enumerate(page.things):
        if isinstance(thing, Image):
            height, width = thing.pixels.shape[:2]
            where = (thing.x, thing.x + width, thing.y + height, thing.y)
            pixels = thing.pixels if thing.pixels.ndim == 3 else np.repeat(thing.pixels[..., None], 3, axis=2)
            axes.imshow(pixels, extent=where, aspect="auto", interpolation="none", zorder=layer)
        elif isinstance(thing, Box):
            size = thing.x1 - thing.x0 + 1, thing.y1 - thing.y0 + 1
            axes.add_patch(Rectangle((thing.x0, thing.y0), *size, fc=_unit(thing.fill), lw=0, zorder=layer))
        elif isinstance(thing, Outline):
            width = thing.width * points
            axes.add_patch(Polygon(thing.points, fill=False, ec=_unit(thing.colour), lw=width, zorder=layer))
        else:
            axes.text(
                thing.x, thing.y, thing.text.replace("$", r"\$"), fontsize=0.85 * thing.size * points,
                color=_unit(thing.fill), ha="center" if thing.middle else "left", va="top", zorder=layer,
            )  # fmt: skip
    axes.set(xlim=(0, page.width), ylim=(page.height, 0))
    buffer = io.BytesIO()
    # Type 42 fonts and SVG text can be searched and edited; no date and a fixed salt keep the bytes the same.
    with _SETTINGS, matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "cellscope", "pdf.fonttype": 42}):
        if form == "svg":
            FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
        else:
            FigureCanvasPdf(figure).print_pdf(buffer, metadata={"CreationDate": None})
    return buffer.getvalue()


def _unit(colour: Colour) -> tuple[float, ...]:
    return tuple(part / 255 for part in colour)
