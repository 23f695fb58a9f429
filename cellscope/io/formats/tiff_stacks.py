"""Which planes a TIFF holds and along which axes, by tifffile's series; pages written one by one are joined.

A file without metadata is a list of pages: those of one size and kind are one stack, however each is compressed, and of
no named axis. Series of equal shape that a program wrote one after the other are such a stack, too; only formats that
name positions or regions (OME, LSM, Micro-Manager, ...) have scenes of equal shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from tifffile import TiffFile, TiffFrame, TiffPage, TiffPageSeries

from cellscope.io.convert import Refused
from cellscope.io.formats.tiff_page import is_colour, is_reduced, sample_count
from cellscope.io.scene import CHANNEL, COLOUR, UNNAMED

PLAIN = ("generic", "uniform", "shaped")
"""tifffile's names of series that no format describes; what a page is, only the first kind of program knew."""
POSITIONS = "PRM"
"""Axes that are scenes: positions, regions, mosaic tiles."""
OVERVIEWS = ("label", "macro", "thumbnail", "overview", "map", "preview")
_UNNAMED = "IQ"


@dataclass(frozen=True)
class Plane:
    """Where a plane's pixels are: a page, or an offset in the file for one without a page of its own."""

    page: TiffPage | TiffFrame | None
    offset: int | None = None


@dataclass
class Stack:
    """Planes along named axes.

    Attributes
    ----------
    key : TiffPage
        What is the same for all its pages.
    lead : list of (axis, size)
        Axes over planes, slowest first.
    planes : list of Plane
        As many as the product of `lead`.
    samples : str
        Axis of the values within a plane besides rows and columns: S (colour), C, or empty.
    name : str
    number : int
        Of the image in the file's own metadata.
    overview : bool
    fixed : dict
        Axis that became scenes -> index.
    stored : bool
        Samples are channels, whatever the pages say of colours.
    """

    key: TiffPage
    lead: list[tuple[str, int]]
    planes: list[Plane]
    samples: str = ""
    name: str = ""
    number: int = 0
    overview: bool = False
    fixed: dict[str, int] = field(default_factory=dict)
    stored: bool = False

    @property
    def axes(self) -> tuple[tuple[str, int], ...]:
        """Axes in order: those over planes with more than one, rows, columns, samples."""
        found: dict[str, int] = {}
        for axis, size in self.lead:
            if size > 1 and axis not in self.fixed:
                found[axis] = found.get(axis, 1) * size
        height, width = self.key.imagelength, self.key.imagewidth
        count = self.key.samplesperpixel if self.stored else sample_count(self.key)
        inner = {"Y": height, "X": width, **({self.samples: count} if self.samples and count > 1 else {})}
        if self.samples == CHANNEL and count > 1:
            if CHANNEL in found:
                raise Refused("the stack has channels in its planes and over them; save each channel as grey")
            inner = {CHANNEL: count, "Y": height, "X": width}
        return (*found.items(), *inner.items())

    def plane(self, at: dict[str, int]) -> Plane:
        """Return a plane by its place along the axes over planes."""
        place, left = [], dict(at)
        for axis, size in reversed(self.lead):  # an axis that is there twice runs on: the last is the fastest
            whole = self.fixed.get(axis, left.get(axis, 0))
            place.append(whole % size)
            if axis in left:
                left[axis] = whole // size
        counts = [size for _, size in self.lead]
        index = int(np.ravel_multi_index(place[::-1], counts)) if counts else 0
        return self.planes[index]


def stacks_of(tif: TiffFile) -> list[Stack]:
    """List the stacks of a file, in order.

    Raises
    ------
    Refused
        No image is in it, or its axes cannot be told.
    """
    if not len(tif.pages):
        raise Refused("the TIFF holds no image; it is damaged or cut short")
    series = list(tif.series)
    if not series:
        raise Refused("the TIFF holds no image; it is damaged or cut short")
    kind = series[0].kind
    if kind in ("generic", "uniform") or (tif.is_imagej and _lost_its_axes(tif, series)):
        return _page_stacks(tif, series)
    found = [stack for number, one in enumerate(series) for stack in _series_stacks(one, number)]
    return _joined(found) if kind in PLAIN else found


def _lost_its_axes(tif: TiffFile, series: Sequence[TiffPageSeries]) -> bool:
    """Tell an ImageJ file whose pages were changed by a program that kept its description."""
    return len(series) == 1 and len(tif.pages) > 1 and _count(series[0]) < len(tif.pages)


def _count(series: TiffPageSeries) -> int:
    return math.prod(series.shape) // max(math.prod(series.keyframe.shape), 1)


