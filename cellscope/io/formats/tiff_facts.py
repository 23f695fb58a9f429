"""What a TIFF's metadata say of a stack: pixel size, names of channels, time and slice steps."""

from __future__ import annotations

import math
import re
from typing import Any
from xml.etree import ElementTree

from tifffile import TiffFile, TiffPage

from cellscope.io import pixel_size as sizes
from cellscope.io.formats.tiff_page import tag_number
from cellscope.io.formats.tiff_stacks import Stack

_SECONDS = {"s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0, "d": 86400.0, "\u00b5s": 1e-6, "us": 1e-6, "ns": 1e-9}

_MPP = re.compile(r"\bMPP ?= ?([0-9]+\.?[0-9]*)")

Found = tuple[float | None, str, tuple[str, ...]]
"""A pixel size in um or None, who says so, warnings."""


def pixel_size(tif: TiffFile, stack: Stack) -> Found:
    """Return the pixel size of a stack, who says so, and doubts about it.

    The best that is there: OME metadata, what LSM, STK or Micro-Manager write, ImageJ's description, the resolution
    tag.
    """
    page = stack.key
    first = _first_description(tif)
    size, warnings = sizes.from_ome(first, page.imagewidth, page.imagelength, stack.number if tif.is_ome else None)
    if size is not None:
        return size, "OME metadata", warnings
    if tif.is_svs and stack.overview:  # the size stated is the slide's
        return None, "", ()
    if tif.is_svs:
        found = _MPP.search(_first_description(tif))
        size, warnings = sizes.stated([float(found[1])]) if found else sizes.UNKNOWN
        return size, "Aperio metadata", warnings
    own = _own_pixel_size(tif)
    if own is not None:
        return own[0][0], own[1], own[0][1]
    x, y = _rational(page, 282), _rational(page, 283)
    for text in dict.fromkeys((page.description or "", first)):
        size, notes = sizes.from_imagej(text, x, y)
        warnings += notes
        if size is not None:
            return size, "ImageJ", warnings
    unit = {2: sizes.UM_PER_INCH, 3: sizes.UM_PER_CM}.get(tag_number(page, 296, 2))
    if unit is not None and not warnings:
        size, warnings = sizes.from_resolution(x, y, unit)
    return size, "resolution tag", warnings


def _own_pixel_size(tif: TiffFile) -> tuple[sizes.PixelSize, str] | None:
    if tif.is_lsm:
        facts = tif.lsm_metadata or {}
        return sizes.stated([1e6 * float(facts.get(f"VoxelSize{axis}") or 0) for axis in "XY"]), "LSM metadata"
    if tif.is_stk:
        facts = tif.stk_metadata or {}
        unit = sizes.unit_um(str(facts.get("CalibrationUnits") or "").strip("\0"))
        if unit is not None and facts.get("SpatialCalibration"):
            return sizes.stated([unit * float(facts.get(f"{axis}Calibration") or 0) for axis in "XY"]), "STK metadata"
    if tif.is_micromanager:
        facts = (tif.micromanager_metadata or {}).get("Summary") or {}
        value = facts.get("PixelSize_um") or facts.get("PixelSizeUm")
        if isinstance(value, (int, float)) and value > 0:
            return sizes.stated([float(value)]), "Micro-Manager metadata"
    return None


def _first_description(tif: TiffFile) -> str:
    first: Any = tif.pages[0]
    return str(getattr(first.keyframe, "description", "") or "")


def _rational(page: TiffPage, tag: int) -> float:
    found = page.tags.get(tag)
    value = () if found is None else found.value
    if not isinstance(value, tuple) or len(value) != 2 or not value[1]:
        return 0.0
    return float(value[0]) / float(value[1])


def _ome_pixels(tif: TiffFile, stack: Stack) -> ElementTree.Element | None:
    if not tif.is_ome:
        return None
    images = sizes.ome_pixels(_first_description(tif))
    return images[stack.number] if images is not None and stack.number < len(images) else None


def channel_names(tif: TiffFile, stack: Stack, count: int) -> tuple[str, ...]:
    """Return the names of a stack's channels; empty where the file has none, or another number of them."""
    names: list[str] = []
    pixels = _ome_pixels(tif, stack)
    if pixels is not None:
        names = [one.get("Name") or "" for one in pixels if one.tag.rpartition("}")[2] == "Channel"]
    elif tif.is_lsm:
        colours = (tif.lsm_metadata or {}).get("ChannelColors") or {}
        names = [str(name) for name in colours.get("ColorNames") or []]
    elif tif.is_qpi:
        names = [_qpi_name(plane.page) for plane in stack.planes]
    elif tif.is_micromanager:
        facts = (tif.micromanager_metadata or {}).get("Summary") or {}
        names = [str(name) for name in facts.get("ChNames") or []]
    elif tif.is_imagej and len(stack.planes) == count:
        names = [str(name) for name in (tif.imagej_metadata or {}).get("Labels") or []]
    elif tif.is_shaped:
        described: Any = tif.shaped_metadata
        facts = described[0] if described else {}
        named = facts.get("Channel") or {}
        found = named.get("Name") if isinstance(named, dict) else None
        names = [str(name) for name in found] if isinstance(found, (list, tuple)) else []
    return tuple(names) if len(names) == count and any(names) else ()


def _qpi_name(page: Any) -> str:
    try:
        root = ElementTree.fromstring((page.keyframe if page.keyframe is page else page.aspage()).description)
    except (ElementTree.ParseError, AttributeError, TypeError):
        return ""
    return root.findtext("Name") or root.findtext("Biomarker") or ""


def interval(tif: TiffFile, stack: Stack) -> float | None:
    """Return seconds between time points."""
    pixels = _ome_pixels(tif, stack)
    if pixels is not None:
        return _positive(pixels.get("TimeIncrement"), _SECONDS.get(pixels.get("TimeIncrementUnit", "s"), 0.0))
    return _positive((tif.imagej_metadata or {}).get("finterval"), 1.0)


def z_step(tif: TiffFile, stack: Stack) -> float | None:
    """Return micrometres between slices."""
    pixels = _ome_pixels(tif, stack)
    if pixels is not None:
        return _positive(pixels.get("PhysicalSizeZ"), sizes.unit_um(pixels.get("PhysicalSizeZUnit", "um")) or 0.0)
    if tif.is_lsm:
        return _positive((tif.lsm_metadata or {}).get("VoxelSizeZ"), 1e6)
    if tif.is_imagej:
        facts = tif.imagej_metadata or {}
        return _positive(facts.get("spacing"), sizes.unit_um(str(facts.get("unit") or "")) or 0.0)
    return None


def _positive(value: Any, unit: float) -> float | None:
    try:
        found = float(value or 0) * unit
    except (TypeError, ValueError):
        return None
    return found if 0 < found < math.inf else None
