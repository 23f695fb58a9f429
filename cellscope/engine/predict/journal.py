"""The journal of a run: one line per finished input, so that a killed run loses nothing it had finished.

The file lies in the folder of the tables while the run goes on and is removed when ``run.json`` has been written. Its
first line says what the run was about to do; a last line cut short by a kill is dropped on reading.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from cellscope.engine.predict.records import fault
from cellscope.engine.predict.tables import LongRows, Sheet, write_long_rows
from cellscope.errors import CellscopeError, UsageError
from cellscope.io.durable import settle
from cellscope.io.lock import CAN_LOCK, lock

NAME = "journal.jsonl"
FOLDER = "journal.parts"
"""Beside the journal while it is there: rows and pieces of inputs too large for a line."""
SCHEMA = "cellscope.journal/1"
_START = b'{"schema":"cellscope.journal/1"'


@dataclass
class Entry:
    """What is known of one input.

    Attributes
    ----------
    image
        The contract's name.
    status
        ``ok`` or ``failed``.
    row
        Its cells of ``images.csv``, as text, without ``image``.
    path
        Where the input was read from.
    outputs
        Artefacts, relative to OUT, POSIX.
    warnings
        One line each.
    columns
        Table -> columns of its rows.
    written
        Output -> its size in bytes, when it was changed (ns) and its sha256; see `cellscope.io.durable`.
    skipped
        Taken over from an earlier run by ``--skip-existing``.
    scene
        Number of the file's scene that it is, where each is an input of its own.
    left_out
        Others were better: see `cellscope.engine.predict.best`. Not kept in the journal.
    """

    image: str
    status: str
    row: dict[str, str]
    path: str = ""
    outputs: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    columns: dict[str, list[str]] = field(default_factory=dict)
    written: dict[str, list[Any]] = field(default_factory=dict)
    skipped: bool = False
    scene: int | None = None
    left_out: bool = False


class Journal:
    """An open journal, locked against a second run in the same folder.

    Parameters
    ----------
    path
        The file; made if it is not there.
    header
        What this run is: written to a new file; an old file's own header is in `earlier`.
    fresh
        Empty an old file once it is locked; what it said is in `replaced`.

    Attributes
    ----------
    entries
        The entries so far, without their rows, by image. The last word on an image counts.
    earlier
        The header found in an old file, or None.
    replaced
        With `fresh`: the entries of the old file.
    folder
        Holds what is too large for a line; removed with the journal.

    Raises
    ------
    UsageError
        Another run holds the journal, or the file is not a journal.
    """

    def __init__(self, path: Path, header: dict[str, Any], *, fresh: bool = False):
        self.path = path
        self.folder = path.with_name(FOLDER)
        self.entries: dict[str, Entry] = {}
        self.replaced: dict[str, Entry] = {}
        self._offsets: dict[str, int] = {}
        self._stream = open(path, "a+b")  # noqa: SIM115 - open for as long as the run lasts
        if not lock(self._stream, patience=0.5):  # someone asking for the status holds it for a moment
            self._stream.close()
            raise UsageError(f"another run is writing to {path.parent}; wait for it or choose another -o")
        try:
            self.earlier = self._recover()
        except UsageError:
            if not fresh:
                self._stream.close()
                raise
        if fresh:
            self.replaced, self.entries, self.earlier = self.entries, {}, None
            self._stream.truncate(0)
            shutil.rmtree(self.folder, ignore_errors=True)
        if self.earlier is None:
            self._write({"schema": SCHEMA, **header})

    def _recover(self) -> dict[str, Any] | None:
        self._stream.seek(0)
        header: dict[str, Any] | None = None
        whole = 0
        for offset, end, record in _records(self._stream):
            if header is None:
                header = _header(record)
                if header is None:
                    raise UsageError(f"{self.path} is not a journal of this version; use --overwrite to start again")
            else:
                self._note(record, offset)
            whole = end
        if header is None and self._stream.seek(0, os.SEEK_END) and not _cut_short(self._stream):
            raise UsageError(f"{self.path} is not a journal; use --overwrite to start again")
        self._stream.truncate(whole)
        return header

    def _note(self, record: dict[str, Any], offset: int) -> None:
        entry = _entry(record)
        self.entries[entry.image] = entry
        self._offsets[entry.image] = offset

    def _write(self, record: dict[str, Any]) -> int:
        self._stream.seek(0, os.SEEK_END)
        offset = self._stream.tell()
        self._stream.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")
        self._stream.flush()
        return offset

    def append(self, entry: Entry, sheets: dict[str, Sheet]) -> None:
        """Add an entry with its rows; it survives the end of this process."""
        tables = {name: self._said(sheet) for name, sheet in sheets.items()}
        record = {
            "image": entry.image,
            "status": entry.status,
            "row": entry.row,
            "path": entry.path,
            "outputs": entry.outputs,
            "written": entry.written,
            "warnings": entry.warnings,
            "skipped": entry.skipped,
            "scene": entry.scene,
            "tables": tables,
        }
        self._note(dict(record), self._write(record))

    def sheet(self, image: str, table: str) -> Sheet | None:
        """Read back the rows an image adds to a table, or None."""
        if image not in self._offsets:
            return None
        self._stream.seek(self._offsets[image])
        found = json.loads(self._stream.readline())["tables"].get(table)
        if found is None:
            return None
        kept = found.get("file")
        return Sheet(found["columns"], LongRows(self.folder / kept, found["count"]) if kept else found["rows"])

    def rows_file(self) -> Path:
        """Return a path for a file of long rows that lives as long as the journal."""
        self.folder.mkdir(exist_ok=True)
        return self.folder / f"{secrets.token_hex(8)}.csv"

    def _said(self, sheet: Sheet) -> dict[str, Any]:
        rows = sheet.rows
        if not isinstance(rows, LongRows):
            return {"columns": sheet.columns, "rows": rows}
        if rows.path.parent != self.folder:  # of a reader that will be gone
            rows = write_long_rows(self.rows_file(), rows)
        settle([rows.path])
        return {"columns": sheet.columns, "file": rows.path.name, "count": rows.count}

    def close(self) -> None:
        """Close and unlock the file; it stays."""
        self._stream.close()

    def withdraw(self) -> None:
        """Remove the file if this run began it: it is refused, and leaves what was there as it found it."""
        if self.earlier is None:
            self.remove(unfinished=True)

    def remove(self, *, unfinished: bool = False) -> None:
        """Remove the file: the tables are written. Pieces of an unfinished run stay, for the run that goes on."""
        for path in self.folder.glob("*.csv"):
            path.unlink(missing_ok=True)
        if not unfinished or not any(self.folder.glob("*/*")):
            shutil.rmtree(self.folder, ignore_errors=True)
        if os.name == "nt":  # an open file cannot be removed there
            self._stream.close()
        self.path.unlink(missing_ok=True)
        self._stream.close()


def peek(path: Path) -> tuple[dict[str, Any], dict[str, Entry], bool]:
    """Look at a journal that may be in use.

    Returns
    -------
    tuple
        Header, entries by image, and whether a run holds it right now.

    Raises
    ------
    CellscopeError
        The file cannot be read or is not a journal.
    """
    entries: dict[str, Entry] = {}
    header: dict[str, Any] | None = None
    try:
        with open(path, "rb") as stream:
            running = CAN_LOCK and not lock(stream, shared=True)
            for _, _, record in _records(stream):
                if header is None:
                    header = _header(record)
                    if header is None:
                        break
                    continue
                entry = _entry(record)
                entries[entry.image] = entry
    except OSError as error:
        raise CellscopeError(f"{path} cannot be read: {error}") from None
    if header is None:
        raise CellscopeError(f"{path} is not a journal")
    return header, entries, running


def _records(stream: BinaryIO) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Give where each line begins and ends and what it says, up to the first that is damaged.

    A kill cuts the last line short; when a machine goes down, blocks can reach the disk out of order.
    """
    offset = 0
    for line in stream:
        end = offset + len(line)
        try:
            record = json.loads(line) if line.endswith(b"\n") else None
        except (ValueError, RecursionError):
            return
        if not isinstance(record, dict) or (offset and fault(record, "entry")):
            return
        yield offset, end, record
        offset = end


def _header(record: dict[str, Any]) -> dict[str, Any] | None:
    if fault(record, "header") or record.get("schema") != SCHEMA:
        return None
    return {"identity": {}, "images": [], **record}


def _entry(record: dict[str, Any]) -> Entry:
    tables = record.pop("tables", {})
    return Entry(**record, columns={name: sheet["columns"] for name, sheet in tables.items()})


def _cut_short(stream: BinaryIO) -> bool:
    """Tell whether a file may be the beginning of a journal: a kill came while its first line was written."""
    stream.seek(0)
    start = stream.read(len(_START))
    return _START.startswith(start) or not any(start)
