"""How an input of the mitosis assay is read: a sequence, or a movie with the divisions a table names in it."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np

from cellscope.assays.mitosis.options import PredictOptions
from cellscope.assays.mitosis.sequences.state import State
from cellscope.assays.mitosis.sequences.view import FRAMES, choose_frames
from cellscope.assays.mitosis.sequences.windows import Window, gather, window_frames
from cellscope.engine.assay import Subject
from cellscope.errors import InputError, UsageError
from cellscope.io.choice import Choice
from cellscope.io.movie import Movie, open_movie
from cellscope.io.tracks import EventTable, check_events, events_of, read_events

PART = "classify"
SEQUENCE, MOVIE = "sequence", "movie"
KINDS = (SEQUENCE, MOVIE)
LONGEST_SEQUENCE = 3 * FRAMES // 2
"""Frames; whether a longer file shows one division or several a person must say, with ``--events`` or ``--input``."""
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
    name = Path(options.events).name
    table = _events(str(options.events))
    events, notes = events_of(table, path, name)
    check_events(events, (movie.frames, movie.height, movie.width), name)
    told = (*(f"{name}: {note}" for note in table.notes), *notes)
    return replace(movie, notes={"events": events}, warnings=(*movie.warnings, *told))


@lru_cache(maxsize=8)
def _events(path: str) -> EventTable:
    return read_events(path)


def read_options(options: PredictOptions) -> PredictOptions:
    """Read the table of events before any work; UsageError says what is wrong with it."""
    if options.events is not None and not (table := _events(str(options.events))):
        raise UsageError("; ".join([f"{options.events}: the table names no division", *table.notes]))
    return options


def load(subject: Subject[State], _max_pixels: int) -> None:
    """Decode the frames of a sequence that are used, or the pixels around the divisions of a movie.

    Raises
    ------
    InputError
        A frame is damaged; a sequence has too few frames, or not those that ``--frames`` asks for.
    """
    movie, options, state = movie_of(subject), subject.options, subject.state
    count = int(subject.cards[PART].normalisation.get("frames", FRAMES))
    if subject.kind == SEQUENCE:
        chosen = choose_frames(movie.frames, count, options.frames)
        state.frames = [chosen]
        state.pixels = movie.read(np.unique(chosen).tolist())
        state.reasons = [[] if movie.frames == count else [f"{movie.frames} frames instead of {count}"]]
        subject.loaded_pixels = state.pixels[..., 0].size
        return
    before = options.frames_before
    for event in movie.notes["events"]:
        frames = window_frames(event.frame, before, count, movie.frames)
        side = round(event.size or options.window)
        state.windows.append(Window(frames, (event.y, event.x), side, before))
    needed = sorted({int(frame) for window in state.windows for frame in window.frames})
    gather(state.windows, movie.iterate(needed))
    subject.loaded_pixels = sum(window.patches[..., 0].size for window in state.windows)


def movie_of(subject: Subject[State]) -> Movie:
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
            f"{movie.name}: {movie.frames} frames of {movie.width} x {movie.height} pixels may be a movie with several "
            "divisions: --events names them in a table; --input sequence takes the file as one division"
        )
