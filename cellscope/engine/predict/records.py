"""What ``run.json``, ``plan.json`` and the journal must hold before anything in them is used.

They lie in folders that people copy, edit and mount over a network, so their contents are checked like any other input.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from cellscope.errors import CellscopeError
from cellscope.io.document import misfit
from cellscope.io.text import one_line

Outcome = Literal["ok", "failed"]


class _Checked(BaseModel):
    """Fields that are used; others may stand beside them."""

    model_config = ConfigDict(extra="allow", strict=True)


class _Columns(_Checked):
    leading: list[str]
    first: dict[str, Annotated[list[int], Field(min_length=2, max_length=2)]]


class _Input(_Checked):
    image: str
    path: str
    index: int
    status: Literal["ok", "failed", "skipped"]
    error: str
    outputs: list[str]
    warnings: list[str]
    scene: int | None = None


class _Counts(_Checked):
    total: int
    ok: int
    failed: int
    skipped: int


class _Model(_Checked):
    part: str
    name: str
    path: str
    classes: list[str]


class _Shared(_Checked):
    group_by: str | None = None


class _Options(_Checked):
    __pydantic_extra__: dict[str, dict[str, Any]]

    run: _Shared = _Shared()


class _Editor(_Checked):
    suffix: str
    package: str
    script: str
    style: str
    title: str


class _Summary(_Checked):
    files: list[str] = []
    figures: list[str] = []
    warnings: list[str] = []


class _Run(_Checked):
    assay: str
    command: str
    status: str
    argv: list[str]
    started: str
    finished: str
    device: str
    precision: str
    threads: int
    counts: _Counts
    missing: list[str]
    models: list[_Model]
    identity: dict[str, Any]
    options: _Options
    columns: dict[str, _Columns]
    summary_columns: list[str]
    figures: dict[str, list[str]]
    editors: dict[str, _Editor] = {}
    summary: _Summary | None = None
    shard: str | None = None
    inputs: list[_Input]


class _Plan(_Checked):
    images: list[str]
    owners: list[int]
    identity: dict[str, Any]
    cards: dict[str, dict[str, Any]]


class _Header(_Checked):
    identity: dict[str, Any] = {}
    images: list[str] = []


class _Sheet(_Checked):
    columns: list[str]
    rows: list[list[str]] = []
    file: str = ""
    count: int = 0


class _Entry(_Checked):
    model_config = ConfigDict(extra="forbid", strict=True)

    image: str
    status: Outcome
    row: dict[str, str]
    path: str
    outputs: list[str]
    warnings: list[str]
    skipped: bool
    scene: int | None = None
    written: dict[str, list[int | str]] = {}
    tables: dict[str, _Sheet] = {}


_KINDS: dict[str, type[BaseModel]] = {"run": _Run, "plan": _Plan, "header": _Header, "entry": _Entry}


@lru_cache
def _adapter(kind: str) -> TypeAdapter:
    return TypeAdapter(_KINDS[kind])


def fault(content: Any, kind: str) -> str:
    """Say what is wrong with the contents of a record, or return an empty string.

    Parameters
    ----------
    content
        What JSON held.
    kind : str
        ``run``, ``plan``, or a journal's ``header`` or ``entry``.
    """
    try:
        _adapter(kind).validate_python(content)
    except ValidationError as error:
        return misfit(error)
    except RecursionError:
        return "it is nested too deep"
    return _row_fault(content) if kind == "entry" else ""


def _row_fault(entry: dict[str, Any]) -> str:
    for name, sheet in entry.get("tables", {}).items():
        if name == "objects" and "review" not in sheet["columns"]:
            return f"tables.{name}: there is no column review"
        if any(len(row) != len(sheet["columns"]) for row in sheet.get("rows", ())):
            return f"tables.{name}: a row is not as long as the columns are many"
    return row_fault(entry["row"])


def row_fault(row: Mapping[str, str]) -> str:
    """Say what is wrong with the cells of ``images.csv`` that are counted, or return an empty string."""
    objects, seconds = row.get("n_objects", ""), row.get("seconds", "")
    if row.get("status") not in ("ok", "failed"):
        return f"status is {one_line(row.get('status', ''))[:40]!r}"
    if objects and not (objects.isascii() and objects.isdecimal() and len(objects) < 18):
        return f"n_objects is {one_line(objects)[:40]!r}, not a number of objects"
    try:
        finite = not seconds or math.isfinite(float(seconds))
    except ValueError:
        finite = False
    return "" if finite else f"seconds is {one_line(seconds)[:40]!r}, not a time"


def check_row(row: Mapping[str, str], path: Path) -> None:
    """Raise CellscopeError if the counted cells of a row of ``images.csv`` are no numbers."""
    if wrong := row_fault(row):
        raise CellscopeError(f"{one_line(path)} cannot be used: {wrong}; run again with --overwrite")


def check(content: Any, kind: str, path: Path) -> dict[str, Any]:
    """Return the contents of a record if they are what they should be.

    Raises
    ------
    CellscopeError
        Naming the file and the field.
    """
    if wrong := fault(content, kind):
        raise CellscopeError(f"{one_line(path)} cannot be used: {wrong}; run again with --overwrite")
    found: dict[str, Any] = content
    return found
