"""What the stages of histo leave for one another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from cellscope.assays.histo.slides.plan import Plan
    from cellscope.assays.histo.slides.windows import Frame
    from cellscope.imaging.regions import Regions


@dataclass(frozen=True, eq=False)
class Source:
    """The pixels that a window was given: model pixels per pixel of them, and where their first lies (row, column)."""

    scale: float
    origin: tuple[int, int] = (0, 0)


@dataclass(eq=False, repr=False)
class State:
    """An image, or a window of one, on its way.

    Attributes
    ----------
    regions : Regions or None
        Of ``--roi``.
    plan : Plan or None
        Of a large image: its windows.
    frame : Frame or None
        Which window this is; None for an image in one, until it is cut.
    source : Source or None
        Of a window: what was read of the image.
    mask : (h, w) bool or None
        Where nuclei are looked for in the whole image, at any size; None for everywhere.
    otsu : float or None
        The baseline's threshold for all windows of an image.
    corrupt : list of (level, row, column)
        Tiles of the slide that could not be read.
    wanted : list of bool
        Which tiles of the grid are on their way through the network.
    maps : (h, w, 3 + K) float16 or None
        What the network says, see `cellscope.assays.histo.nuclei.maps`.
    shift : dict or None
        How far a shifted grid agrees: counts.
    """

    regions: Regions | None = None
    plan: Plan | None = None
    frame: Frame | None = None
    source: Source | None = None
    mask: np.ndarray | None = None
    otsu: float | None = None
    corrupt: list[tuple[int, int, int]] = field(default_factory=list)
    wanted: list[bool] = field(default_factory=list)
    maps: np.ndarray | None = None
    shift: dict[str, int] | None = None
