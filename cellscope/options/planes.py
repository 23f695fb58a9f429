"""Options that choose among the planes of a file, the same for all assays (see `cellscope.io.choice`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cellscope.options.resolve import option

PANEL = "Which part of a file"


@dataclass(frozen=True)
class FileOptions:
    """Of files with several channels, slices or scenes; what is not given and had to be chosen is told."""

    panel: ClassVar[str] = PANEL

    channel: str | None = option(
        None, "Which channel: its name, or its number from 0; several with commas.", metavar="NAME|N"
    )
    z: str | None = option(
        None,
        "Which slice of a focus series, from 0; max takes the brightest value of all, focus the sharpest slice.",
        metavar="N|max|focus",
    )
    scene: str | None = option(
        None,
        "Which scene (position, region) of a file, by name or number from 0; all makes an input of each.",
        metavar="NAME|N|all",
    )


@dataclass(frozen=True)
class PlaneOptions(FileOptions):
    """The same, for assays that look at one time point."""

    panel: ClassVar[str] = PANEL

    frame: int | None = option(None, "Which time point of a series, from 0.", low=0, metavar="N")
