"""Pixel size in micrometres, from what image files say about it.

Three sources, best first: OME-XML, ImageJ's description, the resolution (dots per inch or cm) of TIFF, PNG, JPEG and
BMP. The first two name a unit on purpose and are believed between 0.0001 and 100,000 um. A resolution is mostly
noise: cameras, scanners and paint programs write 72, 96 or 300 dpi (353, 265, 85 um) whatever they see. So a resolution
counts only

* when it gives a pixel of 0.001 to 10 um (2540 dpi and finer), which no such default does, and
* when it is not an optical resolution of film and flatbed scanners (3200, 4000, 4800, 6400, 9600, 12800, 19200 dpi).

Pixels that are more than 1 % from square have no single size: the size is then unknown, with a warning.
``--pixel-size`` overrides all of this.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TypeVar
from xml.etree import ElementTree

UM_PER_INCH = 25400.0
UM_PER_CM = 10000.0
RESOLUTION_RANGE_UM = (0.001, 10.0)
STATED_RANGE_UM = (1e-4, 1e5)
SCANNER_DPI = (3200, 4000, 4800, 6400, 9600, 12800, 19200)
MAX_ANISOTROPY = 0.01

_UNITS_UM = {
    "um": 1.0, "\u00b5m": 1.0, "\u03bcm": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "micrometers": 1.0,
    "micrometre": 1.0, "micrometres": 1.0, "\u00b5": 1.0, "\u03bc": 1.0,
    "nm": 1e-3, "nanometer": 1e-3, "nanometers": 1e-3, "nanometre": 1e-3, "nanometres": 1e-3,
    "pm": 1e-6, "\u00e5": 1e-4, "\u212b": 1e-4, "angstrom": 1e-4,
    "mm": 1e3, "millimeter": 1e3, "millimeters": 1e3, "millimetre": 1e3, "millimetres": 1e3,
    "cm": UM_PER_CM, "centimeter": UM_PER_CM, "centimetre": UM_PER_CM, "m": 1e6, "meter": 1e6, "metre": 1e6,
    "inch": UM_PER_INCH, "inches": UM_PER_INCH, "in": UM_PER_INCH,
}  # fmt: skip
_NO_UNITS = ("pixel", "pixels", "reference frame", "")
_PRINT_UNITS = (UM_PER_INCH, UM_PER_CM)

PixelSize = tuple[float | None, tuple[str, ...]]
"""A pixel size in um, or None, and warnings."""

UNKNOWN: PixelSize = (None, ())

_ASKED = "; give --pixel-size"
"""How a warning ends that the user can answer."""

T = TypeVar("T")


def given(image: T, size_um: float) -> T:
    """Put the user's pixel size in the place of the file's, without the warnings that asked for it.

    Parameters
    ----------
    image : Image, Movie or Slide
    size_um : float
    """
    warnings = tuple(line for line in getattr(image, "warnings", ()) if not line.endswith(_ASKED))
    return replace(image, pixel_size_um=size_um, pixel_size_given=True, warnings=warnings)  # type: ignore[type-var]


def unit_um(unit: str) -> float | None:
    r"""Micrometres in one `unit`, for example ``micron``, ``um``, ``\u00B5m`` (ImageJ's escape), ``nm``; else None.

    Also where a program took UTF-8 for Latin-1 and wrote the micro sign as two letters.
    """
    unit = unit.strip().strip('"')
    for escape, letter in (("\\u00b5", "\u00b5"), ("\\u03bc", "\u03bc"), ("\\u00c5", "\u00c5")):
        unit = unit.replace(escape, letter).replace(escape[:2] + escape[2:].upper(), letter)
    for _ in range(3):
        known = _UNITS_UM.get(unit, _UNITS_UM.get(unit.lower()))
        if known is not None:
            return known
        try:
            unit = unit.encode("cp1252").decode("utf-8")
        except UnicodeError:
            return None
    return None


def from_resolution(x: float, y: float, unit: float) -> PixelSize:
    """Pixel size from a print resolution, unless it is a default that says nothing about the sample.

    Parameters
    ----------
    x, y : float
        Pixels per unit along rows and columns; 0 where missing.
    unit : float
        Micrometres in the unit.
    """
    sizes = [unit / value for value in (x, y) if math.isfinite(value) and value > 0]
    low, high = RESOLUTION_RANGE_UM
    if not sizes or not all(low <= size <= high * (1 + 1e-9) for size in sizes):
        return UNKNOWN
    dpi = UM_PER_INCH / sizes[0]
    # 2 dpi allow for rounding: PNG and BMP keep whole pixels per metre, TIFF often whole pixels per centimetre
    if any(abs(dpi - scanner) < 2 for scanner in SCANNER_DPI):
        return UNKNOWN
    return _square(sizes)


def from_imagej(description: str, x: float, y: float) -> PixelSize:
    """Pixel size from the description ImageJ writes (``unit=micron``, ``yunit=...``) and the resolution in that unit.

    Parameters
    ----------
    description : str
        The TIFF's ImageDescription.
    x, y : float
        Pixels per unit (XResolution and YResolution); 0 where missing.
    """
    if not description.startswith("ImageJ="):
        return UNKNOWN
    fields = dict(line.partition("=")[::2] for line in description.splitlines())
    unit_x = unit_um(fields.get("unit", ""))
    unit_y = unit_um(fields["yunit"]) if "yunit" in fields else unit_x
    if unit_x is None or unit_y is None:
        return None, unknown_unit(fields.get("unit", "") if unit_x is None else fields["yunit"])
    if unit_x in _PRINT_UNITS:  # ImageJ calls the 72 dpi of a photograph "inch": that is the resolution tag again
        return from_resolution(x, y, unit_x)
    return stated([unit / value for unit, value in ((unit_x, x), (unit_y, y)) if math.isfinite(value) and value > 0])


def ome_pixels(xml: str) -> list[ElementTree.Element] | None:
    """Return the ``Pixels`` elements of OME-XML, one per image; empty for other text, None where it is damaged."""
    if not xml.rstrip().endswith("OME>"):
        return []
    try:
        root = ElementTree.fromstring(xml.strip().encode("utf-8", "replace"))
    except (ElementTree.ParseError, ValueError, LookupError):
        return None
    return [element for element in root.iter() if element.tag.rpartition("}")[2] == "Pixels"]


def from_ome(xml: str, width: int, height: int, number: int | None = None) -> PixelSize:
    """Pixel size from OME-XML: ``PhysicalSizeX/Y`` and their units (um by default).

    Parameters
    ----------
    xml : str
        The OME-XML, in practice the TIFF's ImageDescription.
    width, height : int
        Size of the page that was read: of several images, the first one of this size counts.
    number : int, optional
        Which image it is, where that is known.
    """
    images = ome_pixels(xml)
    if images is None:
        return None, ("the OME metadata cannot be parsed; the pixel size in it is ignored",)
    same = [p for p in images if (p.get("SizeX"), p.get("SizeY")) == (str(width), str(height))]
    if number is not None and number < len(images) and images[number] in same:
        same = [images[number]]
    for pixels in (same or images)[:1]:
        sizes = []
        for axis in "XY":
            text = pixels.get(f"PhysicalSize{axis}Unit", "um")
            unit = unit_um(text)
            try:
                size = float(pixels.get(f"PhysicalSize{axis}", "0"))
            except ValueError:
                size = 0.0
            if size > 0 and (doubt := unknown_unit(text)):
                return None, doubt
            sizes.append((unit or 0.0) * size)
        return stated(sizes)
    return UNKNOWN


def unknown_unit(text: str) -> tuple[str, ...]:
    """Say that a unit is not understood; nothing for one that is, and where pixels are the unit."""
    if unit_um(text) is not None or text.strip().strip('"').lower() in _NO_UNITS:
        return ()
    return (f"the unit {text[:40]!r} of the pixel size is not understood{_ASKED}",)


def stated(sizes: list[float]) -> PixelSize:
    """Pixel size from what metadata name on purpose, micrometres along each axis; 0 where missing."""
    sizes = [size for size in sizes if math.isfinite(size) and size > 0]
    low, high = STATED_RANGE_UM
    if not sizes:
        return UNKNOWN
    if not all(low <= size <= high for size in sizes):
        return None, (f"the stated pixel size of {sizes[0]:.6g} um is implausible and ignored{_ASKED}",)
    return _square(sizes)


def _square(sizes: list[float]) -> PixelSize:
    if max(sizes) > min(sizes) * (1 + MAX_ANISOTROPY):
        return None, (f"pixels are not square ({sizes[0]:.6g} x {sizes[-1]:.6g} um): no pixel size is used",)
    return sum(sizes) / len(sizes), ()