def _page_stacks(tif: TiffFile, series: Sequence[TiffPageSeries]) -> list[Stack]:
    """Group the pages of a file without metadata by size and kind, whatever their compression."""
    tif.pages.useframes = False
    levels = {level.keyframe.shape for one in series for level in one.levels[1:]}
    groups: dict[tuple, list[TiffPage]] = {}
    reduced: dict[tuple, list[TiffPage]] = {}
    for number in range(len(tif.pages)):
        page = tif.pages[number]
        if isinstance(page, TiffFrame):
            page = page.aspage()
        key = (page.shape, page.dtype, page.photometric, page.samplesperpixel, page.bitspersample)
        small = is_reduced(page) or page.shape in levels
        (reduced if small else groups).setdefault(key, []).append(page)
    found = []
    for pages in (groups or reduced).values():
        lead = [(UNNAMED, len(pages))] if len(pages) > 1 else []
        found.append(Stack(pages[0], lead, [Plane(page) for page in pages], _samples(pages[0], "")))
    return found


def _series_stacks(series: TiffPageSeries, number: int) -> list[Stack]:
    key = series.keyframe
    axes, shape = series.get_axes(False), series.get_shape(False)
    lead = _lead(axes, shape, key)
    if lead is None:
        axes, shape = series.axes, series.shape
        lead = _lead(axes, shape, key)
    if lead is None or not isinstance(key, TiffPage):
        raise Refused(f"its axes {series.axes} are not those of an image; save it as a stack of planes")
    inner = next((axis for axis in axes[lead:] if axis not in "YX"), "")
    over = [(UNNAMED if axis in _UNNAMED else axis, size) for axis, size in zip(axes[:lead], shape[:lead], strict=True)]
    if series.kind == "stk" and dict(over).get("T", 1) > 1:  # every plane has a time, those of a focus series, too
        over = [(UNNAMED if axis == "T" else axis, size) for axis, size in over]
    count = math.prod(size for _, size in over)
    name = str(series.name or "")
    low = name.casefold()
    stored = series.kind == "lsm" and key.samplesperpixel > 1
    samples = CHANNEL if stored else _samples(key, inner)
    overview = low in OVERVIEWS or (series.kind in ("lsm", "qpi", "svs") and number > 0 and is_reduced(key))
    overview = overview or low.startswith("macro")
    whole = Stack(key, over, _planes(series, key, count), samples, name, number, overview, stored=stored)
    position = next((axis for axis, size in over if axis in POSITIONS and size > 1), "")
    if not position:
        return [whole]
    called = name or "position"
    return [replace(whole, name=f"{called} {index}", fixed={position: index}) for index in range(dict(over)[position])]


def _lead(axes: str, shape: Sequence[int], key: TiffPage) -> int | None:
    """Return how many axes run over planes; None where the planes are not what the last axes say."""
    inside = math.prod(key.shape)
    found = None
    for lead in range(len(axes)):
        rest = axes[lead:]
        if math.prod(shape[lead:]) == inside and "Y" in rest and "X" in rest:
            if shape[lead + rest.index("Y")] != key.imagelength or shape[lead + rest.index("X")] != key.imagewidth:
                continue
            if sum(shape[lead + n] > 1 for n, axis in enumerate(rest) if axis not in "YX") <= 1:
                found = lead
    return found


def _samples(key: TiffPage, axis: str) -> str:
    if is_colour(key):
        return COLOUR
    return CHANNEL if sample_count(key) > 1 or axis == CHANNEL else ""


def _planes(series: TiffPageSeries, key: TiffPage, count: int) -> list[Plane]:
    if series.dataoffset is not None and count > 1:  # one after the other; ImageJ describes only the first of many
        return [Plane(key, series.dataoffset + number * key.nbytes) for number in range(count)]
    pages = list(series.pages)
    if len(pages) != count:
        raise Refused(f"the file is cut short or damaged: it says {count} planes and holds {len(pages)}; copy it again")
    return [Plane(page) for page in pages]


def _joined(stacks: list[Stack]) -> list[Stack]:
    """Join stacks of one shape and kind, written one after the other, along an axis without a name."""
    groups: dict[tuple, list[Stack]] = {}
    for stack in stacks:
        key = stack.key
        same = (key.shape, key.dtype, key.photometric, key.samplesperpixel, stack.samples, is_reduced(key))
        plain = all(axis == UNNAMED for axis, size in stack.lead if size > 1)
        groups.setdefault((same, () if plain else tuple(stack.lead)), []).append(stack)
    found = []
    for (same, lead), several in groups.items():
        if same[-1] and len(groups) > 1:
            continue  # thumbnails
        first = several[0]
        if len(several) > 1:
            planes = [plane for stack in several for plane in stack.planes]
            count = len(planes) if not lead else len(several)
            first = Stack(first.key, [(UNNAMED, count), *lead], planes, first.samples)
        found.append(first)
    return found
