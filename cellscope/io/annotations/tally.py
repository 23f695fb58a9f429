"""What a source held: images, objects of each class, and everything that was dropped or doubted on the way.

Readers lie deep below the command that prints, so what they drop is gathered in a context, as the standard library's
`warnings` are: `gathering` around the work, `drop` and `note` wherever something is left out.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from cellscope.io.annotations.placed import misplaced
from cellscope.io.leftovers import Leftovers, noting_leftovers
from cellscope.io.text import one_line

_split = re.compile("([0-9]+)").split
_SHOWN = 3
_MOST_CLASSES = 30


class Tally:
    """Counts of one source.

    Attributes
    ----------
    images : int
    empty : int
        Images without any object.
    objects : Counter
        Class -> objects kept; the empty class is an unknown one.
    dropped : Counter
        Reason -> objects dropped.
    notes : list of str
        What else a person should know, one line each.
    leftovers : Leftovers
        Files that searches left out.
    astray : list of str
        Images whose outlines do not lie on what they should outline.
    """

    def __init__(self) -> None:
        self.images = 0
        self.empty = 0
        self.objects: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.notes: list[str] = []
        self.leftovers = Leftovers()
        self.astray: list[str] = []
        self._placed = (0, 0)
        self._where: dict[str, list[str]] = {}

    def image(self, classes: Iterable[str], *, empty_counts: bool = True) -> None:
        """Count an image and the classes of its objects."""
        listed = Counter(classes)
        self.images += 1
        self.empty += empty_counts and not listed
        self.objects += listed

    def drop(self, why: str, where: str, count: int = 1) -> None:
        """Count objects that are dropped."""
        self.dropped[why] += count
        self._where.setdefault(why, []).append(where)

    def placed(self, name: str, right: int, compared: int) -> None:
        """Count the objects of an image that differ from their surroundings as they should: `placed.standing_out`."""
        self._placed = (self._placed[0] + right, self._placed[1] + compared)
        if misplaced(right, compared):
            self.astray.append(name)

    def note(self, text: str) -> None:
        """Keep a line, once."""
        if text not in self.notes:
            self.notes.append(text)

    def lines(self) -> list[str]:
        """Say it, a line for the counts, each reason and each note."""
        total = sum(self.objects.values())
        listed = sorted(self.objects.items(), key=lambda one: [int(t) if t.isdigit() else t for t in _split(one[0])])
        parts = [f"{one_line(name) or 'no class'} ({count})" for name, count in listed]
        more = f", ... ({len(parts)} classes)" if len(parts) > _MOST_CLASSES else ""
        classes = f": {', '.join(parts[:_MOST_CLASSES])}{more}" if parts else ""
        said = [f"read {self.images} images, {total} objects{classes}"]
        if self.empty:
            said.append(("warning: " if not total else "") + f"{self.empty} of the images hold no object")
        for why, count in sorted(self.dropped.items()):
            where = self._where[why]
            shown = "; ".join(where[:_SHOWN]) + (", ..." if len(where) > _SHOWN else "")
            said.append(f"warning: {count} dropped: {why} ({shown})")
        return said + [f"warning: {note}" for note in (*self._strays(), *self.notes, *self.leftovers.lines())]

    def _strays(self) -> list[str]:
        """Doubt images whose outlines lie anywhere; or all, where each holds too few objects to tell."""
        if not self.astray and not misplaced(*self._placed):
            return []
        shown = ", ".join(map(one_line, self.astray[:_SHOWN])) + (", ..." if len(self.astray) > _SHOWN else "")
        which = f"in {len(self.astray)} images ({shown})" if self.astray else "taken together"
        return [
            f"{which} the outlines do not lie on what differs from its surroundings: are they of these images, with x "
            "and y in order, at their magnification? See preview.png"
        ]


_CURRENT: ContextVar[Tally | None] = ContextVar("tally", default=None)


@contextmanager
def gathering(tally: Tally | None = None) -> Iterator[Tally]:
    """Gather what readers within the block drop and doubt, and what searches leave out; `tally` goes on with one."""
    tally = tally or Tally()
    token = _CURRENT.set(tally)
    try:
        with noting_leftovers(tally.leftovers):
            yield tally
    finally:
        _CURRENT.reset(token)


def tell(name: str, tally: Tally) -> None:
    """Print on stderr what a source held, every line with the source's name."""
    for line in tally.lines():
        print(f"{one_line(name)}: {line}", file=sys.stderr)


def drop(why: str, path: Path | str, what: str = "", count: int = 1) -> None:
    """Count what is dropped: why, of which file, and which object of it. Nothing happens where nobody gathers."""
    tally = _CURRENT.get()
    if tally is not None:
        name = one_line(path.name if isinstance(path, Path) else path)
        tally.drop(why, f"{name}: {what}" if what else name, count)


def note(text: str) -> None:
    """Keep a line that a person should read. Nothing happens where nobody gathers."""
    tally = _CURRENT.get()
    if tally is not None:
        tally.note(text)
