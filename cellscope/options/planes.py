"""Options that choose among the planes of a file, the same for all assays (see `cellscope.io.choice`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cellscope.options.resolve import option

PANEL = "Image planes"


@dataclass(frozen=True)
class FileOptions:
    """Of files with several channels, slices or scenes; what is not given and had to be chosen is told."""

    panel: ClassVar[str] = PANEL

    channel: str | None = option(
        None, "Channel, by name or index from 0; several separated by commas.", metavar="NAME|N"
    )
    z: str | None = option(
        None,
        "Focal plane, by index from 0; max for the maximum projection, focus for the sharpest plane.",
        metavar="N|max|focus",
    )
    scene: str | None = option(
        None,
        "Scene (position, region), by name or index from 0; all processes each as an input of its own.",
        metavar="NAME|N|all",
    )


@dataclass(frozen=True)
class PlaneOptions(FileOptions):
    """The same, for assays that look at one time point."""

    panel: ClassVar[str] = PANEL

    frame: int | None = option(None, "Time point, by index from 0.", low=0, metavar="N")
