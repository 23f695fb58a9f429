"""Where divisions are in a movie: CSV tables, TrackMate XML, Cell Tracking Challenge folders."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath

import numpy as np

from cellscope.errors import InputError, UsageError
from cellscope.io.events import Event, table_number
from cellscope.io.table import read_table
from cellscope.io.text import one_line
from cellscope.io.trackmate import read_trackmate

MAN_TRACK = ("man_track.txt", "res_track.txt")
"""Names of the tables of the Cell Tracking Challenge: of truth and of results."""

_MASK = re.compile(r"(?:man_track|mask|man_seg)(\d+)\.tiff?", re.IGNORECASE)


class EventTable(tuple[Event, ...]):
    """The divisions of a table, by frame.

    Attributes
    ----------
    notes : tuple of str
        What was left out, one line each.
    """

    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, events: Iterable[Event], notes: Iterable[str] = ()) -> EventTable:
        """Sort events, and count those once that a table holds twice."""
        first: dict[tuple[str, int, float, float], Event] = {}
        twice = []
        for event in events:
            kept = first.setdefault((event.image, event.frame, event.y, event.x), event)
            if kept is not event:
                twice.append(f"{event.source} says the same as {kept.source} and counts once")
        table = cls(sorted(first.values(), key=lambda event: (event.image, event.frame, event.y, event.x)))
        more = (
            [f"{len(twice)} rows are there twice and count once, the first is {twice[0]}"] if len(twice) > 1 else twice
        )
        table.notes = (*notes, *more)
        return table


def read_events(path: str | os.PathLike[str]) -> EventTable:
    """Read divisions from a table.

    Parameters
    ----------
    path : path
        CSV with the columns ``frame``, ``y``, ``x`` and optionally ``size``, ``image``, ``track``, ``spot`` and
        ``class``; TrackMate XML, in which a spot that is linked with two or more later spots divides, and whose name
        (or its track's) is its class unless TrackMate gave it; or the text file of the Cell Tracking Challenge
        (``man_track.txt``: label, begin, end, parent), or its folder, in which a label with two or more children
        divides, its place taken from the mask of its last frame.

    Returns
    -------
    EventTable
        By frame; rows that are there twice count once, and tracks that TrackMate hides do not count.

    Raises
    ------
    UsageError
        The file is missing, of none of these kinds, lacks columns, or holds what is no number.
    """
    path = Path(path)
    if path.is_dir():
        table = next((path / name for name in MAN_TRACK if (path / name).is_file()), None)
        if table is None:
            raise UsageError(f"{one_line(path)}: the folder holds no {' or '.join(MAN_TRACK)}")
        return EventTable.of(_from_challenge(table))
    if not path.is_file():
        raise UsageError(f"{one_line(path)}: no such table of events")
    if path.suffix.lower() == ".xml":
        return EventTable.of(*read_trackmate(path))
    return EventTable.of(_from_challenge(path) if path.suffix.lower() == ".txt" else _from_csv(path))


def events_of(events: Sequence[Event], path: Path, table: str) -> tuple[list[Event], tuple[str, ...]]:
    r"""Return the events of one movie, and what a person should know about how they were found.

    An ``image`` fits when it is empty or the end of the movie's path. Where no image fits so, case, ``\\``, a missing
    suffix and the folders that all images of the table share (another machine's) do not count, which is told.

    Parameters
    ----------
    events : sequence of Event
    path : Path
        Of the movie.
    table : str
        The table's name, for the notes.
    """
    parts = path.absolute().parts
    named = {event.image: PurePath(event.image).parts for event in events}
    exact = {image for image, own in named.items() if not image or parts[-len(own) :] == own}
    if exact or not any(named):
        return [event for event in events if event.image in exact], ()
    loose = {image for image in named if image and _fits_loosely(image, [one for one in named if one], parts)}
    found = [event for event in events if event.image in exact | loose]
    if loose:
        shown = ", ".join(one_line(image) for image in sorted(loose)[:3])
        return found, (f"{table}: rows of the image {shown} are taken for this movie: the names differ in case, suffix "
                       "or folder",)  # fmt: skip
    others = ", ".join(one_line(image) for image in sorted(filter(None, named))[:3])
    return found, (f"{table}: no row belongs to this movie; it names {others}",)


def _fits_loosely(image: str, images: Sequence[str], parts: Sequence[str]) -> bool:
    split = [one.replace("\\", "/").split("/") for one in images]
    absolute = image.replace("\\", "/").split("/")
    shared = 0
    if len(absolute) > 1 and (absolute[0] == "" or absolute[0].endswith(":")):
        folders = [one[:-1] for one in split if len(one) > 1 and one[0] == absolute[0]]
        shared = next((n for n, level in enumerate(zip(*folders, strict=False)) if len(set(level)) > 1), None) or min(
            map(len, folders)
        )
    own = [part.casefold() for part in absolute[shared:] if part not in ("", ".")]
    tail = [part.casefold() for part in parts[-len(own) :]]
    return own[:-1] == tail[:-1] and own[-1] in (tail[-1], tail[-1].rpartition(".")[0])


def check_events(events: Sequence[Event], shape: tuple[int, int, int], table: str) -> None:
    """Raise InputError for the first event outside a movie of `shape` (frames, height, width), naming its line."""
    frames, height, width = shape
    for event in events:
        place = f"{table}, {event.source}"
        if not 0 <= event.frame < frames:
            raise InputError(f"{place}: frame {event.frame} is outside the movie, which has frames 0 to {frames - 1}")
        if not (0 <= event.y < height and 0 <= event.x < width):
            raise InputError(
                f"{place}: y {event.y:g}, x {event.x:g} is outside the movie of {height} rows and {width} columns; "
                "are rows and columns exchanged, or the units not pixels?"
            )


_NAMED = {"image": "image", "track": "track", "spot": "spot", "class_": "class"}
"""Columns of a CSV that hold text."""


def _from_csv(path: Path) -> list[Event]:
    found = []
    for number, row in enumerate(read_table(path, ("frame", "y", "x"), ("size", "image")), 1):
        where = f"row {number}"
        values = {name: table_number(path, where, name, row[name]) for name in ("frame", "y", "x")}
        size = table_number(path, where, "size", row["size"]) if row.get("size") else None
        if values["frame"] != int(values["frame"]) or (size is not None and size < 2):
            raise UsageError(f"{one_line(path)}, {where}: frame must be a whole number and size at least 2 pixels")
        named = {field: row.get(column, "") for field, column in _NAMED.items()}
        found.append(Event(int(values["frame"]), values["y"], values["x"], size, where, **named))
    return found


def _from_challenge(path: Path) -> list[Event]:
    tracks: dict[int, tuple[int, int, int]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            label, begin, end, parent = (int(word) for word in line.split())
        except ValueError:
            raise UsageError(
                f"{one_line(path)}, line {number}: not four whole numbers (label, begin, end, parent)"
            ) from None
        tracks[label] = (begin, end, parent)
    children: dict[int, list[int]] = defaultdict(list)
    for label, (_, _, parent) in tracks.items():
        if parent:
            children[parent].append(label)
    dividing = {parent: labels for parent, labels in children.items() if len(labels) >= 2}
    masks = _masks(path.parent)
    found = []
    for parent, labels in sorted(dividing.items()):
        if parent not in tracks:
            raise UsageError(f"{one_line(path)}: track {parent} is a parent and not in the table")
        end = tracks[parent][1]
        y, x = _centroid(path, masks, end, parent)
        first = min(tracks[label][0] for label in labels)
        found.append(Event(first, y, x, None, f"track {parent}", track=str(parent)))
    return found


def _masks(folder: Path) -> dict[int, Path]:
    matches = ((_MASK.fullmatch(file.name), file) for file in sorted(folder.iterdir()))
    return {int(match[1]): file for match, file in matches if match}


def _centroid(table: Path, masks: Mapping[int, Path], frame: int, label: int) -> tuple[float, float]:
    from cellscope.io.read import read

    if frame not in masks:
        raise UsageError(f"{one_line(table)}: there is no mask of frame {frame} beside it, where track {label} ends")
    rows, columns = np.nonzero(read(masks[frame]).pixels[..., 0] == label)
    if not len(rows):
        raise UsageError(f"{one_line(masks[frame])}: the mask lacks label {label}, whose track ends there")
    return float(rows.mean()), float(columns.mean())
