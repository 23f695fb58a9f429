"""Ideograms: a chromosome's bands as a drawing."""

from __future__ import annotations

from cellscope.assays.karyotype.karyogram.bands import bands
from cellscope.assays.karyotype.karyogram.page import Box, Outline, Page

INK = (20, 24, 33)
GREYS = {
    "gneg": (255, 255, 255),
    "gpos25": (200, 203, 208),
    "gpos50": (146, 150, 158),
    "gpos75": (92, 97, 106),
    "gpos100": (20, 24, 33),
    "gvar": (222, 205, 178),
    "stalk": (232, 234, 238),
}


def ideogram_length(name: str) -> float:
    """Give a chromosome's length in Mb."""
    return sum(length for length, _ in bands(name))


def draw_ideogram(page: Page, name: str, x: int, base: int, *, width: int, per_mb: float) -> None:
    """Draw a chromosome's ideogram on a page, short arm up.

    Parameters
    ----------
    page : Page
    name : str
    x, base : int
        Left side and foot, in dots.
    width : int
    per_mb : float
        Dots per megabase.
    """
    listed = bands(name)
    top = base - ideogram_length(name) * per_mb
    place = top
    arms: list[tuple[float, float]] = []
    start = top
    for number, (length, stain) in enumerate(listed):
        foot = place + length * per_mb
        if stain != "acen":
            inset = width // 4 if stain == "stalk" else 0
            page.add(
                Box(x + inset, round(place), x + width - 1 - inset, max(round(foot) - 1, round(place)), GREYS[stain])
            )
        elif number and listed[number - 1][1] != "acen":
            arms.append((start, place))
            _centromere(page, x, place, foot, width, down=True)
        else:
            _centromere(page, x, place, foot, width, down=False)
            start = foot
        place = foot
    arms.append((start, base))
    for upper, lower in arms:
        if lower - upper >= 2:
            corners = [(x, upper), (x + width - 1, upper), (x + width - 1, lower - 1), (x, lower - 1)]
            page.add(Outline([(float(a), float(b)) for a, b in corners], INK, 2))


def _centromere(page: Page, x: int, upper: float, lower: float, width: int, *, down: bool) -> None:
    """Half of a centromere: a triangle whose point is where the arms meet."""
    middle = x + (width - 1) / 2
    wide, point = (upper, lower) if down else (lower, upper)
    page.add(Outline([(float(x), wide), (float(x + width - 1), wide), (middle, point)], INK, 2))
