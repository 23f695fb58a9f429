"""`cellscope mitosis prepare`: class folders of sequences to a prepared dataset, split by position."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellscope.assays.mitosis.datasets.found import found_in_folders, found_in_movies, two_classes
from cellscope.assays.mitosis.datasets.sequences import SEQUENCES
from cellscope.assays.mitosis.options import MitosisPrepareOptions
from cellscope.assays.mitosis.sequences.names import normal_class
from cellscope.engine.regroup import regroup
from cellscope.errors import UsageError
from cellscope.io.annotations.tally import tell
from cellscope.io.movie import open_movie
from cellscope.io.prepared import write_dataset
from cellscope.io.splits import Item, divided, without_test
from cellscope.io.write import write_csv
from cellscope.report.preview import Shown, write_preview
from cellscope.report.thumbnails import to_display

FORMATS = ("folders",)


def prepare(sources: list[Path], out: Path, options: MitosisPrepareOptions) -> int:
    """Read sequences from class folders and write them with two channels, grouped by movie position.

    Parameters
    ----------
    sources : list of Path
        Folders whose sub-folders are classes: ``NormalMitosis`` and ``AbnormalMitosis``, ``normal`` and ``abnormal``,
        or any others; with ``--events``, movies or folders of movies.
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
    found = found_in_movies(sources, out, options) if options.events else found_in_folders(sources, out, options)
    classes, normal = two_classes({item.class_ for item in found.items}, options.normal)
    items = regroup(found.items, options.group_by)
    known = [size for size in found.sizes if size]
    items, splits = _divided(items, found.stated, options)
    write_csv(out / SEQUENCES, pd.DataFrame(sorted(found.rows, key=lambda row: row["id"])))
    write_dataset(
        out,
        items,
        assay="mitosis",
        classes=classes,
        sources=_sources(items, "movies" if options.events else "folders"),
        pixel_size_um=round(float(np.median(known)), 6) if known else None,
        seed=options.seed,
        splits=splits,
        folds=options.folds,
        extra={"normal": normal} if normal_class(classes) != normal else None,
    )
    write_preview(out, items, partial(_shown, out))
    counts = Counter(item.class_ for item in items)
    said = ", ".join(f"{counts[name]} {name}" for name in classes)
    print(f"{len(items)} sequences ({said}) in {len({item.group for item in items})} groups", file=sys.stderr)
    for folder, tally in zip(sources, found.tallies, strict=True):
        tell(folder.resolve().name, tally)
    print(f"the class of normal divisions is {normal}", file=sys.stderr)
    return 0


def _shown(out: Path, item: Item) -> Shown:
    """Read an item for the preview: four frames, transmitted light with the nuclei in red."""
    movie = open_movie(out / item.image)
    frames = movie.read(sorted({round(at) for at in np.linspace(0, movie.frames - 1, 4)}))
    light, nuclei = (to_display(np.hstack(list(frames[..., channel]))) for channel in (0, 1))
    strip = np.dstack([np.maximum(light, nuclei), light, light])
    half = strip.shape[1] // 2
    return Shown(np.vstack([strip[:, :half], strip[:, half : 2 * half]]), caption=item.class_)


def _divided(
    items: list[Item], stated: list[str], options: MitosisPrepareOptions
) -> tuple[list[Item], tuple[float, float, float]]:
    """Fix the splits that folders (TRAIN, TEST), tables and options name; give the shares for the rest.

    Sequences that the authors kept for testing stay apart from those of the same movie position that they did not:
    their division is kept, and said to share positions.
    """
    items, splits = divided(items, _shares(options), held_out=options.hold_out, table=options.split_table)
    if not any(stated):
        return items, splits
    if "test" in stated:
        splits = without_test(splits)
    shared = {item.group for item, split in zip(items, stated, strict=True) if split == "test"} & {
        item.group for item, split in zip(items, stated, strict=True) if split != "test"
    }
    if shared:
        print(
            f"warning: {len(shared)} movie positions have sequences in the test split and in others, as the division "
            "that was given has it",
            file=sys.stderr,
        )
    return [
        replace(item, fixed_split=split, group=f"{item.group}/{split}" if item.group in shared else item.group)
        if split
        else item
        for item, split in zip(items, stated, strict=True)
    ], splits


def _shares(options: MitosisPrepareOptions) -> tuple[float, float, float]:
    if options.validation_share is None:
        return options.splits
    rest = 1 - options.splits[2]
    return (rest * (1 - options.validation_share), rest * options.validation_share, options.splits[2])


def _sources(items: list[Item], layout: str) -> list[dict[str, Any]]:
    counts = Counter(item.source for item in items)
    return [
        {"name": name, "format": layout, "items": count, "licence": "as its owner states"}
        for name, count in sorted(counts.items())
    ]
