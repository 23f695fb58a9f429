"""Pictures of a whole slide, drawn from batches of rows: where the nuclei are, and how dense."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pandas as pd

from cellscope.assays.histo.measure.figures import draw_outlines
from cellscope.assays.histo.measure.legend import add_legend, colours_of, entries_of, scale_length
from cellscope.assays.histo.measure.rois import draw_regions
from cellscope.imaging.regions import Regions
from cellscope.report.plots import new_figure, render_figure

#: Width of the disc in which nuclei are counted for the density map (standard deviation of its Gaussian), micrometres.
SPREAD_UM = 50.0
#: Cells of the counting grid per spread; at most this many in a row or column of the grid.
_CELLS, _MOST_CELLS = 2.0, 640
#: The same in pixels where the pixel size is not known.
_SPREAD_PX = 200.0
#: Fractional bits of the coordinates that OpenCV draws with.
_SHIFT = 4
_FINE = 1 << _SHIFT
#: Width and height of a panel of the density map, inches.
_PANEL = 5.2
#: Share of white that the tissue is mixed with under discs, and under outlines.
_FADE, _FADE_OUTLINED = 0.35, 0.1
#: Half the width of a small nucleus, micrometres, or pixels where the pixel size is not known; from `_SEEN` pixels of
#: the picture on, nuclei are outlined instead of dotted.
_SMALL_UM, _SMALL_PX, _SEEN = 3.0, 12.0, 3.0


class Overview:
    """Collects the nuclei of a slide; holds pictures and counts, never the nuclei.

    Parameters
    ----------
    thumbnail : (h, w, 3) uint8, sRGB
        The slide, at most 4096 pixels wide.
    factor : float
        Pixels of the thumbnail per pixel of the slide.
    classes : tuple of str
    pixel_size_um : float or None
        Of the slide.
    regions : Regions, optional
        Drawn with their names; densities are those inside them.

    Attributes
    ----------
    outlined : bool
        The picture is fine enough for outlines: from a pixel of about 1 um on.
    """

    def __init__(
        self,
        thumbnail: np.ndarray,
        factor: float,
        classes: tuple[str, ...],
        pixel_size_um: float | None,
        regions: Regions | None = None,
    ) -> None:
        self.regions = regions
        self.factor, self.classes, self.pixel_size_um = factor, classes, pixel_size_um
        self.thumbnail = thumbnail
        self.outlined = (_SMALL_UM / pixel_size_um if pixel_size_um else _SMALL_PX) * factor >= _SEEN
        white = np.float32(_FADE_OUTLINED if self.outlined else _FADE)
        faded = np.rint(np.arange(256, dtype=np.float32) * (1 - white) + 255 * white).astype(np.uint8)
        self.canvas = faded[thumbnail]  # as a table: the picture in floats would take more memory than a window's work
        height, width = (side / factor for side in thumbnail.shape[:2])  # pixels of the slide
        self.spread = SPREAD_UM / pixel_size_um if pixel_size_um else _SPREAD_PX
        self.cell = max(self.spread / _CELLS, max(height, width) / _MOST_CELLS)
        shape = (max(int(np.ceil(height / self.cell)), 1), max(int(np.ceil(width / self.cell)), 1))
        self.counts = np.zeros((*shape, len(classes)), np.float32)
        self.reviewed = 0
        self._inside = _inside(height, width, shape, self.cell)
        if regions is not None:
            self._inside *= _share_of(regions, shape, self.cell)

    def add(self, table: pd.DataFrame, labels: np.ndarray | None = None, origin: tuple[int, int] = (0, 0)) -> None:
        """Draw and count a batch of nuclei.

        Parameters
        ----------
        table : DataFrame
            From `measure_nuclei`, in pixels of the slide.
        labels : (h, w) int, optional
            The batch's label image, under the table's labels; needed only where `outlined`.
        origin : (row, column)
            Of its first pixel in the slide.
        """
        if table.empty:
            return
        rows, columns = table["centroid-0"].to_numpy(float), table["centroid-1"].to_numpy(float)
        number = table["class"].map({name: index for index, name in enumerate(self.classes)}).to_numpy(int)
        places = ((rows + 0.5) / self.cell, (columns + 0.5) / self.cell)
        y, x = (
            np.clip(place.astype(int), 0, size - 1) for place, size in zip(places, self.counts.shape[:2], strict=True)
        )
        np.add.at(self.counts, (y, x, number), 1)
        self.reviewed += int(table["review"].sum())
        if self.outlined and labels is not None:
            draw_outlines(self.canvas, labels, table, self.classes, self.factor, origin=origin)
        else:
            self._draw_discs(table, number)

    def _draw_discs(self, table: pd.DataFrame, number: np.ndarray) -> None:
        """Draw discs of a third of each nucleus's area: neighbours stay apart, and tissue is seen between them."""
        colours = list(colours_of(self.classes).values())
        points = table[["centroid-1", "centroid-0"]].to_numpy(float)
        centres = np.rint(((points + 0.5) * self.factor - 0.5) * _FINE).astype(int).tolist()
        radius = np.maximum(np.sqrt(table["area"].to_numpy(float) / (3 * np.pi)) * self.factor, 0.7)
        sizes = np.rint(radius * _FINE).astype(int).tolist()
        for centre, size, index in zip(centres, sizes, number.tolist(), strict=True):
            cv2.circle(self.canvas, centre, size, colours[index], -1, cv2.LINE_AA, _SHIFT)

    def overlay(self) -> np.ndarray:
        """Give the slide with an outline or a disc per nucleus, by type, and the legend: (h, w, 3) uint8."""
        counts = dict(zip(self.classes, self.counts.sum((0, 1), dtype=float).astype(int).tolist(), strict=True))
        um_per_px = self.pixel_size_um / self.factor if self.pixel_size_um else None
        entries = entries_of(counts, self.reviewed, self.classes, discs=not self.outlined, dots=False)
        canvas = self.canvas if self.regions is None else draw_regions(self.canvas, self.regions, self.factor)
        return add_legend(canvas, entries, um_per_px)

    def per_area(self) -> np.ndarray:
        """Give the density of every type, (gh, gw, K) float32: nuclei per mm2, or per 1000 x 1000 pixels of the slide.

        Counts are smoothed with a Gaussian of `SPREAD_UM` and divided by the area that the same Gaussian covers inside
        the slide, or inside the regions, so that borders are not too low. Beyond the regions it
        goes on as far as the Gaussian reaches, and `density` shows what is inside.
        """
        unit = (1000.0 / self.pixel_size_um) ** 2 if self.pixel_size_um else 1e6  # pixels of the slide
        sigma = max(self.spread / self.cell, 0.5)
        covered = _blur(self._inside, sigma) * self.cell**2
        weight = np.where(covered > 1e-3 * self.cell**2, unit / np.maximum(covered, 1e-6), 0)
        return np.stack([_blur(self.counts[..., k], sigma) * weight for k in range(len(self.classes))], -1).astype(
            np.float32
        )

    def density(self) -> np.ndarray:
        """Draw the density of all nuclei and of every type over the slide in grey: (h, w, 3) uint8."""
        density = self.per_area()
        panels = [("all nuclei", density.sum(-1))]
        if len(self.classes) > 1:
            panels += [(name.replace("_", " "), density[..., k]) for k, name in enumerate(self.classes)]
        height, width = self.thumbnail.shape[:2]
        across = min(len(panels), 3 if width < 1.6 * height else 2)
        down = -(-len(panels) // across)
        side = _PANEL / max(height, width)
        figure = new_figure(across * (width * side + 0.9), down * (height * side + 0.45) + 0.3)
        axes = figure.subplots(down, across, squeeze=False).ravel()
        shown = cv2.resize(
            cv2.cvtColor(self.thumbnail, cv2.COLOR_RGB2GRAY), None, fx=(f := min(1.0, 900 / max(height, width))), fy=f,
            interpolation=cv2.INTER_AREA,
        )  # fmt: skip
        grey = (shown.astype(np.float32) / 255) ** 0.7
        extent = (0, self.counts.shape[1] * self.cell * self.factor, self.counts.shape[0] * self.cell * self.factor, 0)
        for axis, (title, values) in zip(axes, panels, strict=False):
            axis.imshow(grey, cmap="gray", vmin=0, vmax=1, extent=(0, width, height, 0))
            top = float(np.percentile(values, 99.8)) or 1.0
            opaque = np.clip(values / (0.1 * top), 0, 0.8)  # empty glass stays the slide
            if self.regions is not None:
                values, opaque = self._within(values, opaque, extent, axis)
            drawn = axis.imshow(
                values, cmap="viridis", vmin=0, vmax=top, alpha=opaque, extent=extent, interpolation="bilinear"
            )
            axis.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
            axis.set_title(title, fontsize=10, loc="left")
            bar = figure.colorbar(_opaque(drawn), ax=axis, fraction=0.05, pad=0.02, extend="max", format="{x:,.0f}")
            bar.ax.tick_params(labelsize=8)
            bar.outline.set_visible(False)
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
        unit = "nuclei per mm²" if self.pixel_size_um else "nuclei per 1000 x 1000 pixels"
        note = f"{unit}, Gaussian of {SPREAD_UM:g} µm" if self.pixel_size_um else f"{unit} (pixel size unknown)"
        if self.pixel_size_um:
            um_per_px = self.pixel_size_um / self.factor
            length, pixels = scale_length(um_per_px, width)
            y = height * 0.97
            axes[0].plot([width * 0.03, width * 0.03 + pixels], [y, y], color="black", linewidth=2.5)
            said = f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"
            axes[0].text(width * 0.03, y - height * 0.02, said, fontsize=8, va="bottom")
        figure.suptitle(note, fontsize=9, x=0.01, ha="left", color="#586673")
        return render_figure(figure)

    def _within(
        self, values: np.ndarray, opaque: np.ndarray, extent: tuple[float, float, float, float], axis: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Enlarge a density and its opacity so that they end where the regions do, and draw the regions' outlines."""
        assert self.regions is not None
        fine = max(int(extent[1] / 2), 1), max(int(extent[2] / 2), 1)
        inside = self.regions.mask(fine[::-1], self.factor * fine[0] / extent[1])
        for ring in (ring for polygon in self.regions.polygons for ring in polygon):
            closed = np.vstack([ring, ring[:1]]) * self.factor
            axis.plot(closed[:, 0], closed[:, 1], color="black", linewidth=1.2)
        values, opaque = (cv2.resize(each.astype(np.float32), fine) for each in (values, opaque))
        return values, opaque * inside


def _opaque(drawn: Any) -> Any:
    """Give the colours of an image without its transparency, for the colour bar."""
    from matplotlib.cm import ScalarMappable

    return ScalarMappable(drawn.norm, drawn.cmap)


def _inside(height: float, width: float, shape: tuple[int, int], cell: float) -> np.ndarray:
    """Give the share of every grid cell that lies in the slide: the last row and column may be cut."""
    sides = [np.clip(size / cell - np.arange(count), 0, 1) for size, count in zip((height, width), shape, strict=True)]
    return np.outer(*sides).astype(np.float32)


def _share_of(regions: Regions, shape: tuple[int, int], cell: float) -> np.ndarray:
    """Give the share of every grid cell that lies in the regions, (gh, gw) float32."""
    finer = max(1, min(8, 4096 // max(shape)))
    drawn = regions.mask((shape[0] * finer, shape[1] * finer), finer / cell)
    return cv2.resize(drawn.astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA)


def _blur(values: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
