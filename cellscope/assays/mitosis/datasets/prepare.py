"""`cellscope mitosis prepare`: class folders of sequences to a prepared dataset, split by position."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from dataclasses import asdict, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from cellscope.assays.mitosis.datasets.sequences import SEQUENCES
from cellscope.assays.mitosis.options import MitosisPrepareOptions
from cellscope.assays.mitosis.sequences.channels import two_channels
from cellscope.assays.mitosis.sequences.names import Facts, parse_name
from cellscope.errors import DatasetError, InputError, UsageError
from cellscope.io.inputs import Input, resolve_inputs
from cellscope.io.movie import MOVIE_SUFFIXES, open_movie
from cellscope.io.prepared import Item, write_dataset
from cellscope.io.sequence import write_sequence
from cellscope.io.table import read_table
from cellscope.io.write import write_csv

CLASSES = ("normal", "abnormal")
_FOLDERS = {"normalmitosis": "normal", "abnormalmitosis": "abnormal"}
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
    records = [record for source in sources for record in _records(source, stated)]
    _same_channels(records)
    shutil.rmtree(out / "sequences", ignore_errors=True)
    items, rows, sizes = [], [], []
    for source, entry, class_, facts in records:
        size = _store(entry, out / "sequences" / _path(source, entry), options.nuclei_channel)
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
    known = [size for size in sizes if size]
    classes = _ordered(sorted({item.class_ for item in items}))
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
    )
    counts = Counter(item.class_ for item in items)
    said = ", ".join(f"{counts[name]} {name}" for name in classes)
    print(f"{len(items)} sequences ({said}) in {len({item.group for item in items})} groups", file=sys.stderr)
    return 0


def origin_of(facts: Facts) -> dict[str, str]:
    """Say where a sequence comes from, for ``--leave-out``."""
    return {"line": facts.line, "day": facts.date, "dose": facts.dose}


def _shares(options: MitosisPrepareOptions) -> tuple[float, float, float]:
    if options.validation_share is None:
        return options.splits
    rest = 1 - options.splits[2]
    return (rest * (1 - options.validation_share), rest * options.validation_share, options.splits[2])


def _records(source: Path, stated: dict[str, dict[str, str]]) -> list[tuple[str, Input, str, Facts]]:
    """List (source name, file, class, facts) of a source."""
    if not source.is_dir():
        raise DatasetError(f"{source}: no such folder; give the folder that holds the class folders")
    found = []
    for entry in resolve_inputs([source], MOVIE_SUFFIXES):
        parts = PurePosixPath(entry.image).parts
        said = stated.get(entry.image) or stated.get(parts[-1]) or {}
        folder = parts[-2] if len(parts) > 1 else ""
        class_ = said.get("class") or _FOLDERS.get(folder.lower(), folder)
        if not class_:
            raise DatasetError(
                f"{entry.path} lies in no class folder; make one folder per class, or name it in --table"
            )
        facts = parse_name(PurePosixPath(entry.image).stem)
        known = {field.name: said[field.name] for field in fields(Facts) if said.get(field.name)}
        found.append((source.resolve().name, entry, class_, replace(facts, **known)))
    return found


def _stated(table: Path | None) -> dict[str, dict[str, str]]:
    return {} if table is None else {row["image"]: row for row in read_table(table, ("image",))}


def _same_channels(records: list[tuple[str, Input, str, Facts]]) -> None:
    """Raise DatasetError for a file that cannot be opened, or whose channels differ from those of the others."""
    first: dict[str, Any] = {}
    for _, entry, _, _ in records:
        try:
            movie = open_movie(entry.path)
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


def _store(entry: Input, path: Path, nuclei_channel: int) -> float | None:
    """Write a sequence with its two channels; return its pixel size."""
    try:
        movie = open_movie(entry.path)
        if movie.frames < 2:
            raise InputError(f"{entry.path}: one frame is no sequence")
        frames = movie.read()
        pair = two_channels(frames, nuclei_channel=nuclei_channel)
    except InputError as error:
        text = str(error)
        raise DatasetError(text if str(entry.path) in text else f"{entry.path}: {text}") from error
    stored = pair if frames.dtype == np.float32 else np.rint(pair).astype(frames.dtype)
    write_sequence(path, np.moveaxis(stored, 1, -1), pixel_size_um=movie.pixel_size_um, interval_s=movie.interval_s)
    return movie.pixel_size_um


def _ordered(classes: list[str]) -> list[str]:
    """Put the usual classes in their usual order: the last is the positive one."""
    return [*(name for name in classes if name not in CLASSES), *(name for name in CLASSES if name in classes)]


def _sources(records: list[tuple[str, Input, str, Facts]]) -> list[dict[str, Any]]:
    counts = Counter(source for source, *_ in records)
    return [
        {"name": name, "format": "folders", "items": count, "licence": "as its owner states"}
        for name, count in sorted(counts.items())
    ]
