"""The sources of `prepare`: their names and readers, and the output folder of the dataset."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from cellscope.errors import DatasetError, UsageError
from cellscope.io.annotations.tally import Tally, gathering
from cellscope.io.annotations.unread import why_unread
from cellscope.io.text import one_line


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


def source_facts(name: str, layout: str, items: int, licences: Mapping[str, str]) -> dict[str, Any]:
    """Give what ``dataset.json`` says of a source; one that has no known licence is the user's own."""
    return {"name": name, "format": layout, "items": items, "licence": licences.get(name, "the user's own")}


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
