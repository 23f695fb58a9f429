"""The karyogram: chromosomes upright, to scale, in groups A to G and sex chromosomes, on a page to print."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from cellscope.assays.karyotype.assignment import UNASSIGNED
from cellscope.assays.karyotype.cell import Cell, Chromosome
from cellscope.assays.karyotype.classes import GROUPS
from cellscope.assays.karyotype.upright import upright_view

DPI = 300
WIDTH = 2400
MARGIN = 90
#: Rows of a standard karyogram: groups from left to right.
ROWS = (("A", "B"), ("C",), ("D", "E"), ("F", "G", "sex"))
INK = (20, 24, 33)
QUIET = (110, 118, 132)
REVIEW = (204, 92, 0)
#: The largest chromosome's height on the page.
TALLEST = 330
SMALLEST_SLOT = 84


@dataclass
class _Drawn:
    chromosome: Chromosome
    pixels: np.ndarray

    @property
    def height(self) -> int:
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        return self.pixels.shape[1]


def draw_karyogram(cell: Cell, grey: np.ndarray, *, title: str) -> np.ndarray:
    """Draw the karyogram of one cell.

    Chromosomes are shown dark on white whatever the stain (fluorescence is inverted, as is usual), all at one scale,
    the short arm up where the classifier could tell. Ones that a person should look at carry an orange bar;
    unassigned ones lie at the bottom.

    Parameters
    ----------
    cell : Cell
    grey : (H, W) float32
        The image's grey values.
    title : str

    Returns
    -------
    (height, 2400, 3) uint8, sRGB, to be printed at 300 dots per inch
    """
    scale = _scale(cell)
    drawn: dict[str, list[_Drawn]] = {}
    contrast = _contrast(cell, grey)
    for chromosome in cell.chromosomes:
        drawn.setdefault(chromosome.class_, []).append(_Drawn(chromosome, _picture(chromosome, contrast, scale)))
    for copies in drawn.values():
        copies.sort(key=lambda one: (-one.height, one.chromosome.label))
    page = Picture.new("RGB", (WIDTH, 4000), "white")
    draw = ImageDraw.Draw(page)
    y = _header(draw, cell, title)
    for row in ROWS:
        y = _row(page, draw, [(name, GROUPS[name]) for name in row], drawn, y)
    if UNASSIGNED in drawn:
        y = _unplaced(page, draw, drawn[UNASSIGNED], y)
    y = _footer(draw, y)
    return np.asarray(page.crop((0, 0, WIDTH, y)))


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)  # type: ignore[return-value]


def _scale(cell: Cell) -> float:
    """Page pixels per image pixel: the longest chromosome reaches `TALLEST`, small images are not blown up beyond 8."""
    longest = max((float(np.hypot(*chromosome.detection.mask.shape)) for chromosome in cell.chromosomes), default=1.0)
    return min(TALLEST / longest, 8.0)


def _contrast(cell: Cell, grey: np.ndarray) -> np.ndarray:
    """Stretch the image so that chromosomes use the whole range, bright on dark, in [0, 1]."""
    signal = grey if cell.bright_on_dark else -grey
    background = float(np.median(signal))
    inside = [
        signal[c.detection.bbox[1] : c.detection.bbox[3], c.detection.bbox[0] : c.detection.bbox[2]][c.detection.mask]
        for c in cell.chromosomes
    ]
    top = float(np.percentile(np.concatenate(inside), 99)) if inside else float(signal.max())
    return np.clip((signal - background) / max(top - background, 1e-6), 0, 1).astype(np.float32)


def _picture(chromosome: Chromosome, contrast: np.ndarray, scale: float) -> np.ndarray:
    """Cut one chromosome out, upright, and give it dark on white, uint8."""
    x0, y0, x1, y1 = map(int, chromosome.detection.bbox)
    pad = 3
    top, left = max(y0 - pad, 0), max(x0 - pad, 0)
    cut = contrast[top : y1 + pad, left : x1 + pad]
    mask = np.zeros(cut.shape, bool)
    mask[y0 - top : y1 - top, x0 - left : x1 - left] = chromosome.detection.mask
    side = int(np.ceil(np.hypot(*chromosome.detection.mask.shape) * scale)) + 8
    view = upright_view(cut, mask, size=(side, side), scale=scale, half_turn=chromosome.short_arm_up is False)
    rows, columns = np.flatnonzero((view > 0.02).any(1)), np.flatnonzero((view > 0.02).any(0))
    if rows.size == 0:
        return np.full((4, 4), 255, np.uint8)
    view = view[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return (255 * (1 - np.clip(view / 1.15, 0, 1) ** 1.2)).astype(np.uint8)


def _header(draw: ImageDraw.ImageDraw, cell: Cell, title: str) -> int:
    draw.text((MARGIN, 60), title, fill=INK, font=_font(52))
    draw.text((MARGIN, 128), f"draft {cell.iscn_draft}", fill=INK, font=_font(44))
    waiting = sum(chromosome.review for chromosome in cell.chromosomes)
    notes = [f"{len(cell.chromosomes)} chromosomes"] + ([f"{waiting} to review"] if waiting else [])
    draw.text((MARGIN, 186), "  ".join(notes), fill=REVIEW if waiting else QUIET, font=_font(34))
    draw.line((MARGIN, 246, WIDTH - MARGIN, 246), fill=(214, 218, 226), width=2)
    return 270


def _row(
    page: Picture.Image,
    draw: ImageDraw.ImageDraw,
    groups: list[tuple[str, tuple[str, ...]]],
    drawn: dict[str, list[_Drawn]],
    y: int,
) -> int:
    """Draw one row of groups, chromosomes standing on one line; give the next row's top."""
    slots = [(group, name, drawn.get(name, [])) for group, names in groups for name in names]
    height = max((one.height for _, _, copies in slots for one in copies), default=0)
    height = max(height, 110)
    widths = [max(SMALLEST_SLOT, sum(one.width + 14 for one in copies) + 20) for _, _, copies in slots]
    gap_between_groups = 70
    free = WIDTH - 2 * MARGIN - sum(widths) - gap_between_groups * (len(groups) - 1)
    spread = max(free // max(len(slots), 1), 4)
    base = y + height + 16
    x = MARGIN + spread // 2
    start, last_group = x, slots[0][0]
    bounds: dict[str, list[int]] = {}
    for (group, name, copies), width in zip(slots, widths, strict=True):
        if group != last_group:
            x += gap_between_groups
            start, last_group = x, group
        bounds.setdefault(group, [start, x])
        cursor = x + (width - sum(one.width + 14 for one in copies) + 14) // 2
        for one in copies:
            page.paste(Picture.fromarray(one.pixels), (cursor, base - one.height))
            if one.chromosome.review:
                draw.rectangle((cursor, base + 8, cursor + one.width, base + 15), fill=REVIEW)
            cursor += one.width + 14
        if not copies:
            middle = x + width // 2
            draw.line((middle - 14, base - 24, middle + 14, base - 24), fill=QUIET, width=3)
        draw.text((x + width // 2, base + 30), name, fill=INK, font=_font(40), anchor="mt")
        bounds[group][1] = x + width
        x += width + spread
    line = base + 86
    for group, (left, right) in bounds.items():
        draw.line((left, line, right, line), fill=INK, width=3)
        draw.text(((left + right) // 2, line + 10), group, fill=QUIET, font=_font(34), anchor="mt")
    return line + 86


def _unplaced(page: Picture.Image, draw: ImageDraw.ImageDraw, copies: list[_Drawn], y: int) -> int:
    draw.text((MARGIN, y), "unassigned", fill=REVIEW, font=_font(36))
    x, top, tallest = MARGIN, y + 56, 0
    for one in copies:
        if x + one.width > WIDTH - MARGIN:
            x, top, tallest = MARGIN, top + tallest + 70, 0
        page.paste(Picture.fromarray(one.pixels), (x, top))
        draw.text(
            (x + one.width // 2, top + one.height + 8),
            f"#{one.chromosome.label}",
            fill=QUIET,
            font=_font(26),
            anchor="mt",
        )
        x += max(one.width, 60) + 30
        tallest = max(tallest, one.height)
    return top + tallest + 60


def _footer(draw: ImageDraw.ImageDraw, y: int) -> int:
    text = "Drawn by cellscope. Orange: a person should look. Draft for research use only, never a diagnosis."
    draw.text((MARGIN, y + 6), text, fill=QUIET, font=_font(28))
    return y + 70
