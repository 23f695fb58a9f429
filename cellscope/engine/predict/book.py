"""What became of an input, and where it is written down: the journal of a run, or a list that goes back to it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cellscope.engine.predict.journal import Entry, Journal
from cellscope.engine.predict.outcome import Failure
from cellscope.engine.predict.tables import Sheet, text
from cellscope.errors import error_line, show_traceback
from cellscope.io.text import one_line

if TYPE_CHECKING:
    from cellscope.engine.familiarity.judge import Verdict
    from cellscope.engine.progress import RunProgress

SAID = 3
"""Inputs for which one and the same warning is written to stderr."""


@dataclass
class Recorded:
    """All that the tables need of one input.

    Attributes
    ----------
    entry
        Its line in the journal.
    sheets
        Table -> its rows.
    said
        What was odd in reading it.
    """

    entry: Entry
    sheets: dict[str, Sheet]
    said: tuple[str, ...] = ()


class Book(Protocol):
    """Takes down what became of inputs.

    Attributes
    ----------
    lasting
        What was taken down survives the end of this process.
    """

    lasting: bool

    def rows_file(self) -> Path:
        """Return a path for a file of long rows."""

    def write(self, recorded: Recorded) -> None:
        """Take down what became of one input."""


@dataclass
class ListBook:
    """Keep what became of inputs for somebody else to write down.

    Attributes
    ----------
    folder
        For files of long rows.
    recorded
        In the order of writing.
    """

    folder: Path
    recorded: list[Recorded] = field(default_factory=list)
    lasting: bool = False

    def rows_file(self) -> Path:
        """Return a path for a file of long rows."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"{secrets.token_hex(8)}.csv"

    def write(self, recorded: Recorded) -> None:
        """Keep it."""
        self.recorded.append(recorded)


class JournalBook:
    """Write what became of inputs to the journal, count it, and say on stderr what went wrong or was odd.

    Parameters
    ----------
    journal, progress
        Of the run.

    Attributes
    ----------
    done : set
        The images that have a line in the journal by this run.
    """

    lasting = True

    def __init__(self, journal: Journal, progress: RunProgress):
        self.journal = journal
        self.progress = progress
        self.done: set[str] = set()
        self._said: dict[str, int] = {}

    def rows_file(self) -> Path:
        """Return a path for a file of long rows."""
        return self.journal.rows_file()

    def write(self, recorded: Recorded) -> None:
        """Write an input's line."""
        entry = recorded.entry
        self._say(entry.image, recorded.said)
        self.journal.append(entry, recorded.sheets)
        self.done.add(entry.image)
        failed = entry.status == "failed"
        if failed:
            line = entry.row["error"]
            self.progress.note(line if entry.image in line else f"{one_line(entry.image)}: {line}")
        self.progress.step(failed=failed)

    def _say(self, image: str, warnings: tuple[str, ...]) -> None:
        """Write what was odd in reading an input to stderr, each thing for the first inputs that have it."""
        for warning in warnings:
            count = self._said[warning] = self._said.get(warning, 0) + 1
            if count <= SAID and not self.progress.quiet:
                more = "; further inputs of which this is true are in run.json" if count == SAID else ""
                self.progress.note(f"{one_line(image)}: {one_line(warning)}{more}")


def failed(failure: Failure, path: str, scene: int | None) -> Recorded:
    """Return what is written down of an input that failed.

    Parameters
    ----------
    failure
        What happened.
    path, scene
        Where the input was read from.
    """
    show_traceback(failure.error)
    row = {
        "status": "failed",
        "error": error_line(failure.error),
        "kind": failure.kind,
        "n_objects": "",
        "seconds": text(round(failure.seconds, 3)),
        **familiarity_cells(None),
        "read": "",
        "warnings": "0",
    }
    return Recorded(Entry(failure.name, "failed", row, path, scene=scene), {})


def familiarity_cells(verdict: Verdict | None) -> dict[str, str]:
    """Give the cells of ``images.csv`` that say how familiar an input is; empty where nothing is known."""
    return {
        "familiarity": text(None if verdict is None else verdict.familiarity),
        "unfamiliar": text(None if verdict is None else verdict.unfamiliar),
    }
