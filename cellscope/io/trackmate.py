"""Divisions in the XML files of TrackMate (Fiji)."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from cellscope.errors import UsageError
from cellscope.io.events import Event, table_number
from cellscope.io.text import one_line, reason

_GIVEN = re.compile(r"\s*(?:ID\s*\d+|Track_\d+)?\s*", re.IGNORECASE)
"""Names that TrackMate gives."""

Spot = tuple[int, float, float]
"""Frame, y, x in the file's units."""


def read_trackmate(path: Path) -> tuple[list[Event], list[str]]:
    """Read the divisions of a tracking session: spots that are linked with two or more later spots.

    A link has no direction: which spot is the later one is told by the frames. Tracks that are not listed among the
    filtered ones were hidden by the user and do not count. Spots and links are read one element at a time: such files
    grow to gigabytes.

    Parameters
    ----------
    path : Path

    Returns
    -------
    events : list of Event
    notes : list of str
        How many divisions hidden tracks hold.

    Raises
    ------
    UsageError
        No TrackMate file, without spots, or of unknown pixel size.
    """
    spots: dict[str, Spot] = {}
    links: dict[str, set[tuple[str, str]]] = defaultdict(set)
    shown: set[str] | None = None
    pixel: tuple[float, float] | None = None
    names: dict[str, str] = {}
    units, track = "", ""
    try:
        for moment, element in ElementTree.iterparse(path, events=("start", "end")):
            if moment == "start":
                if element.tag == "Track":
                    track = element.get("TRACK_ID") or ""
                    names[f"track {track}"] = element.get("name") or ""
                elif element.tag == "FilteredTracks":
                    shown = set()
                elif element.tag == "Model":
                    units = element.get("spatialunits") or ""
                continue
            if element.tag == "Spot":
                facts = {key: element.get(key) or "" for key in ("ID", "FRAME", "POSITION_X", "POSITION_Y")}
                at = {key: table_number(path, f"spot {facts['ID']}", key, facts[key]) for key in list(facts)[1:]}
                names[facts["ID"]] = element.get("name") or ""
                spots[facts["ID"]] = (int(at["FRAME"]), at["POSITION_Y"], at["POSITION_X"])
            elif element.tag == "Edge":
                links[track].add((element.get("SPOT_SOURCE_ID") or "", element.get("SPOT_TARGET_ID") or ""))
            elif element.tag == "TrackID" and shown is not None:
                shown.add(element.get("TRACK_ID") or "")
            elif element.tag == "ImageData":
                pixel = (float(element.get("pixelheight") or 0), float(element.get("pixelwidth") or 0))
            element.clear()
    except (ElementTree.ParseError, ValueError) as error:
        raise UsageError(f"{one_line(path)}: not a TrackMate file ({reason(error)})") from error
    if not spots:
        raise UsageError(f"{one_line(path)}: no spots; save the tracking session of TrackMate as XML")
    if (pixel is None or min(pixel) <= 0) and units.lower() not in ("", "pixel", "pixels"):
        raise UsageError(f"{one_line(path)}: positions are in {units}, and the file does not state the pixel size")
    scale = pixel if pixel is not None and min(pixel) > 0 else (1.0, 1.0)
    found, hidden = [], 0
    for name, pairs in links.items():
        events = [
            replace(event, track=name, class_=_label(names[event.spot]) or _label(names.get(f"track {name}", "")))
            for event in _divisions(pairs, spots, scale)
        ]
        if shown is None or name in shown:
            found += events
        else:
            hidden += len(events)
    notes = [f"{hidden} divisions lie in tracks that are hidden in TrackMate and do not count"] if hidden else []
    return found, notes


def _label(name: str) -> str:
    """Give a name that a person chose: not TrackMate's own, such as ``ID1234`` and ``Track_7``."""
    return "" if _GIVEN.fullmatch(name) else name.strip()


def _divisions(pairs: set[tuple[str, str]], spots: dict[str, Spot], scale: tuple[float, float]) -> list[Event]:
    later: dict[str, set[str]] = defaultdict(set)
    for one, other in pairs:
        if one in spots and other in spots and spots[one][0] != spots[other][0]:
            first, second = sorted((one, other), key=lambda name: spots[name][0])
            later[first].add(second)
    return [
        Event(
            min(spots[daughter][0] for daughter in daughters),
            spots[mother][1] / scale[0],
            spots[mother][2] / scale[1],
            None,
            f"spot {mother}",
            spot=mother,
        )
        for mother, daughters in later.items()
        if len(daughters) >= 2
    ]
