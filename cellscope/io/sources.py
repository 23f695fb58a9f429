"""The sources of `prepare`: their names and readers, how their records are stored, and the folder of the dataset."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from cellscope.errors import DatasetError, UsageError
from cellscope.io.annotations.picture import choosing
from cellscope.io.annotations.tally import Tally, gathering, tell
from cellscope.io.annotations.unread import why_unread
from cellscope.io.splits import Item
from cellscope.io.text import one_line
from cellscope.options.common import PrepareOptions

OWN = "the user's own"
"""Licence of a source that is no known one."""


class Reader(Protocol):
    """A module that reads one layout."""

    def detect(self, folder: Path, /) -> bool:
        """Tell whether `folder` is in its layout."""


def source_names(sources: Sequence[Path]) -> list[str]:
    """Give the name of every source, the first part of its items' ids: its folder's, or its file's without the suffix.

    Raises
    ------
    UsageError
        If two sources have the same name.
    """
    names = [source.resolve().stem if source.is_file() else source.resolve().name for source in sources]
    if len(set(names)) != len(names):
        raise UsageError("two sources have the same name; rename one, since ids are made from it")
    return names


def choose_format(source: Path, format: str | None, formats: Mapping[str, Reader]) -> str:
    """Tell a source's layout: the one asked for, else the first whose reader recognises it.

    Parameters
    ----------
    source : Path
        A folder or a file.
    format : str or None
    formats : mapping
        Layout's name -> reader, in the order they are tried.

    Raises
    ------
    UsageError
        If there is no such source or layout.
    DatasetError
        If no reader recognises the source.
    """
    if not source.exists():
        raise UsageError(f"{source} does not exist")
    if format is not None:
        if format not in formats:
            raise UsageError(f"unknown format {format!r}; use one of {', '.join(formats)}")
        return format
    for name, reader in formats.items():
        if reader.detect(source):
            return name
    said = why_unread(source)
    raise DatasetError(
        f"{one_line(source)} is in no known layout ({', '.join(formats)}){f': {said}' if said else ''}; or name the "
        "layout with --format"
    )


def recognise(
    sources: Sequence[Path], format: str | None, formats: Mapping[str, Reader]
) -> tuple[list[str], list[Tally]]:
    """Tell the layout of every source, as `choose_format` does, and count in its tally what that found."""
    layouts, tallies = [], []
    for source in sources:
        with gathering() as tally:
            layouts.append(choose_format(source, format, formats))
        tallies.append(tally)
    return layouts, tallies


def store_sources(
    sources: Sequence[Path],
    out: Path,
    options: PrepareOptions,
    formats: Mapping[str, Any],
    store: Callable[[Any, Path, str, Tally], list[Item]],
    *,
    folders: Iterable[str],
    names: Sequence[str] | None = None,
    licence: Callable[[str, str], str] = lambda name, layout: OWN,
    read: Callable[[Any, Path], Iterable[Any]] = lambda reader, source: reader.read(source),
) -> tuple[list[Item], list[dict[str, Any]]]:
    """Read every source in its layout and store its records in a new dataset; what was found is told on stderr.

    Parameters
    ----------
    sources : sequence of Path
    out : Path
        The dataset folder; an earlier dataset is removed once all sources are recognised.
    options : PrepareOptions
    formats : mapping
        Layout's name -> reader, in the order they are tried.
    store : callable
        ``store(record, source, name, tally)`` writes a record's files, counts what it holds and returns its items.
    folders : iterable of str
        Folders of the dataset.
    names : sequence of str, optional
        Of the sources; `source_names` by default.
    licence : callable
        ``licence(name, layout)`` of a source; the user's own by default.
    read : callable
        ``read(reader, source)`` -> records; the reader's own ``read`` by default.

    Returns
    -------
    items : list of Item
        Of all sources, in their order.
    facts : list of dict
        What ``dataset.json`` says of each source: ``name``, ``format``, ``items`` (their number), ``licence``.

    Raises
    ------
    UsageError
        `out` holds a dataset, a source or layout is not there, or two sources have the same name.
    DatasetError
        A source is in no known layout, or holds nothing.
    """
    refuse_existing(out, overwrite=options.overwrite)
    names = source_names(sources) if names is None else names
    layouts, tallies = recognise(sources, options.format, formats)
    clear_dataset(out, folders)
    items: list[Item] = []
    facts: list[dict[str, Any]] = []
    for source, name, layout, tally in zip(sources, names, layouts, tallies, strict=True):
        own: list[Item] = []
        with gathering(tally), choosing(options):
            for record in read(formats[layout], source):
                own += store(record, source, name, tally)
        if not own:
            raise DatasetError(f"{source} holds no annotated image in the layout '{layout}'")
        items += own
        facts.append({"name": name, "format": layout, "items": len(own), "licence": licence(name, layout)})
        print(f"{name}: {len(own)} items", file=sys.stderr)
        tell(name, tally)
    return items, facts


def refuse_existing(out: Path, *, overwrite: bool) -> None:
    """Refuse to write over a dataset that `out` already holds, unless `overwrite`.

    Raises
    ------
    UsageError
    """
    if (out / "dataset.json").exists() and not overwrite:
        raise UsageError(f"{out} already holds a dataset; use --overwrite or another folder")


def clear_dataset(out: Path, folders: Iterable[str]) -> None:
    """Remove an earlier dataset, `folders` and header, from `out`; nothing where there is none."""
    if (out / "dataset.json").exists():
        for part in folders:
            shutil.rmtree(out / part, ignore_errors=True)
        (out / "dataset.json").unlink()
