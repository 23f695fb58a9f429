"""A run that a person reviewed: sequences, and divisions of movies, with the class that stands there now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cellscope.assays.mitosis.sequences.inputs import MOVIE, SEQUENCE
from cellscope.engine.predict.again import options_of
from cellscope.engine.predict.finish import read_record
from cellscope.errors import DatasetError, UsageError
from cellscope.io.annotations.tally import note
from cellscope.io.corrections import Reviewed, corrected_rows, is_corrected_run, reviewed_images
from cellscope.io.events import Event
from cellscope.io.text import one_line
from cellscope.io.tracks import events_of, read_events
from cellscope.review.called import REASON


@dataclass(frozen=True)
class ReviewedMovie:
    """A movie of a reviewed run: its divisions with their classes, and how the run read it and cut them out."""

    image: str
    path: Path
    events: list[Event]
    table: str
    options: Any
    pixel_size_um: float | None


def detect(source: Path) -> bool:
    """Tell whether `source` is a run of mitosis with corrections."""
    return is_corrected_run(source, "mitosis")


def reading(source: Path, one: Reviewed) -> tuple[Any, float | None]:
    """Give the options with which the run read an input, its scene among them, and the pixel size that it was given."""
    record = read_record(source) or {}
    scene = {} if one.scene is None else {"scene": one.scene}
    return SimpleNamespace(**(options_of(record) | scene)), record["options"]["run"].get("pixel_size")


def reviewed_sequences(source: Path) -> Iterator[tuple[Reviewed, str]]:
    """Yield the sequences that were marked as reviewed, with their class; unsure ones teach nothing.

    Raises
    ------
    DatasetError
        No image was reviewed, or one is not there.
    """
    calls = corrected_rows(source, "objects")
    for one in reviewed_images(source, scenes=True):
        if one.kind == SEQUENCE:
            for row in _sure(one.image, calls.get(one.image, [])):
                yield one, row["class"]


def reviewed_movies(source: Path) -> Iterator[ReviewedMovie]:
    """Yield the movies that were marked as reviewed; errors as of `reviewed_sequences`, and no table of divisions."""
    movies = [one for one in reviewed_images(source, scenes=True) if one.kind == MOVIE]
    if not movies:
        return
    table, calls = Path(reading(source, movies[0])[0].events), corrected_rows(source, "objects")
    try:
        every = read_events(table)
    except UsageError as error:
        raise DatasetError(f"{source}: the divisions of its movies cannot be read again ({error})") from error
    for one in movies:
        events, _ = events_of(every, one.path, table.name)
        rows = calls.get(one.image, [])
        if len(events) != len(rows) or not all(_is(events[int(row["label"]) - 1], row) for row in rows):
            raise DatasetError(
                f"{source}: the {len(events)} divisions of {one_line(one.image)} in {table.name} are not the "
                f"{len(rows)} of the run; the table was changed after predict"
            )
        kept = [replace(events[int(row["label"]) - 1], class_=row["class"]) for row in _sure(one.image, rows)]
        yield ReviewedMovie(one.image, one.path, kept, table.name, *reading(source, one))


def _is(event: Event, row: dict[str, str]) -> bool:
    """Tell whether a row is of an event; numbers of a table are rounded."""
    away = abs(float(row["centroid-0"]) - event.y), abs(float(row["centroid-1"]) - event.x)
    return float(row["frame"]) == event.frame and max(away) < 0.5


def _sure(image: str, rows: list[dict[str, str]]) -> list[dict[str, str]]:
    unsure = sum(row.get("reasons") == REASON for row in rows)
    if unsure:
        note(f"{one_line(image)}: a person is unsure of {unsure} of {len(rows)}; left out")
    return [row for row in rows if row.get("reasons") != REASON]
