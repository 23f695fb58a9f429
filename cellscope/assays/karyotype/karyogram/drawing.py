"""The karyogram: chromosomes upright, to scale, in groups A to G and sex chromosomes, on a page to print."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellscope.assays.karyotype.cell.assignment import UNASSIGNED
from cellscope.assays.karyotype.cell.chromosomes import Cell, Chromosome
from cellscope.assays.karyotype.classes import CLASSES, GROUPS
from cellscope.assays.karyotype.classify.upright import upright_view
from cellscope.assays.karyotype.karyogram.ideogram import draw_ideogram, ideogram_length
from cellscope.assays.karyotype.karyogram.page import DPI, Box, Image, Page, Words, to_pixels, to_vector

__all__ = ["DPI", "REVIEW", "WIDTH", "draw_karyogram", "lay_out", "pictures", "vector_karyogram"]

WIDTH = 2400
MARGIN = 90
#: Rows of a standard karyogram: groups from left to right.
ROWS = (("A", "B"), ("C",), ("D", "E"), ("F", "G", "sex"))
INK = (20, 24, 33)
QUIET = (110, 118, 132)
RULE = (214, 218, 226)
REVIEW = (204, 92, 0)
#: The largest chromosome's height on the page.
TALLEST = 420
SMALLEST_SLOT = 84
BETWEEN = 14
#: Least room between classes, and room between groups.
TIGHTEST, GAP = 4, 70
#: Mean width of chromosomes that are not made smaller to fit a row.
NARROWEST = 12
#: Width of an ideogram, and of the room it takes beside its chromosomes.
IDEOGRAM, IDEOGRAM_ROOM = 34, 52
SUSPECT_BAR = 8


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


def draw_karyogram(cell: Cell, grey: np.ndarray, *, title: str, ideograms: bool = False) -> np.ndarray:
    """Draw the karyogram of one cell; the arguments are those of `lay_out`.

    Returns
    -------
    (height, 2400, 3) uint8, sRGB, to be printed at 300 dots per inch
    """
    return to_pixels(lay_out(cell, grey, title=title, ideograms=ideograms))


def vector_karyogram(cell: Cell, grey: np.ndarray, *, title: str, form: str, ideograms: bool = False) -> bytes:
    """Draw the karyogram as ``svg`` or ``pdf``; the other arguments are those of `lay_out`."""
    return to_vector(lay_out(cell, grey, title=title, ideograms=ideograms), form)


def lay_out(cell: Cell, grey: np.ndarray, *, title: str, ideograms: bool = False) -> Page:
    """Arrange the karyogram of one cell.

    Chromosomes are shown dark on white whatever the stain (fluorescence is inverted, as is usual), all at one scale,
    the short arm up where the classifier could tell. Ones to review carry an orange bar and the
    number of their label; unassigned ones lie at the bottom.

    Parameters
    ----------
    cell : Cell
    grey : (H, W) float32
        The image's grey values.
    title : str
    ideograms : bool
        Draw each class's ideogram to the left of its chromosomes, at the mean length of those of the whole cell.
    """
    scale = _scale(cell)
    contrast = _contrast(cell, grey)
    room = IDEOGRAM_ROOM if ideograms else 0
    drawn = _pictures(cell, contrast, scale)
    while (factor := _fitting(drawn, room)) < 1:
        scale *= factor
        drawn = _pictures(cell, contrast, scale)
    page = Page(WIDTH)
    y = _header(page, cell, title)
    per_mb = _dots_per_mb(drawn) if ideograms else None
    for row in ROWS:
        y = _row(page, [(name, GROUPS[name]) for name in row], drawn, y, per_mb)
    if UNASSIGNED in drawn:
        y = _unplaced(page, drawn[UNASSIGNED], y)
    page.height = _footer(page, y, ideograms=ideograms)
    return page


def pictures(cell: Cell, grey: np.ndarray, tallest: float) -> dict[int, np.ndarray]:
    """Give every chromosome as the karyogram shows it: label -> (h, w) uint8, dark on white.

    Parameters
    ----------
    cell : Cell
    grey : (H, W) float32
    tallest : float
        Height that long chromosomes reach, pixels.
    """
    scale, contrast = _scale(cell) * tallest / TALLEST, _contrast(cell, grey)
    return {one.label: _picture(one, contrast, scale) for one in cell.chromosomes}


def _pictures(cell: Cell, contrast: np.ndarray, scale: float) -> dict[str, list[_Drawn]]:
    """Draw every chromosome at one scale, by class, the longest first."""
    drawn: dict[str, list[_Drawn]] = {}
    for chromosome in cell.chromosomes:
        drawn.setdefault(chromosome.class_, []).append(_Drawn(chromosome, _picture(chromosome, contrast, scale)))
    for copies in drawn.values():
        copies.sort(key=lambda one: (-one.height, one.chromosome.label))
    return drawn


def _fitting(drawn: dict[str, list[_Drawn]], room: int) -> float:
    """Factor by which chromosomes should be smaller, so that every row fits the page: 1 where it does, else below.

    Extra copies and bent chromosomes are wide, and all are drawn at one scale; a few dots' width is the least.
    """
    factor = 1.0
    for row in ROWS:
        slots = [drawn.get(name, []) for group in row for name in GROUPS[group]]
        images = sum(one.width for copies in slots for one in copies)
        excess = sum(_widths(slots, room)) + GAP * (len(row) - 1) + TIGHTEST * len(slots) - (WIDTH - 2 * MARGIN)
        if excess > 0 and images > NARROWEST * sum(map(len, slots)):
            factor = min(factor, max(1 - excess / images, 0.5) * 0.98)
    return factor


def _widths(slots: list[list[_Drawn]], room: int) -> list[int]:
    """Width that each class takes in its row, with `room` for its ideogram."""
    return [room + max(SMALLEST_SLOT, sum(one.width + BETWEEN for one in copies) + 20) for copies in slots]


def _scale(cell: Cell) -> float:
    """Page dots per image pixel: the long chromosomes reach `TALLEST`; small images are not blown up beyond 8.

    Not the longest one: a clump taken for a chromosome would make all others small.
    """
    lengths = [float(np.hypot(*chromosome.detection.mask.shape)) for chromosome in cell.chromosomes]
    return min(TALLEST / (1.1 * float(np.percentile(lengths, 92))), 8.0) if lengths else 1.0


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
    turn = float(np.radians(chromosome.turned))
    half = chromosome.short_arm_up is False
    view = upright_view(cut, mask, size=(side, side), scale=scale, extra_angle=turn, half_turn=half)
    rows, columns = np.flatnonzero((view > 0.02).any(1)), np.flatnonzero((view > 0.02).any(0))
    if rows.size == 0:
        return np.full((4, 4), 255, np.uint8)
    view = view[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return (255 * (1 - np.clip(view / 1.15, 0, 1) ** 1.2)).astype(np.uint8)


def _dots_per_mb(drawn: dict[str, list[_Drawn]]) -> float:
    """Scale of the ideograms: the median over the chromosomes of height on the page per megabase."""
    ratios = [one.height / ideogram_length(name) for name in CLASSES for one in drawn.get(name, [])]
    return float(np.median(ratios)) if ratios else TALLEST / ideogram_length("1")


def _header(page: Page, cell: Cell, title: str) -> int:
    page.add(Words(MARGIN, 60, title, 52, INK))
    page.add(Words(MARGIN, 128, f"draft {cell.iscn_draft}", 44, INK))
    waiting = sum(chromosome.review for chromosome in cell.chromosomes)
    notes = [f"{len(cell.chromosomes)} chromosomes"] + ([f"{waiting} to review"] if waiting else [])
    page.add(Words(MARGIN, 190, ",  ".join([*notes, *(flag.replace("_", " ") for flag in cell.flags)])[:140], 34,
                   REVIEW if waiting or cell.flags else QUIET))  # fmt: skip
    page.add(Box(MARGIN, 246, WIDTH - MARGIN, 247, RULE))
    return 270


def _row(
    page: Page,
    groups: list[tuple[str, tuple[str, ...]]],
    drawn: dict[str, list[_Drawn]],
    y: int,
    per_mb: float | None,
) -> int:
    """Draw one row of groups, chromosomes standing on one line; give the next row's top."""
    slots = [(group, name, drawn.get(name, [])) for group, names in groups for name in names]
    heights = [one.height for _, _, copies in slots for one in copies]
    if per_mb is not None:
        heights += [round(ideogram_length(name) * per_mb) for _, name, _ in slots]
    height = max([*heights, 110])
    room = IDEOGRAM_ROOM if per_mb is not None else 0
    widths = _widths([copies for _, _, copies in slots], room)
    free = WIDTH - 2 * MARGIN - sum(widths) - GAP * (len(groups) - 1)
    spread = max(free // max(len(slots), 1), TIGHTEST)
    base = y + height + 16
    x = MARGIN + spread // 2
    start, last_group = x, slots[0][0]
    bounds: dict[str, list[int]] = {}
    for (group, name, copies), width in zip(slots, widths, strict=True):
        if group != last_group:
            x += GAP
            start, last_group = x, group
        bounds.setdefault(group, [start, x])
        if per_mb is not None:
            draw_ideogram(page, name, x, base, width=IDEOGRAM, per_mb=per_mb)
        cursor = x + room + (width - room - sum(one.width + BETWEEN for one in copies) + BETWEEN) // 2
        for one in copies:
            _place(page, one, cursor, base)
            cursor += one.width + BETWEEN
        middle = x + room + (width - room) // 2
        if not copies:
            page.add(Box(middle - 14, base - 25, middle + 14, base - 23, QUIET))
        page.add(Words(middle, base + 46, name, 40, INK, middle=True))
        bounds[group][1] = x + width
        x += width + spread
    line = base + 98
    for group, (left, right) in bounds.items():
        page.add(Box(left, line, right, line + 2, INK))
        page.add(Words((left + right) // 2, line + 12, group, 34, QUIET, middle=True))
    return line + 86


def _place(page: Page, one: _Drawn, x: int, base: int) -> None:
    """Stand a chromosome on the line; mark it when it is to be reviewed."""
    page.add(Image(x, base - one.height, one.pixels))
    if one.chromosome.review:
        page.add(Box(x, base + 8, x + one.width, base + 8 + SUSPECT_BAR - 1, REVIEW))
        page.add(Words(x + one.width // 2, base + 20, f"#{one.chromosome.label}", 20, REVIEW, middle=True))


def _unplaced(page: Page, copies: list[_Drawn], y: int) -> int:
    page.add(Words(MARGIN, y, "unassigned", 36, REVIEW))
    x, top, tallest = MARGIN, y + 56, 0
    for one in copies:
        if x + one.width > WIDTH - MARGIN:
            x, top, tallest = MARGIN, top + tallest + 70, 0
        page.add(Image(x, top, one.pixels))
        page.add(Words(x + one.width // 2, top + one.height + 8, f"#{one.chromosome.label}", 26, QUIET, middle=True))
        x += max(one.width, 60) + 30
        tallest = max(tallest, one.height)
    return top + tallest + 60


def _footer(page: Page, y: int, *, ideograms: bool) -> int:
    text = "Drawn by cellscope. Orange: a person should look. Draft for research use only, never a diagnosis."
    page.add(Words(MARGIN, y + 6, text, 28, QUIET))
    if ideograms:
        page.add(Words(MARGIN, y + 44, "Ideograms: UCSC cytoBand, GRCh38, drawn to the cell's own scale.", 28, QUIET))
        y += 38
    return y + 70
