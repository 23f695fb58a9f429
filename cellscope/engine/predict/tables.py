"""The CSV tables of a run: values become text once, and after that tables are only copied, joined and streamed as text.

That way a table is the same bytes whether its rows come straight from the run, from a journal after a crash, from an
earlier run or from a shard.
"""

from __future__ import annotations

import csv
import itertools
import math
import os
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from cellscope.errors import CellscopeError
from cellscope.io.text import no_formula
from cellscope.io.write import atomic

if TYPE_CHECKING:
    import pandas as pd

OBJECTS = "objects"
"""Name of the table every run writes besides ``images.csv``."""


class LongRows(Collection[list[str]]):
    """Rows kept in a file, read as often as they are asked for; what a slide adds to a table is too much for memory.

    Parameters
    ----------
    path
        From `write_long_rows`; the file stays where it is.
    count
        Number of rows.
    """

    def __init__(self, path: Path, count: int):
        self.path = path
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[list[str]]:
        with _open(self.path, "r") as stream:
            yield from csv.reader(stream)

    def __contains__(self, row: object) -> bool:
        return any(each == row for each in self)


LONG = 50_000
"""From this many rows on they are kept in a file."""


def write_long_rows(path: Path, rows: Iterable[Sequence[str]]) -> LongRows:
    """Write rows to a file of their own and return them as `LongRows`."""
    count = 0
    with atomic(path) as temporary, _open(temporary, "w") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        for row in rows:
            writer.writerow(row)
            count += 1
    return LongRows(path, count)


@dataclass
class Sheet:
    """The rows one image adds to a table, as text, without the ``image`` column."""

    columns: list[str]
    rows: Collection[list[str]] = field(default_factory=list)


def printable(name: str) -> str:
    """Return a file name as tables show it: bytes that are not valid UTF-8 are escaped."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def text(value: Any) -> str:
    """Return a table cell.

    Undefined values (None, NaN, NA) are empty; floats keep six significant digits, ten from 100,000 on (as
    `cellscope.io.write.write_csv` does), so that
    the last bits, which depend on the batch a number was computed in, do not show; lists are joined with ``"; "``; a
    text that a spreadsheet would take for a formula gets an apostrophe.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return no_formula(value)
    if isinstance(value, (bool, np.bool_)):
        return "True" if value else "False"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return _float_text(float(value))
    if isinstance(value, (list, tuple)):
        return no_formula("; ".join(map(text, value)))
    shown = str(value)
    return "" if shown in ("<NA>", "NaT") else no_formula(shown)


def _float_text(value: float) -> str:
    if math.isnan(value):
        return ""
    if math.isinf(value):
        raise ValueError("an infinite value in a table; what is undefined must be None or NaN")
    shown = f"{value:.6g}" if abs(value) < 1e5 else f"{value:.10g}"
    return "0" if shown == "-0" else shown


def to_sheet(frame: pd.DataFrame) -> Sheet:
    """Turn a frame into text, column by column."""
    columns = [str(name) for name in frame.columns]
    cells = [[text(value) for value in frame.iloc[:, column].tolist()] for column in range(len(columns))]
    return Sheet(columns, [list(row) for row in zip(*cells, strict=True)])


def to_long_sheet(frames: Iterable[pd.DataFrame], path: Path) -> Sheet:
    """Turn frames of the same columns into text, one at a time, the rows in a file.

    Raises
    ------
    ValueError
        No frame, or one of other columns.
    """
    columns: list[str] | None = None

    def rows() -> Iterator[list[str]]:
        nonlocal columns
        for frame in frames:
            sheet = to_sheet(frame)
            if columns is not None and sheet.columns != columns:
                raise ValueError(f"rows with other columns than the first: {sheet.columns}")
            columns = sheet.columns
            yield from sheet.rows

    kept = write_long_rows(path, rows())
    if columns is None:
        raise ValueError("rows without a single frame: their columns are not known")
    return Sheet(columns, kept)


