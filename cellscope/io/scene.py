"""What an image file holds: scenes with named axes. No pixel is decoded for it, and nothing heavy is imported.

Axes have one letter each: T time, C channel, Z slice, Y row, X column, S the red, green and blue of a colour; Q stands
for planes of which the file does not say what they are. Other letters are tifffile's (H lifetime, A angle, ...).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cellscope.io.convert import Decoded

TIME, CHANNEL, SLICE, ROW, COLUMN, COLOUR, UNNAMED = "TCZYXSQ"

AXIS_NAMES = {
    TIME: "time points", CHANNEL: "channels", SLICE: "slices", ROW: "rows", COLUMN: "columns", COLOUR: "colours",
    UNNAMED: "pages that the file does not name", "A": "angles", "E": "wavelengths", "H": "lifetimes", "L": "exposures",
    "P": "positions", "R": "regions", "M": "mosaic tiles", "V": "views", "B": "blocks",
}  # fmt: skip
"""Axes in words, plural."""


@dataclass(frozen=True)
class Scene:
    """One image of a file: a position, a region, a field, or simply what the file is about.

    Attributes
    ----------
    sizes : tuple of (axis, size)
        In the file's order; Y and X always, the others where there is more than one.
    dtype : str
        numpy's name of the number type as stored.
    name : str
        As the file calls it; may be empty.
    channels : tuple of str
        Names of the channels, empty where the file has none.
    pixel_size_um : float or None
    pixel_size_from : str
        Who says so: ``OME metadata``, ``ImageJ``, ``resolution tag``, ...; empty where it is unknown.
    interval_s, z_step_um : float or None
        Between time points, between slices.
    overview : bool
        A thumbnail, a picture of the slide or of its label: never taken unless it is asked for.
    warnings : tuple of str
        One line each.
    """

    sizes: tuple[tuple[str, int], ...]
    dtype: str
    name: str = ""
    channels: tuple[str, ...] = ()
    pixel_size_um: float | None = None
    pixel_size_from: str = ""
    interval_s: float | None = None
    z_step_um: float | None = None
    overview: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def axes(self) -> str:
        """Letters in order, for example ``TCYX``."""
        return "".join(axis for axis, _ in self.sizes)

    def size(self, axis: str) -> int:
        """Size along an axis; 1 for one that is not there."""
        return dict(self.sizes).get(axis, 1)

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.size(ROW)

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.size(COLUMN)

    @property
    def many(self) -> tuple[tuple[str, int], ...]:
        """Axes besides rows, columns and colours along which there is more than one plane."""
        return tuple((axis, size) for axis, size in self.sizes if axis not in "YXS" and size > 1)

    def channel_name(self, number: int) -> str:
        """Name of a channel, or empty."""
        return self.channels[number] if 0 <= number < len(self.channels) else ""


class Source(Protocol):
    """An open file. Not for several threads at once.

    Attributes
    ----------
    format : str
        For people: ``OME-TIFF``, ``Nikon ND2``.
    scenes : tuple of Scene
        At least one.
    """

    format: str
    scenes: tuple[Scene, ...]

    def plane(self, scene: int, at: Mapping[str, int]) -> Decoded:
        """Decode one plane: rows and columns, with S behind them where the scene has it.

        Parameters
        ----------
        scene : int
        at : mapping
            Axis -> index; those not named are 0.

        Raises
        ------
        Refused
            The plane is missing, damaged or of an unsupported kind.
        """

    def close(self) -> None:
        """Let go of the file."""
