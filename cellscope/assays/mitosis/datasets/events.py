"""Sequences cut out of movies around the divisions that a labelled table names, as `predict` cuts them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from cellscope.assays.mitosis.options import MitosisPrepareOptions
from cellscope.assays.mitosis.sequences.channels import two_channels
from cellscope.assays.mitosis.sequences.names import Facts, parse_name
from cellscope.assays.mitosis.sequences.view import FRAMES
from cellscope.assays.mitosis.sequences.windows import Window, crop, follow, gather, window_frames
from cellscope.errors import DatasetError, InputError
from cellscope.io.annotations.tally import note
from cellscope.io.choice import Choice
from cellscope.io.events import Event
from cellscope.io.inputs import resolve_inputs
from cellscope.io.movie import MOVIE_SUFFIXES, open_movie
from cellscope.io.sequence import write_sequence
from cellscope.io.text import one_line
from cellscope.io.tracks import check_events, events_of, read_events


@dataclass(frozen=True)
class Cut:
    """A sequence cut out of a movie.

    Attributes
    ----------
    name : str
        Of the sequence: the movie's name, and the event's number in it.
    class_ : str
    facts : Facts
        From the movie's name.
    event : Event
    pixel_size_um : float or None
    """

    name: str
    class_: str
    facts: Facts
    event: Event
    pixel_size_um: float | None


def cut_events(source: Path, folder: Path, options: MitosisPrepareOptions) -> list[Cut]:
    """Cut every labelled division out of the movies of a folder.

    Parameters
    ----------
    source : Path
        A folder of movies, or one movie.
    folder : Path
        Where the sequences go: ``<movie>/<number>.tif``.
    options : MitosisPrepareOptions
        Uses ``events``, ``frames_before``, ``window``, ``nuclei_channel`` and what chooses planes.

    Returns
    -------
    list of Cut

    Raises
    ------
    UsageError, DatasetError
        The table cannot be read, an event lies outside its movie or has no class, or no movie has an event.
    """
    table = Path(str(options.events))
    events = read_events(table)
    for line in events.notes:
        note(f"{table.name}: {line}")
    cuts: list[Cut] = []
    for entry in resolve_inputs([source], MOVIE_SUFFIXES):
        own, notes = events_of(events, Path(entry.path), table.name)
        for line in notes:
            note(line)
        if own:
            stem = PurePosixPath(entry.image).with_suffix("").as_posix()
            cuts += cut_movie(Path(entry.path), stem, own, folder, table.name, options)
    if not cuts:
        raise DatasetError(f"{table.name} names no division of a movie in {source}")
    return cuts


def cut_movie(
    path: Path,
    stem: str,
    events: list[Event],
    folder: Path,
    table: str,
    options: Any,
    pixel_size_um: float | None = None,
) -> list[Cut]:
    """Cut the labelled divisions of one movie.

    Parameters
    ----------
    path : Path
    stem : str
        The movie's name, first part of those of its sequences.
    events : list of Event
    folder : Path
        As for `cut_events`.
    table : str
        What named the divisions, for messages.
    options
        As for `cut_events`, or those of `predict`.
    pixel_size_um : float, optional
        What a person gave; None for what the file says.

    Raises
    ------
    DatasetError
        An event lies outside the movie or has no class; the movie cannot be read.
    """
    for event in events:
        if not event.class_:
            raise DatasetError(
                f"{table}, {event.source}: the division has no class; a table needs a column class, in TrackMate the "
                "spot or the track is named by it, such as abnormal"
            )
    try:
        movie = open_movie(path, choice=Choice.of(options))
        check_events(events, (movie.frames, movie.height, movie.width), table)
        before, windows = options.frames_before, []
        for event in events:
            frames = window_frames(event.frame, before, FRAMES, movie.frames)
            side = round(event.size or options.window)
            windows.append(Window(frames, (event.y, event.x), side, before))
        gather(windows, movie.iterate(sorted({int(frame) for window in windows for frame in window.frames})))
    except InputError as error:
        text = str(error)
        raise DatasetError(text if path.name in text else f"{one_line(path)}: {text}") from error
    facts, pixel = parse_name(path.stem), pixel_size_um or movie.pixel_size_um
    cuts = []
    for number, (event, window) in enumerate(zip(events, windows, strict=True), 1):
        kind = window.patches.dtype
        pair = two_channels(window.patches, nuclei_channel=options.nuclei_channel)
        centres = np.full((len(pair), 2), (pair.shape[2] - 1) / 2)
        if getattr(options, "follow", True):
            centres = follow(pair[:, 1], window.at_event, window.side)
        cropped = crop(np.moveaxis(pair, 1, -1), centres, window.side)
        stored = cropped if kind == np.float32 else np.rint(cropped).astype(kind)
        name = f"{stem}/{number:04d}"
        write_sequence(folder / f"{name}.tif", stored, pixel_size_um=pixel, interval_s=movie.interval_s)
        cuts.append(Cut(name, event.class_, facts, event, pixel))
    return cuts
