"""What became of each input, written down: its files, then its line in the journal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellscope.engine.assay import Assay, Result, Subject
from cellscope.engine.familiarity.judge import SENTENCE
from cellscope.engine.predict.artefacts import Place, raise_if_full, write_artefacts
from cellscope.engine.predict.book import Book, Recorded, failed, familiarity_cells
from cellscope.engine.predict.journal import Entry
from cellscope.engine.predict.outcome import Failure
from cellscope.engine.predict.pieces import Divided
from cellscope.engine.predict.tables import OBJECTS, Sheet, text, to_long_sheet, to_sheet
from cellscope.io.durable import fingerprint
from cellscope.io.inputs import stem

if TYPE_CHECKING:
    from cellscope.engine.familiarity.judge import Judge
    from cellscope.models.card import ModelCard


@dataclass
class Files:
    """What was written of an input.

    Attributes
    ----------
    result
        What the files were made from.
    outputs
        The artefacts, relative to OUT.
    sheets
        Table -> the input's rows.
    written
        Their fingerprints, for the journal.
    seconds
        What the writing took.
    """

    result: Result
    outputs: list[str]
    written: dict[str, list[Any]]
    sheets: dict[str, Sheet]
    seconds: float


@dataclass
class PendingFiles:
    """An input whose artefacts are being written: a future of `Files`; ``divided`` where it came in pieces."""

    subject: Subject
    future: Future
    divided: Divided | None = None


class Recorder:
    """Write down what became of inputs.

    Parameters
    ----------
    assay, cards
        What results are made of.
    out : Path
        Where the artefacts go.
    book : Book
        Takes down what became of each input.
    writers : Executor
        Writes the artefacts while the networks go on.
    paths : mapping
        Image -> its file, absolute.
    scenes : mapping
        Image -> number of its scene, of inputs that are one of several in a file.
    judge : Judge
        Says how like the training images an input is.
    """

    def __init__(
        self,
        assay: Assay,
        cards: Mapping[str, ModelCard],
        out: Path,
        book: Book,
        writers: Executor,
        *,
        paths: Mapping[str, str],
        scenes: Mapping[str, int | None],
        judge: Judge,
    ):
        self.assay = assay
        self.cards = cards
        self.out = out
        self.place = Place(out)
        self.book = book
        self.writers = writers
        self.paths = paths
        self.scenes = scenes
        self.judge = judge

    def begin(self, subject: Subject, result: Result) -> PendingFiles:
        """Begin to write a subject's artefacts."""
        return PendingFiles(subject, self.writers.submit(self._write, subject, result))

    def begin_joined(self, divided: Divided) -> PendingFiles:
        """Begin to write the artefacts of a subject whose pieces are all there."""
        return PendingFiles(divided.subject, self.writers.submit(self._join, divided), divided)

    def _join(self, divided: Divided) -> Files:
        assert self.assay.large is not None
        start = time.perf_counter()
        divided.subject.features = divided.store.features()
        files = self._write(divided.subject, self.assay.large.join(divided.subject, divided.store))
        files.seconds = time.perf_counter() - start
        return files

    def _write(self, subject: Subject, result: Result) -> Files:
        """Write a subject's artefacts, and put its rows into the form of the tables."""
        start = time.perf_counter()
        if result.rows is not None:
            sheets = {OBJECTS: to_long_sheet(result.rows.frames(), self.book.rows_file())}
        else:
            sheets = {OBJECTS: to_sheet(result.objects)}
        sheets.update({name: to_sheet(frame) for name, frame in result.tables.items()})
        self.place.check()
        outputs = write_artefacts(self.out, stem(subject.name), result.artefacts)
        written = {name: fingerprint(self.out / name) for name in outputs}
        return Files(result, outputs, written, sheets, time.perf_counter() - start)

    def finish(self, pending: PendingFiles) -> None:
        """Wait for an input's artefacts and give it its line: done, or failed in writing.

        Raises
        ------
        CellscopeError
            The disk is full, or OUT is gone.
        """
        subject = pending.subject
        try:
            files: Files = pending.future.result()
        except Exception as error:
            self.place.check()
            raise_if_full(error, self.out)
            self.fail(Failure.of(subject, error))
            return
        result = files.result
        row = {
            "status": "ok",
            "error": "",
            "kind": subject.kind,
            "n_objects": str(result.count),
            "seconds": text(round(subject.seconds + files.seconds, 3)),
            **{name: text(result.summary.get(name)) for name in self.assay.summaries(self.cards)},
        }
        verdict = self.judge(subject)
        unlike = [SENTENCE] if verdict is not None and verdict.unfamiliar else []
        warnings = list(dict.fromkeys([*unlike, *subject.image.warnings, *result.warnings]))
        row |= familiarity_cells(verdict)
        row |= {"read": subject.image.taken, "warnings": text(len(warnings))}
        scene = self.scenes.get(subject.name)
        entry = Entry(
            subject.name, "ok", row, self.paths[subject.name], files.outputs, warnings,
            written=files.written, scene=scene,
        )  # fmt: skip
        self.place.check()
        self.book.write(Recorded(entry, files.sheets, tuple(subject.image.warnings)))
        if pending.divided is not None and self.book.lasting:
            pending.divided.store.remove()

    def fail(self, failure: Failure) -> None:
        """Give an input that failed its line."""
        self.place.check()
        self.book.write(failed(failure, self.paths[failure.name], self.scenes.get(failure.name)))
