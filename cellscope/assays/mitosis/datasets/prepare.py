"""`cellscope mitosis prepare`: class folders of sequences to a prepared dataset, split by position."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from cellscope.assays.mitosis.datasets.sequences import SEQUENCES
from cellscope.assays.mitosis.options import MitosisPrepareOptions
from cellscope.assays.mitosis.sequences.channels import two_channels
from cellscope.assays.mitosis.sequences.names import Facts, normal_class, parse_name
from cellscope.engine.regroup import regroup
from cellscope.errors import DatasetError, InputError, UsageError
from cellscope.io.annotations.names import Images
from cellscope.io.annotations.tally import gathering, note, tell
from cellscope.io.choice import Choice
from cellscope.io.inputs import Input, resolve_inputs
from cellscope.io.movie import MOVIE_SUFFIXES, open_movie
from cellscope.io.prepared import write_dataset
from cellscope.io.sequence import write_sequence
from cellscope.io.splits import Item
from cellscope.io.table import read_table
from cellscope.io.text import one_line
from cellscope.io.write import write_csv
from cellscope.report.preview import Shown, write_preview
from cellscope.report.thumbnails import to_display

CLASSES = ("normal", "abnormal")
_FOLDERS = {"normalmitosis": "normal", "abnormalmitosis": "abnormal", "normal": "normal", "abnormal": "abnormal"}
FORMATS = ("folders",)


def prepare(sources: list[Path], out: Path, options: MitosisPrepareOptions) -> int:
    """Read sequences from class folders and write them with two channels, grouped by movie position.

    Parameters
    ----------
    sources : list of Path
        Folders whose sub-folders are classes: ``NormalMitosis`` and ``AbnormalMitosis``, ``normal`` and ``abnormal``,
        or any others.
    out : Path
    options : MitosisPrepareOptions

    Returns
    -------
    int
        Exit code 0.

    Raises
    ------
    DatasetError
        No class folders, a sequence that cannot be used, sequences of different channels, a table that does not fit.
    """
    if options.format not in (None, *FORMATS):
        raise UsageError(f"--format {options.format}: mitosis knows {', '.join(FORMATS)}")
    for name in ("items.csv", "dataset.json"):
        if (out / name).exists() and not options.overwrite:
            raise UsageError(f"{out} already holds a dataset; give --overwrite or another -o")
    stated = _stated(options.table)
    found = []
    for folder in sources:
        with gathering() as tally:
            own = _records(folder, stated)
        for _, _, class_, _ in own:
            tally.image([class_])
        found.append((own, tally))
    records = [record for own, _ in found for record in own]
    classes, normal = _classes({class_ for _, _, class_, _ in records}, options.normal)
    _same_channels(records, Choice.of(options))
    shutil.rmtree(out / "sequences", ignore_errors=True)
    items, rows, sizes = [], [], []
    for source, entry, class_, facts in records:
        size = _store(entry, out / "sequences" / _path(source, entry), options.nuclei_channel, Choice.of(options))
        group = (
            f"{source}/{facts.group}" if facts.position or facts.dose else f"{source}/{PurePosixPath(entry.image).stem}"
        )
        items.append(
            Item(
                f"{source}/{entry.image}",
                group,
                f"sequences/{_path(source, entry)}",
                class_=class_,
                facts=origin_of(facts),
            )
        )
        rows.append({"id": items[-1].id, **asdict(facts)})
        sizes.append(size)
    items = regroup(items, options.group_by)
    known = [size for size in sizes if size]
    write_csv(out / SEQUENCES, pd.DataFrame(sorted(rows, key=lambda row: row["id"])))
    write_dataset(
        out,
        items,
        assay="mitosis",
        classes=classes,
        sources=_sources(records),
        pixel_size_um=round(float(np.median(known)), 6) if known else None,
        seed=options.seed,
        splits=_shares(options),
        folds=options.folds,
        extra={"normal": normal} if normal_class(classes) != normal else None,
    )
    write_preview(out, items, partial(_shown, out))
    counts = Counter(item.class_ for item in items)
    said = ", ".join(f"{counts[name]} {name}" for name in classes)
    print(f"{len(items)} sequences ({said}) in {len({item.group for item in items})} groups", file=sys.stderr)
    for folder, (_, tally) in zip(sources, found, strict=True):
        tell(folder.resolve().name, tally)
    print(f"the class of normal divisions is {normal}", file=sys.stderr)
    return 0


def _classes(names: set[str], normal: str | None) -> tuple[list[str], str]:
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


def _shown(out: Path, item: Item) -> Shown:
    """Read an item for the preview: four frames, transmitted light with the nuclei in red."""
    movie = open_movie(out / item.image)
    frames = movie.read(sorted({round(at) for at in np.linspace(0, movie.frames - 1, 4)}))
    light, nuclei = (to_display(np.hstack(list(frames[..., channel]))) for channel in (0, 1))
    strip = np.dstack([np.maximum(light, nuclei), light, light])
    half = strip.shape[1] // 2
    return Shown(np.vstack([strip[:, :half], strip[:, half : 2 * half]]), caption=item.class_)


def origin_of(facts: Facts) -> dict[str, str]:
    """Say where a sequence comes from, for ``--leave-out``."""
    return {"line": facts.line, "day": facts.date, "dose": facts.dose}


def _shares(options: MitosisPrepareOptions) -> tuple[float, float, float]:
    if options.validation_share is None:
        return options.splits
    rest = 1 - options.splits[2]
    return (rest * (1 - options.validation_share), rest * options.validation_share, options.splits[2])


def _records(source: Path, table: dict[str, dict[str, str]]) -> list[tuple[str, Input, str, Facts]]:
    """List (source name, file, class, facts) of a source."""
    if not source.is_dir():
        raise DatasetError(f"{source}: no such folder; give the folder that holds the class folders")
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
        known = {field.name: said[field.name] for field in fields(Facts) if said.get(field.name)}
        found.append((source.resolve().name, entry, class_, replace(facts, **known)))
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


def _same_channels(records: list[tuple[str, Input, str, Facts]], choice: Choice) -> None:
    """Raise DatasetError for a file that cannot be opened, or whose channels differ from those of the others."""
    first: dict[str, Any] = {}
    for _, entry, _, _ in records:
        try:
            movie = open_movie(entry.path, choice=choice)
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


def _store(entry: Input, path: Path, nuclei_channel: int, choice: Choice) -> float | None:
    """Write a sequence with its two channels; return its pixel size."""
    try:
        movie = open_movie(entry.path, choice=choice)
        if movie.frames < 2:
            raise InputError(f"{entry.path}: one frame is not a sequence")
        frames = movie.read()
        pair = two_channels(frames, nuclei_channel=nuclei_channel)
    except InputError as error:
        text = str(error)
        raise DatasetError(text if str(entry.path) in text else f"{entry.path}: {text}") from error
    stored = pair if frames.dtype == np.float32 else np.rint(pair).astype(frames.dtype)
    write_sequence(path, np.moveaxis(stored, 1, -1), pixel_size_um=movie.pixel_size_um, interval_s=movie.interval_s)
    return movie.pixel_size_um


def _sources(records: list[tuple[str, Input, str, Facts]]) -> list[dict[str, Any]]:
    counts = Counter(source for source, *_ in records)
    return [
        {"name": name, "format": "folders", "items": count, "licence": "as its owner states"}
        for name, count in sorted(counts.items())
    ]
