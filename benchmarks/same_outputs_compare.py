"""What differs between two recordings of ``same_outputs.py``, and which of it is meant."""

from __future__ import annotations

import csv
import fnmatch
import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WHOLE, ADDED, GONE = "(bytes)", "(added)", "(gone)"
"""Parts: of a file that has none, of a file or command that only the new recording has, that only the old has."""


@dataclass(frozen=True)
class Difference:
    """A file that differs.

    Attributes
    ----------
    command : str
    file : str
        Empty for a whole command.
    parts : tuple of str
        Columns, keys or sections; or `WHOLE`, `ADDED`, `GONE`.
    """

    command: str
    file: str
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Reason:
    """A kind of difference that is meant; `command`, `file` and `part` are patterns as of `fnmatch`."""

    command: str
    file: str
    part: str
    reason: str

    def explains(self, one: Difference, part: str) -> bool:
        """Tell whether a part of a difference is of this kind."""
        pairs = ((one.command, self.command), (one.file, self.file), (part, self.part))
        return all(fnmatch.fnmatchcase(value, pattern) for value, pattern in pairs)


def read_reasons(path: Path) -> list[Reason]:
    """Read a CSV file with the columns command, file, part and reason."""
    with path.open(newline="", encoding="utf-8") as stream:
        return [Reason(**row) for row in csv.DictReader(stream)]


def differences(before: dict[str, Any], after: dict[str, Any], names: list[str]) -> list[Difference]:
    """List what differs between the named commands of two recordings."""
    found = []
    for name in names:
        if name not in before or name not in after:
            found.append(Difference(name, "", (ADDED if name in after else GONE,)))
            continue
        files = before[name]["files"], after[name]["files"]
        for path in sorted({*files[0], *files[1]}):
            was, now = (each.get(path) for each in files)
            if was is None or now is None:
                found.append(Difference(name, path, (ADDED if was is None else GONE,)))
            elif was != now:
                changed = tuple(part for part in {**was, **now} if part and was.get(part) != now.get(part))
                found.append(Difference(name, path, changed or (WHOLE,)))
    return found


def compare(old: Path, new: Path, reasons: list[Reason] | None = None) -> bool:
    """Print what differs and is not explained, then how many files each reason explains; tell whether nothing is left.

    Parameters
    ----------
    old, new : Path
        Recordings.
    reasons : list of Reason, optional
        The first that fits is the reason of a part; a file is explained when all its parts are.
    """
    one, other = (json.loads(path.read_text("utf-8")) for path in (old, new))
    if one["schema"] != other["schema"]:
        sys.exit(f"{old} and {new} were not made by the same script; record both anew")
    before, after = one["commands"], other["commands"]
    names = [*before, *(name for name in after if name not in before)]
    if one["only"] != other["only"]:
        names = [name for name in names if name in before and name in after]
        print(f"only the {len(names)} commands that both recordings hold")
    found = differences(before, after, names)
    used: Counter[str] = Counter()
    left: dict[str, list[str]] = {}
    for each in found:
        fitting = {part: next((r for r in reasons or () if r.explains(each, part)), None) for part in each.parts}
        used.update({reason.reason for reason in fitting.values() if reason is not None})
        if unexplained := [part for part, reason in fitting.items() if reason is None]:
            left.setdefault(each.command, []).append(f"{each.file}: {', '.join(unexplained)}")
    for name, lines in left.items():
        print("\n  ".join([name, *lines]))
    same = sum(
        len({*before[name]["files"], *after[name]["files"]}) for name in names if name in before and name in after
    )
    print(f"{len(names)} commands: {same - len(found)} files the same, {len(found)} differ")
    for reason, count in used.most_common():
        print(f"{count:5} {reason}")
    missing = sum(map(len, left.values()))
    print(f"{missing} without a reason" if missing else "all differences have a reason" if found else "the same")
    return not missing
