"""How an input of the mitosis assay is read: a sequence, or a movie with the divisions a table names in it."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import cast

from cellscope.assays.mitosis.options import PredictOptions
from cellscope.engine.assay import Subject
from cellscope.errors import InputError, UsageError
from cellscope.io.choice import Choice
from cellscope.io.movie import Movie, open_movie
from cellscope.io.tracks import Event, check_events, events_of, read_events

SEQUENCE, MOVIE = "sequence", "movie"
KINDS = (SEQUENCE, MOVIE)
LONGEST_SEQUENCE = 64
"""Frames; longer files are movies unless --input says otherwise."""
LARGEST_SEQUENCE = 384
"""Pixels of the longer side."""


def read_input(path: Path, choice: Choice, max_pixels: int, options: PredictOptions) -> Movie:
    """Open a sequence or movie, without decoding it; with ``--events``, its divisions travel along.

    Raises
    ------
    InputError
        The file is no sequence; an event lies outside it.
    """
    movie = open_movie(path, choice=choice, max_pixels=max_pixels)
    if options.events is None:
        return movie
    events = events_of(_events(str(options.events)), path)
    check_events(events, (movie.frames, movie.height, movie.width), Path(options.events).name)
    return replace(movie, notes={"events": events})


@lru_cache(maxsize=8)
def _events(path: str) -> tuple[Event, ...]:
    return tuple(read_events(path))


def read_options(options: PredictOptions) -> PredictOptions:
    """Read the table of events before any work; UsageError says what is wrong with it."""
    if options.events is not None and not _events(str(options.events)):
        raise UsageError(f"{options.events}: the table names no division")
    return options


def movie_of(subject: Subject) -> Movie:
    """Return what `read_input` gave."""
    return cast(Movie, subject.image)


def kind_of(movie: Movie) -> str:
    """Tell a sequence from a movie: a movie has events, or is longer or larger than sequences are."""
    large = movie.frames > LONGEST_SEQUENCE or max(movie.height, movie.width) > LARGEST_SEQUENCE
    return MOVIE if large or "events" in movie.notes else SEQUENCE


def admit(movie: Movie, kind: str) -> None:
    """Refuse a movie without events.

    Raises
    ------
    InputError
    """
    if kind == MOVIE and "events" not in movie.notes:
        raise InputError(
            f"{movie.name}: a movie of {movie.frames} frames of {movie.width} x {movie.height} pixels needs a table of "
            "divisions (--events); --input sequence takes it as one sequence"
        )
