"""Write what a person corrected: ``OUT/corrections``, laid out as OUT is, beside the originals.

The files of an image are written as soon as it is changed, its rows kept beside the log, and the tables over all images
follow a moment later.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from cellscope.engine.assay import Result
from cellscope.engine.predict.artefacts import write_artefacts
from cellscope.engine.predict.finish import write_results
from cellscope.engine.predict.journal import Entry
from cellscope.engine.predict.resume import remove_outputs
from cellscope.engine.predict.summary import Summariser, remove_files, summary_files
from cellscope.engine.predict.tables import OBJECTS, ColumnOrder, Sheet, read_rows, text, to_sheet
from cellscope.engine.provenance import counts, input_record, now
from cellscope.errors import CellscopeError, error_line, show_traceback
from cellscope.io.corrections import CorrectionLog
from cellscope.io.document import read_json
from cellscope.io.inputs import stem
from cellscope.io.write import write_json
from cellscope.report.values import label_of
from cellscope.review.corrector import Corrector
from cellscope.review.opened import OpenRun

ROWS = "rows"
"""Folder of the rows of corrected images, one JSON per image."""
CORRECTED = "corrected"
QUIET, SLOW = 0.6, 3.0
"""Seconds without a change after which the tables are written; at least so many times what that took before."""
LONGEST = 10.0
"""The files of an image wait as long as they took before, and no longer than this: ten changes are one writing."""


class Writer:
    """Write the corrected images of a run, in a thread of its own.

    Parameters
    ----------
    run, log, corrector
    argv : list of str
        The command line, for ``run.json``.
    """

    def __init__(self, run: OpenRun, log: CorrectionLog, corrector: Corrector, argv: list[str]):
        self.run = run
        self.log = log
        self.corrector = corrector
        self.argv = argv
        self.folder = log.folder
        self.started = now()
        self.problem = ""
        self.written: dict[str, dict[str, Any]] = {}
        self._pending: dict[str, None] = {}
        self._tables_due = False
        self._closing = False
        self._busy = False
        self._took = {"image": 0.0, "tables": 0.0}
        self._since = 0.0
        self._wake = threading.Condition()
        self._before: dict[str, Any] = {}
        self._load()
        self._thread = threading.Thread(target=self._work, name="corrections", daemon=True)
        self._thread.start()

    def _load(self) -> None:
        """Take up what an earlier review wrote; what it did not get to is written now."""
        path = self.folder / "run.json"
        self._before = read_json(path) if path.is_file() else {}
        for image, corrections in self.log.images.items():
            if image not in self.run.correctable:
                continue
            path = self._rows(image)
            kept = read_json(path) if path.is_file() else {}
            if kept:
                self.written[image] = kept
            if kept.get("revision") != corrections.revision:
                self._pending[image] = None

    def _rows(self, image: str) -> Path:
        return self.folder / ROWS / f"{stem(image)}.json"

    def changed(self, image: str) -> None:
        """Have an image written again."""
        with self._wake:
            self._pending[image] = None
            self._since = time.monotonic()
            self._wake.notify_all()

    @property
    def idle(self) -> bool:
        """Whether all is written."""
        with self._wake:
            return not (self._pending or self._tables_due or self._busy)

    def close(self) -> None:
        """Write what is due, the report too, and end."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        self._thread.join()
        if self.log.images:
            self._guarded("report", lambda: self._write_tables(report=True))

    def _work(self) -> None:
        while (due := self._next()) is not None:
            began = time.monotonic()
            if due:
                self._guarded(due, partial(self._write_image, due))
            else:
                self._guarded("tables", self._write_tables)
            self._took["image" if due else "tables"] = time.monotonic() - began
            with self._wake:
                self._since = max(self._since, began if due else 0.0)
                self._tables_due = bool(due)  # the tables follow the images
                self._busy = False

    def _next(self) -> str | None:
        """Wait for what is to be written: an image, an empty text for the tables, None for the end."""
        with self._wake:
            while not self._closing and (left := self._left()) != 0:
                self._wake.wait(left)
            self._busy = True
            if self._pending:
                image = next(iter(self._pending))
                del self._pending[image]
                return image
            self._busy = self._tables_due
            return "" if self._tables_due else None

    def _left(self) -> float | None:
        """Give the seconds until something is to be written; None for nothing to write."""
        if not self._pending and not self._tables_due:
            return None
        pause = min(self._took["image"], LONGEST) if self._pending else max(QUIET, SLOW * self._took["tables"])
        return max(self._since + pause - time.monotonic(), 0.0)

    def _guarded(self, what: str, work: Any) -> None:
        try:
            work()
            self.problem = ""
        except Exception as error:  # the room stays open; the corrections themselves are in the log
            show_traceback(error)
            self.problem = f"{what}: {error_line(error)}"
            print(self.problem, file=sys.stderr)

    def _write_image(self, image: str) -> None:
        corrections = self.log.of(image)
        revision, edits = corrections.revision, list(corrections.edits)
        before = self.written.get(image, {}).get("outputs", [])
        if edits:
            result = self.corrector.result(image, edits)
            outputs = write_artefacts(self.folder, stem(image), result.artefacts)
            kept = self._kept(image, result, outputs)
        else:  # all undone, or only looked at: the originals stand
            kept = {"outputs": []}
        remove_outputs(self.folder, [name for name in before if name not in kept["outputs"]])
        kept = {"revision": revision, **kept}
        write_json(self._rows(image), kept, indent=None)
        self.written[image] = kept

    def _kept(self, image: str, result: Result, outputs: list[str]) -> dict[str, Any]:
        summaries = self.run.record["summary_columns"]
        row = dict(self.run.entry(image).row) | {name: text(result.summary.get(name)) for name in summaries}
        row |= {"n_objects": str(result.count), "warnings": text(len(result.warnings))}
        sheets = {OBJECTS: result.objects, **result.tables}
        return {
            "row": row,
            "outputs": outputs,
            "warnings": result.warnings,
            "sheets": {name: asdict(to_sheet(frame)) for name, frame in sheets.items()},
        }

    def _entry(self, entry: Entry) -> Entry:
        """Give the line of an image in the corrected tables."""
        kept = self.written.get(entry.image, {})
        row = dict(kept.get("row") or entry.row)
        row["reviewed"] = text(self.log.of(entry.image).reviewed)
        row[CORRECTED] = text(bool(kept.get("row")))
        made = kept.get("outputs", [])
        outputs = [name if name in made else f"../{name}" for name in dict.fromkeys([*entry.outputs, *made])]
        warnings = kept.get("warnings", entry.warnings)
        return Entry(entry.image, entry.status, row, entry.path, outputs, warnings, scene=entry.scene)

    def sheet(self, image: str, table: str) -> Sheet | None:
        """Give the rows of an image, corrected or not; every table says which."""
        kept = self.written.get(image, {}).get("sheets")
        if kept is not None:
            found = Sheet(**kept[table]) if table in kept else None
        else:
            rows = self.run.sheets.get(table)
            found = None if rows is None else rows.get(image)
        if found is None or CORRECTED in found.columns:
            return found
        return Sheet([*found.columns, CORRECTED], [[*row, "False"] for row in found.rows])

    def _write_tables(self, *, report: bool = False) -> None:
        record = self.run.record
        entries = [self._entry(entry) for entry in self.run.entries]
        orders = {}
        for table, order in record["columns"].items():
            orders[table] = ColumnOrder.from_records([order])
            known = CORRECTED in orders[table].first  # some assays have the column themselves, at its place
            for number, entry in enumerate(entries):
                if (found := self.sheet(entry.image, table)) is not None:
                    orders[table].see(number, [name for name in found.columns if known or name != CORRECTED])
            orders[table].see(len(entries), [CORRECTED])  # else behind all others
        index = {entry["image"]: entry["index"] for entry in record["inputs"]}
        made = dict(record) | {
            "command": "review",
            "argv": self.argv,
            "started": self.started,
            "finished": now(),
            "summary_columns": [*record["summary_columns"], "reviewed", CORRECTED],
            "counts": counts(entries, len(entries)),
            "columns": {name: order.record() for name, order in orders.items()},
            "inputs": [input_record(index[entry.image], entry) for entry in entries],
            "corrections": {"of": self.run.name, "reviewed": sum(entry.row["reviewed"] == "True" for entry in entries)},
        }
        remove_files(self.folder, summary_files(self._before))
        write_results(
            self.folder, self.folder, made, entries=entries, orders=orders, sheet=self.sheet,
            summarise=Summariser(self.run.assay, self.run.loaded().cards), report=report,
        )  # fmt: skip
        self._before = made

    def summary(self) -> Mapping[str, Any]:
        """Give the tables over all images as they are written now: name -> columns, their words, and rows."""
        record = self._before or self.run.record
        folder = self.folder if self._before else self.run.out
        found = {}
        for name in summary_files(record):
            if name.endswith(".csv"):
                try:
                    columns, rows = read_rows(folder / name)
                    labels = [label_of(column) for column in columns]
                    found[name.removesuffix(".csv")] = {"columns": columns, "labels": labels, "rows": list(rows)}
                except CellscopeError:  # just being replaced
                    continue
        return found