class ColumnOrder:
    """The columns of a table in the order the inputs first showed them.

    It is kept with the run (``first``), so that tables joined from shards have their columns where one run puts them.
    """

    def __init__(self, leading: Sequence[str] = ()):
        self.leading = list(leading)
        self.first: dict[str, tuple[int, int]] = {}

    def see(self, index: int, columns: Iterable[str]) -> None:
        """Note the columns of the input at this index in the list of inputs. The order of calls does not matter."""
        for position, name in enumerate(columns):
            self.first[name] = min(self.first.get(name, (index, position)), (index, position))

    def columns(self) -> list[str]:
        """Return the leading columns and then the others, the first seen first."""
        others = sorted((index, name) for name, index in self.first.items() if name not in self.leading)
        return self.leading + [name for _, name in others]

    def record(self) -> dict[str, Any]:
        """Return the order as JSON."""
        return {"leading": self.leading, "first": {name: list(index) for name, index in sorted(self.first.items())}}

    @classmethod
    def from_records(cls, records: Iterable[dict[str, Any]]) -> ColumnOrder:
        """Join the orders of several shards."""
        order = cls()
        for record in records:
            order.leading += [name for name in record["leading"] if name not in order.leading]
            for name, (index, position) in record["first"].items():
                order.first[name] = min(order.first.get(name, (index, position)), (index, position))
        return order


def _open(path: Path, mode: str) -> IO[str]:
    return open(path, mode, encoding="utf-8", errors="backslashreplace", newline="")


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a CSV file row by row, under a temporary name until it is complete."""
    with atomic(path) as temporary, _open(temporary, "w") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_sheets(
    path: Path, columns: Sequence[str], images: Iterable[str], sheet: Callable[[str], Sheet | None]
) -> None:
    """Write a table such as ``objects.csv``, one image's rows in memory at a time.

    Parameters
    ----------
    path
        The file.
    columns
        All columns, ``image`` first. A row without a column leaves its cell empty.
    images
        In the order of the table.
    sheet
        The rows of an image, or None.
    """
    write_rows(path, columns, _rows(columns, images, sheet))


def _rows(columns: Sequence[str], images: Iterable[str], sheet: Callable[[str], Sheet | None]) -> Iterator[list[str]]:
    for image in images:
        found = sheet(image)
        if found is None or not found.rows:
            continue
        positions = {name: number for number, name in enumerate(found.columns)}
        picks = [positions.get(name) for name in columns[1:]]
        for row in found.rows:
            yield [image, *("" if pick is None else row[pick] for pick in picks)]


def read_rows(path: Path) -> tuple[list[str], Iterator[list[str]]]:
    """Open a CSV file.

    Returns
    -------
    tuple
        The header and an iterator over the rows, all text.

    Raises
    ------
    CellscopeError
        The file is missing, empty or has rows of another length.
    """

    def rows() -> Iterator[list[str]]:
        try:
            with _open(path, "r") as stream:
                yield from csv.reader(stream)
        except (OSError, csv.Error) as error:
            raise CellscopeError(f"{path} cannot be read: {error}; run again with --overwrite") from None

    lines = rows()
    header = next(lines, None)
    if not header:
        raise CellscopeError(f"{path} is empty; run again with --overwrite")

    def checked() -> Iterator[list[str]]:
        for row in lines:
            if len(row) != len(header):
                raise CellscopeError(f"{path} has a row of {len(row)} cells under {len(header)} columns")
            yield row

    return header, checked()


class SheetReader:
    """Read a table image by image, forwards only: each image's rows stand together, in the order of the inputs."""

    def __init__(self, path: Path):
        self.path = path
        header, rows = read_rows(path)
        if header[0] != "image":
            raise CellscopeError(f"{path} does not start with a column 'image'")
        self.columns = header[1:]
        self._groups = itertools.groupby(rows, key=lambda row: row[0])
        self._next: tuple[str, Collection[list[str]]] | None = None
        self._folder: tempfile.TemporaryDirectory | None = None  # for long rows, as long as this reader
        self._step()

    def _step(self) -> None:
        found = next(self._groups, None)
        self._next = None if found is None else (found[0], self._rows(row[1:] for row in found[1]))

    def _rows(self, rows: Iterator[list[str]]) -> Collection[list[str]]:
        first = list(itertools.islice(rows, LONG))
        if len(first) < LONG:
            return first
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="cellscope-")
        number = len(os.listdir(self._folder.name))
        return write_long_rows(Path(self._folder.name) / f"{number}.csv", itertools.chain(first, rows))

    def read(self, image: str) -> Sheet:
        """Return the rows of an image: those that come next in the file, or none if the next are another image's."""
        if self._next is None or self._next[0] != printable(image):
            return Sheet(self.columns)
        rows = self._next[1]
        self._step()
        return Sheet(self.columns, rows)

    def check_end(self) -> None:
        """Raise CellscopeError if rows are left: they belong to no known image or stand in another order."""
        if self._next is not None:
            raise CellscopeError(f"{self.path} has rows of {self._next[0]!r} out of place; run again with --overwrite")
