"""What became of each input, written down: its files, then its line in the journal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellscope.engine.assay import Assay, Result, Subject
from cellscope.engine.predict.artefacts import raise_if_full, write_artefacts
from cellscope.engine.predict.journal import Entry, Journal
from cellscope.engine.predict.pieces import Divided, Spool, file_key, spool_name
from cellscope.engine.predict.read import Failure
from cellscope.engine.predict.tables import OBJECTS, Sheet, text, to_long_sheet, to_sheet
from cellscope.engine.predict.workers import error_line, show_traceback
from cellscope.io.image import one_line
from cellscope.io.inputs import stem

if TYPE_CHECKING:
    from cellscope.engine.progress import RunProgress
    from cellscope.models.card import ModelCard


SAID = 3
"""Inputs for which one and the same warning is written to stderr."""


@dataclass
class Written:
    """What was written of an input."""

    result: Result
    outputs: list[str]
    sheets: dict[str, Sheet]
    seconds: float


@dataclass
class Writing:
    """An input whose artefacts are being written."""

    subject: Subject
    future: Future
    divided: Divided | None = None


class Ledger:
    """Write down what became of inputs; `write` and `join` alone may run in another thread.

    Parameters
    ----------
    assay, cards
        What results are made of.
    out : Path
        Where the artefacts go.
    journal : Journal
    progress : RunProgress
    paths : mapping
        Image -> its file, absolute.
    scenes : mapping
        Image -> number of its scene, of inputs that are one of several in a file.
    identity : mapping
        Of the run, see `cellscope.engine.provenance.identity`.
    done : set
        Gets the images that have a line.
    """

    def __init__(
        self,
        assay: Assay,
        cards: Mapping[str, ModelCard],
        out: Path,
        journal: Journal,
        progress: RunProgress,
        *,
        paths: Mapping[str, str],
        scenes: Mapping[str, int | None],
        identity: Mapping[str, Any],
        done: set[str],
    ):
        self.assay = assay
        self.cards = cards
        self.out = out
        self.journal = journal
        self.progress = progress
        self.paths = paths
        self.scenes = scenes
        self.identity = identity
        self.done = done
        self._said: dict[str, int] = {}

    def join(self, divided: Divided) -> Written:
        """Write the artefacts of a subject whose pieces are all there."""
        assert self.assay.join is not None
        start = time.perf_counter()
        written = self.write(divided.subject, self.assay.join(divided.subject, divided.spool))
        written.seconds = time.perf_counter() - start
        return written

    def write(self, subject: Subject, result: Result) -> Written:
        """Write a subject's artefacts, and put its rows into the form of the tables."""
        start = time.perf_counter()
        if result.rows is not None:
            sheets = {OBJECTS: to_long_sheet(result.rows.frames(), self.journal.rows_file())}
        else:
            sheets = {OBJECTS: to_sheet(result.objects)}
        sheets.update({name: to_sheet(frame) for name, frame in result.tables.items()})
        outputs = write_artefacts(self.out, stem(subject.name), result.artefacts)
        return Written(result, outputs, sheets, time.perf_counter() - start)

    def settle(self, writing: Writing) -> None:
        """Wait for an input's artefacts and give it its line: done, or failed in writing.

        Raises
        ------
        CellscopeError
            The disk is full.
        """
        subject = writing.subject
        try:
            written: Written = writing.future.result()
        except Exception as error:
            raise_if_full(error, self.out)
            self.failed(subject, error)
            return
        result = written.result
        row = {
            "status": "ok",
            "error": "",
            "kind": subject.kind,
            "n_objects": str(result.count),
            "seconds": text(round(subject.seconds + written.seconds, 3)),
            **{name: text(result.summary.get(name)) for name in self.assay.summaries(self.cards)},
        }
        warnings = list(dict.fromkeys([*subject.image.warnings, *result.warnings]))
        row |= {"read": subject.image.taken, "warnings": text(len(warnings))}
        scene = self.scenes.get(subject.name)
        entry = Entry(subject.name, "ok", row, self.paths[subject.name], written.outputs, warnings, scene=scene)
        self._say(subject)
        self._append(entry, written.sheets)
        self.progress.step()
        if writing.divided is not None:
            writing.divided.spool.remove()

    def not_read(self, failure: Failure) -> None:
        """Give an input that could not be read its line."""
        self._fail(failure.entry.image, "", failure.seconds, failure.error)

    def failed(self, subject: Subject, error: Exception) -> None:
        """Give a subject that failed its line."""
        self._fail(subject.name, subject.kind, subject.seconds, error)

    def spool(self, subject: Subject, count: int) -> Spool:
        """Make the place where the pieces of a subject are kept until it is whole."""
        key = {"identity": self.identity, "file": file_key(Path(self.paths[subject.name]))}
        return Spool(self.journal.folder / spool_name(subject.name), count, key)

    def _say(self, subject: Subject) -> None:
        """Write what was odd in reading an input to stderr, each thing for the first inputs that have it."""
        for warning in subject.image.warnings:
            count = self._said[warning] = self._said.get(warning, 0) + 1
            if count <= SAID and not self.progress.quiet:
                more = "; further inputs of which this is true are in run.json" if count == SAID else ""
                self.progress.note(f"{one_line(subject.name)}: {one_line(warning)}{more}")

    def _fail(self, image: str, kind: str, seconds: float, error: Exception) -> None:
        show_traceback(error)
        line = error_line(error)
        row = {"status": "failed", "error": line, "kind": kind, "n_objects": "", "seconds": text(round(seconds, 3))}
        row |= {"read": "", "warnings": "0"}
        self._append(Entry(image, "failed", row, self.paths[image], scene=self.scenes.get(image)), {})
        self.progress.note(line if image in line else f"{one_line(image)}: {line}")
        self.progress.step(failed=True)

    def _append(self, entry: Entry, sheets: dict[str, Sheet]) -> None:
        self.journal.append(entry, sheets)
        self.done.add(entry.image)
