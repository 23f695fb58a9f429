"""Filmstrips with their calls, the gallery of errors, and abnormal fractions against dose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from cellscope.report.plots import ACCENT, LIGHT, MUTED, new_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

TILE = 96
GAP = 2
HEAD = 26
FOOT = 18
_STRIP = HEAD + 2 * (TILE + GAP) + FOOT
INK, QUIET = (20, 24, 33), (110, 118, 132)
NORMAL, ABNORMAL, REVIEW = (11, 107, 115), (170, 30, 60), (204, 92, 0)
BARS = (50, 20, 10, 5, 2, 1)
"""Lengths of scale bars, um; the longest that fits."""
NUCLEI = np.array([255, 70, 200], np.float32)
"""Colour of the nuclei over transmitted light: magenta, which the colour blind can tell from grey as well."""


@dataclass(frozen=True)
class Strip:
    """One division to draw.

    Attributes
    ----------
    shown : (T, 2, H, W) float32
        From `view.normalise`.
    frames : (T,) int
        Numbers of the frames in their file.
    caption : str
    abnormal, review : bool
    pixel_size_um : float or None
        Of `shown`; a scale bar is drawn where it is known.
    """

    shown: np.ndarray
    frames: np.ndarray
    caption: str
    abnormal: bool
    review: bool
    pixel_size_um: float | None = None


def colour_frame(frame: np.ndarray, side: int = TILE) -> np.ndarray:
    """Show both channels of a frame: transmitted light in grey, nuclei in magenta over it.

    Parameters
    ----------
    frame : (2, H, W) float32
        From `view.normalise`.
    side : int
        Of the picture.

    Returns
    -------
    (side, side, 3) uint8, sRGB; a frame that is not square is padded with grey
    """
    grey = np.clip(0.5 + frame[0] * 0.14, 0, 1)
    return _square(_coloured(grey, np.clip(frame[1], 0, 1)), side)


def nuclei_frame(frame: np.ndarray, side: int = TILE) -> np.ndarray:
    """Show the nuclei of a frame alone: (side, side, 3) uint8, white on black."""
    return _square(np.repeat(np.clip(frame[1] / 1.1, 0, 1)[..., None] * 255, 3, 2), side)


def _coloured(grey: np.ndarray, nuclei: np.ndarray) -> np.ndarray:
    share = (0.75 * nuclei**2)[..., None]
    return grey[..., None] * 255 * (1 - share) + NUCLEI * share


def _square(pixels: np.ndarray, side: int) -> np.ndarray:
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    small = cv2.resize(pixels.astype(np.float32), size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    out = np.full((side, side, 3), 127.0, np.float32)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    out[top : top + size[1], left : left + size[0]] = small
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)


def draw_order(review: Sequence[bool], abnormal: Sequence[bool]) -> list[int]:
    """Order the divisions of a movie as its picture shows them: those to review first, then abnormal ones."""
    return sorted(range(len(review)), key=lambda index: (not review[index], not abnormal[index]))


def strip_rows(number: int) -> slice:
    """Give the rows of the picture from `draw_filmstrip` in which a strip lies."""
    return slice(HEAD + number * _STRIP, HEAD + (number + 1) * _STRIP)


def draw_filmstrip(strips: Sequence[Strip], title: str, minutes: float = 0.0) -> np.ndarray:
    """Draw divisions one below the other: their frames in colour, the nuclei alone, and the call.

    Parameters
    ----------
    strips : sequence of Strip
        At least one.
    title : str
        The input's name.
    minutes : float
        Between frames; 0 numbers the frames instead.

    Returns
    -------
    (H, W, 3) uint8, sRGB
    """
    columns = max(len(strip.shown) for strip in strips)
    width = max(columns * (TILE + GAP) + GAP, 420)
    page = Picture.new("RGB", (width, HEAD + _STRIP * len(strips)), "white")
    draw = ImageDraw.Draw(page)
    draw.text((GAP + 4, 5), _fitted(draw, title, width - 12, 14), fill=INK, font=_font(14))
    for number, strip in enumerate(strips):
        top = strip_rows(number).start
        colour = ABNORMAL if strip.abnormal else NORMAL
        draw.rectangle((GAP, top + 3, GAP + 6, top + HEAD - 5), fill=colour)
        draw.text(
            (GAP + 12, top + 4),
            _fitted(draw, strip.caption, width - 20, 14),
            fill=REVIEW if strip.review else colour,
            font=_font(14),
        )
        for place, (frame, index) in enumerate(zip(strip.shown, strip.frames, strict=True)):
            left = GAP + place * (TILE + GAP)
            page.paste(Picture.fromarray(colour_frame(frame)), (left, top + HEAD))
            page.paste(Picture.fromarray(nuclei_frame(frame)), (left, top + HEAD + TILE + GAP))
            said = f"{minutes * (index - strip.frames[0]):.0f} min" if minutes else f"{index}"
            draw.text((left + 3, top + HEAD + 2 * (TILE + GAP)), said, fill=QUIET, font=_font(11))
        _scale_bar(draw, strip, (GAP, top + HEAD))
    return np.asarray(page)


def _scale_bar(draw: ImageDraw.ImageDraw, strip: Strip, corner: tuple[int, int]) -> None:
    """Draw a bar of a round length, at most half a frame, into the first frame, with its length in um."""
    if not strip.pixel_size_um:
        return
    per_um = TILE / (max(strip.shown.shape[2:]) * strip.pixel_size_um)
    length = next((um for um in BARS if um * per_um <= TILE / 2), None)
    if length is None:
        return
    left, bottom = corner[0] + 5, corner[1] + TILE - 6
    draw.rectangle((left, bottom - 2, left + round(length * per_um) - 1, bottom), fill="white", outline=None)
    draw.text((left, bottom - 16), f"{length} um", fill="white", font=_font(11), stroke_width=1, stroke_fill=INK)


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)  # type: ignore[return-value]


def _fitted(draw: ImageDraw.ImageDraw, text: str, width: float, size: int) -> str:
    """Cut a text in the middle until it fits."""
    if draw.textlength(text, font=_font(size)) <= width:
        return text
    keep = len(text) - 1
    while keep > 4 and draw.textlength(f"{text[: keep // 2]}...{text[-(keep // 2) :]}", font=_font(size)) > width:
        keep -= 2
    return f"{text[: keep // 2]}...{text[-(keep // 2) :]}"


def gallery_figure(strips: Sequence[Strip], *, title: str) -> Figure:
    """Draw four frames of each division, as in the paper's Figure 6: first, a third, two thirds and last.

    Parameters
    ----------
    strips : sequence of Strip
        At least one.
    title : str
    """
    figure = new_figure(9.0, 0.5 + 1.25 * len(strips))
    axes = np.atleast_1d(figure.subplots(len(strips), 1, squeeze=False)[:, 0])
    for axis, strip in zip(axes, strips, strict=True):
        last = len(strip.shown) - 1
        chosen = [0, round(last / 3), round(2 * last / 3), last]
        row = np.concatenate(
            [np.concatenate([colour_frame(strip.shown[k]), nuclei_frame(strip.shown[k])], 1) for k in chosen], 1
        )
        axis.imshow(row, interpolation="nearest")
        axis.set_axis_off()
        axis.set_title(strip.caption, loc="left", fontsize=8, color="#aa1e3c" if strip.abnormal else ACCENT)
    figure.suptitle(title, fontsize=10)
    return figure


def conditions_figure(table: pd.DataFrame) -> Figure:
    """Draw the abnormal fraction of each condition with its interval, against dose where all conditions state one.

    Parameters
    ----------
    table : DataFrame
        From `summary.conditions_table`.
    """
    by_dose = bool(len(table)) and table["dose"].notna().all() and table["dose"].nunique() > 1
    series = [(name, part) for name, part in table.groupby("series", sort=True)] if by_dose else [("", table)]
    figure = new_figure(6.6, 4.2 + 0.2 * (len(series) if by_dose else 0))
    axes = figure.subplots()
    colours = [ACCENT, "#aa1e3c", "#7a5cc4", "#cc5c00", "#3d6fb6", "#5b7f1f"]
    marks = "osD^vP"
    for number, (name, part) in enumerate(series):
        part = part.sort_values("dose") if by_dose else part
        at = part["dose"].to_numpy(float) if by_dose else np.arange(len(part), dtype=float)
        value = part["abnormal_fraction"].to_numpy(float)
        low, high = part["low"].to_numpy(float), part["high"].to_numpy(float)
        colour, mark = colours[number % len(colours)], marks[number % len(marks)]
        shift = 0.0 if not by_dose else (number - (len(series) - 1) / 2) * 0.028 * float(np.ptp(table["dose"]))
        axes.errorbar(
            at + shift, value, yerr=np.clip([value - low, high - value], 0, None), fmt=f"{mark}-" if by_dose else mark,
            color=colour, capsize=3, linewidth=1.2, markersize=5, label=name or None,
        )  # fmt: skip
        if by_dose:  # in rows below the axis: beside the marks, numbers of neighbours would cover each other
            row = -0.2 - 0.055 * number
            axes.text(-0.04, row, f"{name} n".strip(), transform=axes.transAxes, ha="right", fontsize=8, color=colour)
            for x, count in zip(at, part["n"], strict=True):
                below = axes.get_xaxis_transform()
                axes.text(x, row, f"{count}", transform=below, ha="center", fontsize=8, color=colour)
        else:
            for x, y, count in zip(at, high, part["n"], strict=True):
                axes.annotate(
                    f"{count}", (x, y), (0, 3), textcoords="offset points", ha="center", fontsize=7, color=MUTED
                )
    if by_dose:
        axes.set_xlabel("dose (Gy)")
        axes.set_xticks(sorted(set(table["dose"])))
        if len(series) > 1:
            axes.legend(frameon=False, fontsize=8, loc="lower right")
    else:
        axes.set_xticks(range(len(table)), list(table["group"]), rotation=30, ha="right", fontsize=8)
        axes.set_xlim(-0.6, len(table) - 0.4)
    axes.set(ylabel="abnormal fraction", ylim=(0, 1.08))
    said = "n: divisions" if by_dose else "small numbers: divisions"
    axes.set_title(f"abnormal divisions, 95 % Wilson intervals; {said}", fontsize=9, color=MUTED)
    axes.grid(axis="y", color=LIGHT)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
