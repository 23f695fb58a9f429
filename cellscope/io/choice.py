"""What a user chose of a file that holds more than one plane, what an assay needs of it, and what is taken.

The rule that leads from one to the other is `cellscope.io.select`. Nothing heavy is imported here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

ALL = "all"
MAX, FOCUS = "max", "focus"
RED_GREEN_BLUE = ({"r", "red"}, {"g", "green"}, {"b", "blue"})
"""What such channels are called."""


class Wants(Enum):
    """What an assay needs of a file."""

    ANY = "all channels of one plane"
    COLOUR = "one colour image"
    STAIN = "one stain"
    MOVIE = "time points of all channels"


@dataclass(frozen=True)
class Choice:
    """What the user chose of a file; empty where nothing.

    Attributes
    ----------
    channel : str
        Name or number from 0; several with commas where an assay needs several.
    z : str
        Number from 0, ``max`` (brightest along the slices) or ``focus`` (the sharpest slice).
    scene : str
        Name, number from 0, or ``all``.
    frame : str
        Number from 0.
    """

    channel: str = ""
    z: str = ""
    scene: str = ""
    frame: str = ""

    @classmethod
    def of(cls, options: Any, scene: int | None = None) -> Choice:
        """Take what an assay's options say; `scene` where one of several was chosen for this input."""
        given = {name: getattr(options, name, None) for name in ("channel", "z", "scene", "frame")}
        given |= {} if scene is None else {"scene": scene}
        return cls(**{name: "" if value is None else str(value).strip() for name, value in given.items()})


class Unchosen(Exception):
    """Nothing can be taken; the reason and the list of what there is, in words that follow the file's name."""


@dataclass(frozen=True)
class Selection:
    """What is taken.

    Attributes
    ----------
    scene : int
        Its number.
    channels : tuple of int
        Numbers, in order.
    samples : tuple of int
        Of the colours of each plane; empty for all.
    z : int, ``max`` or ``focus``
    frame : int
        Not used for movies.
    time : str
        Axis that is time, empty where there is none.
    page : int
        Among the pages that the file does not name.
    roles : dict
        Axis that the file does not name -> what it is taken for.
    composed : bool
        Three channels are the red, green and blue of one image; the pixels have yet to show it where `certain` is
        false.
    certain : bool
    warnings : tuple of str
    """

    scene: int
    channels: tuple[int, ...] = (0,)
    samples: tuple[int, ...] = ()
    z: int | str = 0
    frame: int = 0
    page: int = 0
    time: str = ""
    roles: dict[str, str] = field(default_factory=dict)
    composed: bool = False
    certain: bool = True
    warnings: tuple[str, ...] = ()
