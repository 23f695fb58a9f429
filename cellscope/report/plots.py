"""Figures of an evaluation, drawn without pyplot (which keeps global state) and without a display."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110
ACCENT, MUTED, LIGHT = "#0b6b73", "#586673", "#dde3e9"

_MOST_NUMBERED = 30  # classes up to which a confusion matrix has its counts written in


def new_figure(width: float, height: float) -> Figure:
    """Return an empty white figure of `width` by `height` inches at `DPI`, ready to be rendered by Agg."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def render_figure(figure: Figure) -> np.ndarray:
    """Draw a matplotlib figure.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Of any backend; it is drawn by Agg.

    Returns
    -------
    (H, W, 3) uint8
        sRGB over white, at the figure's own size and dpi.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = figure.canvas if isinstance(figure.canvas, FigureCanvasAgg) else FigureCanvasAgg(figure)
    canvas.draw()
    rgba = np.asarray(canvas.buffer_rgba()).astype(np.float32)
    alpha = rgba[..., 3:] / 255
    return np.rint(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelcolor="black")
    axes.set_axisbelow(True)


def confusion_figure(matrix: np.ndarray, classes: Sequence[str], *, title: str = "") -> Figure:
    """Draw a confusion matrix: colour is the share of the true class, numbers are counts.

    Parameters
    ----------
    matrix : (K, K) int
        Rows are the truth, columns the prediction, as from `cellscope.metrics.classification.confusion_matrix`.
    classes : sequence of K str
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the matrix is not K by K.
    """
    matrix = np.asarray(matrix)
    count = len(classes)
    if matrix.shape != (count, count):
        raise ValueError(f"a confusion matrix of {count} classes cannot be {matrix.shape}")
    totals = matrix.sum(1, keepdims=True)
    share = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    side = float(np.clip(1.8 + 0.32 * count, 3.6, 12.0))
    figure = new_figure(side + 0.6, side)
    axes = figure.subplots()
    picture = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    font = 9 if count <= 12 else 7
    axes.set_xticks(range(count), [str(name) for name in classes], fontsize=font)
    axes.set_yticks(range(count), [str(name) for name in classes], fontsize=font)
    if max((len(str(name)) for name in classes), default=0) > 3:
        for label in axes.get_xticklabels():
            label.set(rotation=45, ha="right", rotation_mode="anchor")
    axes.set(xlabel="predicted", ylabel="true")
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=LIGHT, linewidth=0.6)
    axes.tick_params(which="both", length=0)
    if count <= _MOST_NUMBERED:
        for row, column in zip(*np.nonzero(matrix), strict=True):
            colour = "white" if share[row, column] > 0.55 else "black"
            number = str(int(matrix[row, column]))
            axes.text(column, row, number, ha="center", va="center", color=colour, fontsize=font - 1)
    bar = figure.colorbar(picture, ax=axes, fraction=0.046, pad=0.02, shrink=0.8)
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    if title:
        axes.set_title(title)
    return figure


def reliability_figure(table: pd.DataFrame, *, error: float | None = None, title: str = "") -> Figure:
    """Draw how far confidence can be trusted, over the number of cases it rests on.

    Parameters
    ----------
    table : DataFrame
        From `cellscope.metrics.classification.reliability_table`.
    error : float, optional
        The expected calibration error, written into the figure.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    filled = table[table["n"] > 0]
    width = float(table["high"].iloc[0] - table["low"].iloc[0])
    figure = new_figure(5.2, 5.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1, label="ideal")
    upper.bar(
        filled["low"], filled["accuracy"].astype(float), width, align="edge", color=ACCENT, alpha=0.25, edgecolor=ACCENT
    )
    confidence, accuracy = filled["confidence"].astype(float), filled["accuracy"].astype(float)
    upper.plot(confidence, accuracy, "o-", color=ACCENT, label="measured")
    upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    upper.legend(frameon=False, loc="best")
    if error is not None:
        upper.text(0.98, 0.04, f"calibration error {error:.3f}", transform=upper.transAxes, ha="right")
    lower.bar(table["low"], table["n"], width, align="edge", color=LIGHT, edgecolor=MUTED, linewidth=0.6)
    lower.set(xlabel="confidence", ylabel="cases")
    for axes in (upper, lower):
        _tidy(axes)
    if title:
        upper.set_title(title)
    return figure


def curve_figure(
    x: np.ndarray, y: np.ndarray, labels: tuple[str, str], title: str, *, chance: tuple[float, float]
) -> Figure:
    """Draw a curve of rates against rates, such as a ROC curve.

    Parameters
    ----------
    x, y : (M,) float in [0, 1]
    labels : (str, str)
        Of the axes.
    title : str
    chance : (float, float)
        What guessing gives at 0 and at 1; a dashed line.
    """
    figure = new_figure(4.6, 4.4)
    axes = figure.subplots()
    axes.plot([0, 1], chance, color="0.6", lw=1, ls="--", label="chance")
    axes.plot(x, y, color="C0", lw=1.6)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=labels[0], ylabel=labels[1], aspect="equal")
    axes.set_title(title, fontsize=10)
    axes.legend(frameon=False, loc="lower center")
    _tidy(axes)
    return figure


def interval_figure(
    names: Sequence[str],
    values: Sequence[float | None],
    lows: Sequence[float | None],
    highs: Sequence[float | None],
    *,
    title: str = "",
    label: str = "",
    limits: tuple[float, float] | None = (0.0, 1.0),
) -> Figure:
    """Draw values as horizontal bars with their intervals, the first on top.

    Parameters
    ----------
    names, values, lows, highs : sequences of equal length
        A value of None is written as undefined; an interval that lacks an end is left out.
    title, label : str
        Heading, and what the axis shows.
    limits : (low, high), optional
        Of the axis; None lets the data choose.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the lengths differ.
    """
    rows = list(zip(names, values, lows, highs, strict=True))
    figure = new_figure(6.4, max(1.8, 0.9 + 0.34 * len(rows)))
    axes = figure.subplots()
    for place, (_, value, low, high) in enumerate(rows):
        if value is None:
            axes.text(limits[0] if limits else 0.0, place, " undefined", va="center", color=MUTED)
            continue
        axes.barh(place, value, height=0.62, color=ACCENT, alpha=0.3)
        axes.plot([value, value], [place - 0.31, place + 0.31], color=ACCENT, linewidth=1.6)
        if low is not None and high is not None:
            axes.plot([low, high], [place, place], color="black", linewidth=1.2)
            for end in (low, high):
                axes.plot([end, end], [place - 0.12, place + 0.12], color="black", linewidth=1.2)
    axes.set_yticks(range(len(rows)), [str(name) for name, *_ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    if limits:
        axes.set_xlim(*limits)
    axes.set_xlabel(label)
    axes.grid(axis="x", color=LIGHT)
    _tidy(axes)
    if title:
        axes.set_title(title)
    return figure
