"""The sequences of a dataset to be prepared: in class folders, or around the divisions that a table names in movies."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from cellscope.assays.mitosis.datasets import reviewed
from cellscope.assays.mitosis.datasets.events import Cut, cut_events, cut_movie
from cellscope.assays.mitosis.options import MitosisPrepareOptions
from cellscope.assays.mitosis.sequences.channels import two_channels
from cellscope.assays.mitosis.sequences.names import Facts, normal_class, parse_name
from cellscope.errors import DatasetError, InputError, UsageError
from cellscope.io.annotations.names import Images
from cellscope.io.annotations.tally import Tally, gathering, note
from cellscope.io.choice import Choice
from cellscope.io.inputs import Input, resolve_inputs
from cellscope.io.movie import MOVIE_SUFFIXES, open_movie
from cellscope.io.sequence import write_sequence
from cellscope.io.splits import SPLITS, Item
from cellscope.io.table import read_table
from cellscope.io.text import one_line

CLASSES = ("normal", "abnormal")
_FOLDERS = {"normalmitosis": "normal", "abnormalmitosis": "abnormal", "normal": "normal", "abnormal": "abnormal"}
_KEPT = {"test": "test"}
"""Folders above the class folders that say what their sequences are kept for: the authors' TEST beside TRAIN."""


class _Record(NamedTuple):
    """A sequence of a source: its class, its split where one is stated, and how to read it."""

    source: str
    entry: Input
    class_: str
    facts: Facts
    split: str
    nuclei_channel: int
    choice: Choice
    pixel_size_um: float | None = None


@dataclass
class Found:
    """The sequences of all sources, written.

    Attributes
    ----------
    items : list of Item
    rows : list of dict
        Of ``sequences.csv``.
    sizes : list of float or None
        Pixel sizes, um.
    stated : list of str
        The split that a folder or table gives each; empty where none does.
    tallies : list of Tally
        One per source.
    """

    items: list[Item] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    sizes: list[float | None] = field(default_factory=list)
    stated: list[str] = field(default_factory=list)
    tallies: list[Tally] = field(default_factory=list)

    def add(self, item: Item, facts: Facts, size: float | None, stated: str = "") -> None:
        """Add a sequence."""
        self.items.append(item)
        self.rows.append({"id": item.id, **asdict(facts)})
        self.sizes.append(size)
        self.stated.append(stated)


def found_in_folders(sources: list[Path], out: Path, options: MitosisPrepareOptions) -> Found:
    """Read the sequences of class folders."""
    found, stated = Found(), _stated(options.table)
    records: list[_Record] = []
    movies = []
    for folder in sources:
        with gathering() as tally:
            own = _records(folder, stated, options)
            seen = list(reviewed.reviewed_movies(folder)) if reviewed.detect(folder) else []
        for class_ in [*(record.class_ for record in own), *(event.class_ for one in seen for event in one.events)]:
            tally.image([class_])
        records += own
        movies += [(folder.resolve().name, one) for one in seen]
        found.tallies.append(tally)
    if records and all(record.split == "test" for record in records) and not stated:
        records = [record._replace(split="") for record in records]  # a folder called test with nothing beside it
    called = {event.class_ for _, one in movies for event in one.events}
    two_classes({record.class_ for record in records} | called, options.normal)
    _same_channels(records)
    shutil.rmtree(out / "sequences", ignore_errors=True)
    for record in records:
        source, entry, class_, facts, split, *_ = record
        path = _path(source, entry)
        size = _store(record, out / "sequences" / path)
        group = facts.group if facts.position or facts.dose else PurePosixPath(entry.image).stem
        item = Item(
            f"{source}/{entry.image}",
            f"{source}/{group}",
            f"sequences/{path}",
            class_=class_,
            facts=origin_of(facts),
        )
        found.add(item, facts, size, split)
    for source, one in movies:
        stem = PurePosixPath(one.image).with_suffix("").as_posix()
        how = one.table, one.options, one.pixel_size_um
        _add_cuts(found, source, cut_movie(one.path, stem, one.events, out / "sequences" / source, *how))
    return found


def found_in_movies(sources: list[Path], out: Path, options: MitosisPrepareOptions) -> Found:
    """Cut sequences out of movies around the labelled divisions of a table; those of one movie position are a group."""
    found = Found()
    if options.table is not None:
        raise UsageError("--table is of sequences in class folders; with --events the table of events has the classes")
    shutil.rmtree(out / "sequences", ignore_errors=True)
    for source in sources:
        name = source.resolve().name if source.is_dir() else source.stem
        with gathering() as tally:
            cuts = cut_events(source, out / "sequences" / name, options)
        found.tallies.append(tally)
        for item in _add_cuts(found, name, cuts):
            tally.image([item.class_])
    return found


def _add_cuts(found: Found, source: str, cuts: list[Cut]) -> list[Item]:
    """Add sequences cut out of movies; those of one movie position are a group."""
    items = []
    for cut in cuts:
        class_ = _FOLDERS.get(cut.class_.lower(), cut.class_)
        group = cut.facts.group if cut.facts.position or cut.facts.dose else cut.name.rpartition("/")[0]
        facts = origin_of(cut.facts) | {"track": cut.event.track, "spot": cut.event.spot}
        path = f"sequences/{source}/{cut.name}.tif"
        items.append(Item(f"{source}/{cut.name}", f"{source}/{group}", path, class_=class_, facts=facts))
        found.add(items[-1], cut.facts, cut.pixel_size_um)
    return items


