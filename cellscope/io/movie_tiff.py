"""TIFF stacks as movies: which axis is time, which is channel, and one frame at a time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from tifffile import TiffFile, TiffFileError, TiffPageSeries, imwrite

from cellscope.io.convert import Refused
from cellscope.io.read_tiff import tiff_pixel_size
from cellscope.io.write import atomic

TIME_AXES = "TZIQ"
"""What frames may be called, the first that is there: time, depth (many writers call time so), pages of no name."""

CHANNEL_AXES = "CS"


class TiffFrames:
    """Frames of a TIFF stack: BigTIFF, OME, ImageJ or plain pages.

    Attributes
    ----------
    shape : (frames, height, width, channels)
    pixel_size_um, interval_s : float or None
        From OME or ImageJ metadata.
    warnings : tuple of str
    """

    def __init__(self, path: Path):
        try:
            self._tif = TiffFile(path)
        except TiffFileError as error:
            raise Refused(f"the TIFF is damaged or cut short ({error}); copy or export it again") from error
        try:
            self._series = self._find_series()
            self._layout = _Layout(self._series)
            self._check_count()
            self.shape = self._layout.shape
            self.pixel_size_um, self.warnings = tiff_pixel_size(self._tif)
            self.interval_s = _interval(self._tif)
        except BaseException:
            self._tif.close()
            raise

    def _find_series(self) -> TiffPageSeries:
        try:
            if not len(self._tif.series):
                raise Refused("the TIFF holds no image; it is damaged or cut short")
            pages = [page for series in self._tif.series for page in (series.keyframe,) if not page.is_reduced]
            sizes = sorted({(page.imagelength, page.imagewidth) for page in pages})
            if len(sizes) > 1:
                shown = " and ".join(f"{width} x {height}" for height, width in sizes[:2])
                raise Refused(f"its frames differ in size ({shown} pixels); frames of a movie are of one size")
            return self._tif.series[0]
        except (TiffFileError, IndexError, KeyError) as error:
            raise Refused(f"the TIFF is damaged or cut short ({error}); copy or export it again") from error

    def _check_count(self) -> None:
        """Refuse a file that lost its end, and with it the list of its later images."""
        said = (self._tif.imagej_metadata or {}).get("images", 1)
        there = math.prod(self._series.shape) // max(math.prod(self._layout.plane_shape), 1)
        if self._tif.is_imagej and isinstance(said, int) and said > there:
            raise Refused(f"the file is cut short: it says {said} images and holds {there}; copy it again")

    def read(self, index: int) -> np.ndarray:
        """Return frame `index` as (H, W, C) in the file's number type."""
        planes = [self._plane(place) for place in self._layout.planes(index)]
        return self._layout.joined(planes)

    def _plane(self, place: int) -> np.ndarray:
        series, layout = self._series, self._layout
        size = self._tif.filehandle.size
        if series.dataoffset is not None:  # all planes one after the other; above 4 GB ImageJ describes only the first
            dtype = np.dtype(series.dtype).newbyteorder(self._tif.byteorder)
            count = math.prod(layout.plane_shape)
            offset = series.dataoffset + place * count * dtype.itemsize
            if offset + count * dtype.itemsize > size:
                raise Refused("the file is cut short there")
            return self._tif.filehandle.read_array(dtype, count, offset).reshape(layout.plane_shape)
        page = series.pages[place]
        if page is None:
            raise Refused("the file lacks it")
        ends = [start + length for start, length in zip(page.dataoffsets, page.databytecounts, strict=True)]
        if not ends or max(ends) > size or 0 in page.databytecounts:
            raise Refused("the file is cut short there")
        return page.asarray().reshape(layout.plane_shape)

    def close(self) -> None:
        """Let go of the file."""
        self._tif.close()


