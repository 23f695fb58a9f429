"""What a subject too large to hold consists of: pieces to work on, and rows made only when they are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from cellscope.engine.assay import Subject


@dataclass(frozen=True, eq=False)
class Pieces:
    """How a subject too large to hold is worked on.

    Attributes
    ----------
    count
        Number of pieces; 0 leaves only ``join`` to do.
    read
        ``read(number)`` -> the piece as a subject of its own: the same name, kind, options and cards, ``piece`` set.
        Called in a thread of its own, ahead of the networks; what it costs never depends on the other pieces.
    close
        Called when no more pieces will be read.
    """

    count: int
    read: Callable[[int], Subject]
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of ``objects.csv`` that are made only when they are written: more than memory should hold.

    Attributes
    ----------
    count
        Of all rows.
    frames
        ``frames()`` -> the rows in frames, in order; all of the same columns, and at least one frame.
    """

    count: int
    frames: Callable[[], Iterator[pd.DataFrame]]

    def __len__(self) -> int:
        return self.count