def two_classes(names: set[str], normal: str | None) -> tuple[list[str], str]:
    """Order classes, the normal one first and the usual abnormal one last, and tell which is the normal one.

    Raises
    ------
    DatasetError, UsageError
        If there is one class only, or it cannot be told which is the normal one.
    """
    if len(names) < 2:
        raise DatasetError(
            f"all sequences are of one class, {one_line(min(names, default='none'))}; a classifier needs two: normal "
            "and abnormal divisions, each in a folder of its own"
        )
    listed = ", ".join(map(one_line, sorted(names)))
    if normal is not None and normal not in names:
        raise UsageError(f"--normal {normal}: there is no such class; there are {listed}")
    chosen = normal or normal_class(sorted(names))
    if chosen is None:
        raise UsageError(
            f"which class is the normal one? Of {listed} name it with --normal; all others count as abnormal"
        )
    others = sorted(names - {chosen}, key=lambda name: (name == CLASSES[1], name))
    return [chosen, *others], chosen


def origin_of(facts: Facts) -> dict[str, str]:
    """Say where a sequence comes from, for ``--leave-out``."""
    return {"line": facts.line, "day": facts.date, "dose": facts.dose}


def _records(source: Path, table: dict[str, dict[str, str]], options: MitosisPrepareOptions) -> list[_Record]:
    """List the sequences of a source; those of a reviewed run are read as the run read them."""
    if not source.is_dir():
        raise DatasetError(f"{source}: no such folder; give the folder that holds the class folders")
    if reviewed.detect(source):
        name = source.resolve().name
        found = []
        for one, class_ in reviewed.reviewed_sequences(source):
            given, pixel = reviewed.reading(source, one)
            facts = parse_name(PurePosixPath(one.image).stem)
            entry, choice = Input(one.path, one.image), Choice.of(given)
            found.append(_Record(name, entry, class_, facts, "", given.nuclei_channel, choice, pixel))
        return found
    found = []
    entries = resolve_inputs([source], MOVIE_SUFFIXES)
    stated = _matched(table, entries, source)
    for entry in entries:
        parts = PurePosixPath(entry.image).parts
        said = stated.get(entry, {})
        folder = parts[-2] if len(parts) > 1 else ""
        class_ = said.get("class") or folder
        class_ = _FOLDERS.get(class_.lower(), class_)
        if not class_:
            raise DatasetError(
                f"{entry.path} lies in no class folder; make one folder per class, or name it in --table"
            )
        facts = parse_name(PurePosixPath(entry.image).stem)
        known = {fact.name: said[fact.name] for fact in fields(Facts) if said.get(fact.name)}
        above = [part.lower() for part in (source.resolve().name, *parts[:-1])]
        split = said.get("split") or next((_KEPT[part] for part in above if part in _KEPT), "")
        if split not in ("", *SPLITS):
            raise UsageError(f"--table: {one_line(split)} is no split; there are {', '.join(SPLITS)}")
        how = options.nuclei_channel, Choice.of(options)
        found.append(_Record(source.resolve().name, entry, class_, replace(facts, **known), split, *how))
    return found


def _stated(table: Path | None) -> dict[str, dict[str, str]]:
    """Read the table of facts: image -> row; an image named twice is an error."""
    rows: dict[str, dict[str, str]] = {}
    for row in [] if table is None else read_table(table, ("image",)):
        if row["image"] in rows:
            raise UsageError(f"{table}: the image {one_line(row['image'])} is named twice")
        rows[row["image"]] = row
    return rows


def _matched(table: dict[str, dict[str, str]], entries: list[Input], source: Path) -> dict[Input, dict[str, str]]:
    """Give each sequence its row: by its name, with or without folders, suffix and regard to case."""
    if not table:
        return {}
    images = Images(source.resolve(), [source.resolve() / entry.image for entry in entries])
    by_path = {source.resolve() / entry.image: entry for entry in entries}
    found: dict[Input, dict[str, str]] = {}
    for name, row in table.items():
        try:
            entry = by_path[images.find(name, Path("--table"))]
        except DatasetError as error:
            if "several images" in str(error):
                raise
            note(f"--table: no sequence of {one_line(source.name)} is called {one_line(name)}")
            continue
        if entry in found:
            raise DatasetError(f"--table: two rows are of {one_line(entry.image)}")
        found[entry] = row
    return found


def _same_channels(records: list[_Record]) -> None:
    """Raise DatasetError for a file that cannot be opened, or whose channels differ from those of the others."""
    first: dict[str, Any] = {}
    for record in records:
        entry = record.entry
        try:
            movie = open_movie(entry.path, choice=record.choice)
        except InputError as error:
            raise DatasetError(str(error)) from error
        first = first or {"path": entry.path, "channels": movie.channels}
        if movie.channels != first["channels"]:
            raise DatasetError(
                f"{entry.path} has {movie.channels} channels and {first['path']} {first['channels']}; "
                "prepare sequences of one layout at a time"
            )


def _path(source: str, entry: Input) -> str:
    return PurePosixPath(source, entry.image).with_suffix(".tif").as_posix()


def _store(record: _Record, path: Path) -> float | None:
    """Write a sequence with its two channels; return its pixel size."""
    entry = record.entry
    try:
        movie = open_movie(entry.path, choice=record.choice)
        if movie.frames < 2:
            raise InputError(f"{entry.path}: one frame is not a sequence")
        frames = movie.read()
        pair = two_channels(frames, nuclei_channel=record.nuclei_channel)
    except InputError as error:
        text = str(error)
        raise DatasetError(text if str(entry.path) in text else f"{entry.path}: {text}") from error
    stored = pair if frames.dtype == np.float32 else np.rint(pair).astype(frames.dtype)
    pixel = record.pixel_size_um or movie.pixel_size_um
    write_sequence(path, np.moveaxis(stored, 1, -1), pixel_size_um=pixel, interval_s=movie.interval_s)
    return pixel
