"""How a subject too large to hold is worked on: in pieces, joined at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cellscope.engine.subject import Result, Subject


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


@dataclass(frozen=True)
class Large:
    """What an assay does with subjects too large to hold; both functions may read from the subject's own file.

    Attributes
    ----------
    divide
        ``divide(subject)`` -> `Pieces`, or None for a subject that goes through in one. How a subject is divided
        follows from it and the options alone. Results of pieces do not pass the checks of whole ones.
    join
        ``join(subject, results)`` -> the `Result` of a divided subject from those of its pieces, in their order. Each
        is read from disk when it is asked for; keep none.
    """

    divide: Callable[[Subject], Pieces | None]
    join: Callable[[Subject, Sequence[Result]], Result]