class _Layout:
    """Where a frame's planes are in a series, and how they become (H, W, C)."""

    def __init__(self, series: TiffPageSeries):
        axes = series.get_axes(False)
        shape = series.get_shape(False)
        page_axes = series.keyframe.axes
        self.plane_shape = tuple(series.keyframe.shape)
        self._plane_axes = page_axes
        lead = len(axes) - len(page_axes)
        if lead < 0 or axes[lead:] != page_axes or not {"Y", "X"} <= set(page_axes):
            axes, shape = series.axes, series.shape
            lead = len(axes) - len(page_axes)
        if lead < 0 or axes[lead:] != page_axes or not {"Y", "X"} <= set(page_axes):
            raise Refused(f"its axes {series.axes} are not those of a movie; save it as a stack of frames")
        sizes = dict(zip(axes, shape, strict=True))
        many = [axis for axis in axes if sizes[axis] > 1 and axis not in "YX"]
        time = next((axis for axis in TIME_AXES if axis in many), "")
        channels = [axis for axis in many if axis in CHANNEL_AXES]
        others = [axis for axis in many if axis != time and axis not in CHANNEL_AXES]
        if others:
            what = (
                "slices at each time point" if others == ["Z"] else f"the axes {''.join(many)} besides rows and columns"
            )
            raise Refused(f"the stack has {what}; project or choose, so that frames and channels are left")
        if len(channels) > 1:
            raise Refused("the stack has several channels of colour images; save each channel as grey")
        self._channel = channels[0] if channels else ""
        self._lead = [(axis, sizes[axis]) for axis in axes[:lead]]
        self._time = time
        frames = sizes[time] if time else 1
        self.shape = (frames, sizes["Y"], sizes["X"], sizes[self._channel] if self._channel else 1)

    def planes(self, index: int) -> list[int]:
        """Return the places of a frame's planes in the series, channel by channel."""
        if not 0 <= index < self.shape[0]:
            raise Refused("the file ends before it")
        counts = [size for _, size in self._lead]
        in_lead = any(axis == self._channel for axis, _ in self._lead)
        found = []
        for channel in range(self.shape[3] if in_lead else 1):
            at = {self._time: index, self._channel: channel}
            place = [at.get(axis, 0) if size > 1 else 0 for axis, size in self._lead]
            found.append(int(np.ravel_multi_index(place, counts)) if counts else 0)
        return found

    def joined(self, planes: list[np.ndarray]) -> np.ndarray:
        """Stack a frame's planes as (H, W, C)."""
        whole = []
        for plane in planes:
            axes = self._plane_axes
            for axis in [axis for axis in axes if axis not in ("Y", "X", self._channel)]:
                plane, axes = np.take(plane, 0, axes.index(axis)), axes.replace(axis, "", 1)
            order = [axes.index(axis) for axis in ("Y", "X", self._channel) if axis and axis in axes]
            plane = plane.transpose(order)
            whole.append(plane if plane.ndim == 3 else plane[..., None])
        return np.concatenate(whole, axis=2)


def _interval(tif: TiffFile) -> float | None:
    """Return seconds between frames from ImageJ metadata."""
    facts: dict[str, Any] = tif.imagej_metadata or {}
    try:
        interval = float(facts.get("finterval") or 0)
    except (TypeError, ValueError):
        return None
    return interval if 0 < interval < math.inf else None


def write_sequence(
    path: Path, frames: np.ndarray, *, pixel_size_um: float | None = None, interval_s: float | None = None
) -> None:
    """Write a sequence as an ImageJ TIFF whose axes are time, channel, row and column.

    Parameters
    ----------
    path : Path
    frames : (T, H, W, C) uint8, uint16 or float32
    pixel_size_um, interval_s : float, optional
        Stored when given. The same arguments give the same bytes.

    Raises
    ------
    CellscopeError
        The file cannot be written.
    """
    stored = np.ascontiguousarray(np.moveaxis(frames, -1, 1))
    metadata: dict[str, Any] = {"axes": "TCYX"}
    if interval_s is not None:
        metadata["finterval"] = interval_s
    resolution = None if pixel_size_um is None else (1 / pixel_size_um, 1 / pixel_size_um)
    if pixel_size_um is not None:
        metadata["unit"] = "um"
    with atomic(path) as temporary:
        imwrite(temporary, stored, imagej=True, resolution=resolution, metadata=metadata, photometric="minisblack")
