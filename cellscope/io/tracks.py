"""Where divisions are in a movie: CSV tables, TrackMate XML, Cell Tracking Challenge folders."""

from __future__ import annotations

import math
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from xml.etree import ElementTree

import numpy as np

from cellscope.errors import InputError, UsageError
from cellscope.io.table import read_table
from cellscope.io.text import one_line

MAN_TRACK = ("man_track.txt", "res_track.txt")
"""Names of the tables of the Cell Tracking Challenge: of truth and of results."""

_MASK = re.compile(r"(?:man_track|mask|man_seg)(\d+)\.tiff?", re.IGNORECASE)


@dataclass(frozen=True)
class Event:
    """A division to look at.

    Attributes
    ----------
    frame : int
        The first frame in which the cell is divided (or failed to be), from 0.
    y, x : float
        Row and column, pixels.
    size : float or None
        Side of the square that holds it, pixels.
    source : str
        Where it was said, for messages: ``line 3``, ``track 12``.
    image : str
        The movie it is in, as the table names it; empty for whichever movie is read.
    """

    frame: int
    y: float
    x: float
    size: float | None = None
    source: str = ""
    image: str = ""


def read_events(path: str | os.PathLike[str]) -> list[Event]:
    """Read divisions from a table.

    Parameters
    ----------
    path : path
        CSV with the columns ``frame``, ``y``, ``x`` and optionally ``size`` and ``image``; TrackMate XML, in which a
        spot with two or more links to later spots divides; or the text file of the Cell Tracking Challenge
        (``man_track.txt``: label, begin, end, parent), or its folder, in which a label with two or more children
        divides, its place taken from the mask of its last frame.

    Returns
    -------
    list of Event
        By frame.

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
        events = _from_challenge(table)
    elif not path.is_file():
        raise UsageError(f"{one_line(path)}: no such table of events")
    elif path.suffix.lower() == ".xml":
        events = _from_trackmate(path)
    elif path.suffix.lower() == ".txt":
        events = _from_challenge(path)
    else:
        events = _from_csv(path)
    return sorted(events, key=lambda event: (event.image, event.frame, event.y, event.x))


def events_of(events: Sequence[Event], path: Path) -> list[Event]:
    """Return the events of one movie: those whose ``image`` is empty or the end of its path."""
    parts = path.absolute().parts

    def fits(image: str) -> bool:
        named = PurePath(image).parts
        return not image or parts[-len(named) :] == named

    return [event for event in events if fits(event.image)]


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


def _from_csv(path: Path) -> list[Event]:
    found = []
    for number, row in enumerate(read_table(path, ("frame", "y", "x")), 1):
        where = f"row {number}"
        values = {name: _number(path, where, name, row[name]) for name in ("frame", "y", "x")}
        size = _number(path, where, "size", row["size"]) if row.get("size") else None
        if values["frame"] != int(values["frame"]) or (size is not None and size < 2):
            raise UsageError(f"{one_line(path)}, {where}: frame must be a whole number and size at least 2 pixels")
        found.append(Event(int(values["frame"]), values["y"], values["x"], size, where, row.get("image", "")))
    return found


def _number(path: Path, where: str, name: str, text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{one_line(path)}, {where}: {name} is {one_line(text or '')!r}, not a number")
    return value


def _from_trackmate(path: Path) -> list[Event]:
    """Read spots and links one element at a time: such files grow to gigabytes."""
    spots: dict[str, tuple[int, float, float, float]] = {}
    links: dict[str, list[str]] = defaultdict(list)
    pixel: tuple[float, float] | None = None
    units = ""
    try:
        for _, element in ElementTree.iterparse(path, events=("end",)):
            if element.tag == "Spot":
                facts = {key: element.get(key) or "" for key in ("ID", "FRAME", "POSITION_X", "POSITION_Y")}
                at = {key: _number(path, f"spot {facts['ID']}", key, facts[key]) for key in list(facts)[1:]}
                radius = float(element.get("RADIUS") or "nan")
                spots[facts["ID"]] = (int(at["FRAME"]), at["POSITION_Y"], at["POSITION_X"], radius)
            elif element.tag == "Edge":
                links[element.get("SPOT_SOURCE_ID") or ""].append(element.get("SPOT_TARGET_ID") or "")
            elif element.tag == "ImageData":
                pixel = (float(element.get("pixelheight") or 0), float(element.get("pixelwidth") or 0))
            elif element.tag == "Model":
                units = element.get("spatialunits") or ""
            element.clear()
    except (ElementTree.ParseError, ValueError) as error:
        raise UsageError(f"{one_line(path)}: not a TrackMate file ({error})") from error
    if not spots:
        raise UsageError(f"{one_line(path)}: no spots; save the tracking session of TrackMate as XML")
    if (pixel is None or min(pixel) <= 0) and units.lower() not in ("", "pixel", "pixels"):
        raise UsageError(f"{one_line(path)}: positions are in {units}, and the file does not state the pixel size")
    rows, columns = pixel if pixel is not None and min(pixel) > 0 else (1.0, 1.0)
    found = []
    for source, targets in links.items():
        after = [spots[target] for target in targets if target in spots and source in spots]
        after = [spot for spot in after if spot[0] > spots[source][0]]
        if len(after) >= 2:
            _, y, x, _ = spots[source]
            found.append(Event(min(spot[0] for spot in after), y / rows, x / columns, None, f"spot {source}"))
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
        found.append(Event(min(tracks[label][0] for label in labels), y, x, None, f"track {parent}"))
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
