"""``--group-by``: which case, condition or folder each input belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from cellscope.errors import UsageError
from cellscope.io.inputs import Input
from cellscope.io.table import read_table

COLUMN = "group"
"""The last column of ``images.csv`` when groups were asked for."""

_COUNTER = re.compile(r"[\s_.-]*\d+$")
_TABLE = re.compile(r"(?P<path>.+\.(?:csv|tsv|txt)):(?P<column>[^:/\\]+)", re.IGNORECASE)


def groups_of(inputs: Sequence[Input], spec: str | None) -> dict[str, str]:
    """Give every input its group.

    Parameters
    ----------
    inputs
        All inputs of a run, before sharding: ``case`` looks at all of them.
    spec
        ``folder``: the parent folder of `image` (of an image at the top: the name of the folder it lies in).
        ``case``: the folder if the inputs lie in more than one, otherwise the file name without its suffix and
        trailing counter (``caseA_03.tif`` -> ``caseA``); a name that is only a counter belongs to its folder.
        ``TABLE.csv:COLUMN``: a CSV table with the columns ``image`` and COLUMN. Anything else is a regular expression
        with one group, searched in `image`. None: no groups.

    Returns
    -------
    dict
        ``image`` -> group; empty text for an input that the table or the expression does not know. Empty without
        `spec`.

    Raises
    ------
    UsageError
        A table that cannot be read, lacks a column or names an image twice; an expression that is not valid or has not
        exactly one group; no input belongs to any group.
    """
    if spec is None:
        return {}
    if spec in ("folder", "case"):
        several = len({PurePosixPath(entry.image).parent for entry in inputs}) > 1
        by_folder = spec == "folder" or several
        return {entry.image: _folder(entry) if by_folder else _case(entry) for entry in inputs}
    table = _TABLE.fullmatch(spec)
    found = _listed(inputs, table["path"], table["column"]) if table else _matched(inputs, spec)
    if not any(found.values()):
        what = "the table names" if table else "the expression matches"
        raise UsageError(f"--group-by {spec}: {what} none of the images (such as {inputs[0].image})")
    return found


def ungrouped(groups: Mapping[str, str]) -> list[str]:
    """Return the images without a group, in order."""
    return [image for image, group in groups.items() if not group]


def _folder(entry: Input) -> str:
    parent = PurePosixPath(entry.image).parent
    return parent.as_posix() if parent.parts else entry.path.absolute().parent.name


def _case(entry: Input) -> str:
    stem = PurePosixPath(entry.image).stem
    return _COUNTER.sub("", stem) or _folder(entry)


def _listed(inputs: Sequence[Input], path: str, column: str) -> dict[str, str]:
    known: dict[str, str] = {}
    for row in read_table(Path(path), ("image", column)):
        image, group = row["image"], row[column]
        if known.setdefault(image, group) != group:
            raise UsageError(f"{path}: {image} is listed twice, with {column} {known[image]} and {group}")
    return {entry.image: known.get(entry.image, "") for entry in inputs}


def _matched(inputs: Sequence[Input], spec: str) -> dict[str, str]:
    try:
        pattern = re.compile(spec)
    except re.error as error:
        known = "folder, case, TABLE.csv:COLUMN"
        raise UsageError(f"--group-by {spec}: neither {known} nor a regular expression ({error})") from error
    if pattern.groups != 1:
        raise UsageError(
            f"--group-by {spec}: the expression has {pattern.groups} groups and needs one, such as '(\\d+)Gy'; "
            "or give folder, case or TABLE.csv:COLUMN"
        )
    matches = {entry.image: pattern.search(entry.image) for entry in inputs}
    return {image: (match[1] or "") if match else "" for image, match in matches.items()}
