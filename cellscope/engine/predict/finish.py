"""The files a run ends with, in this order: the tables, the report and, last of all, ``run.json``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from cellscope.engine.assay import IMAGE_COLUMNS, LAST_IMAGE_COLUMNS, RunSummary
from cellscope.engine.familiarity.together import more_than_chance
from cellscope.engine.predict.grouping import COLUMN
from cellscope.engine.predict.journal import Entry
from cellscope.engine.predict.records import check
from cellscope.engine.predict.shown import first_to_look_at, only_object, own_picture, review_first
from cellscope.engine.predict.summary import Summariser, group_spec
from cellscope.engine.predict.tables import OBJECTS, ColumnOrder, Sheet, write_rows, write_sheets
from cellscope.engine.provenance import SCHEMA
from cellscope.errors import CellscopeError, UsageError
from cellscope.io.choice import Choice
from cellscope.io.document import read_json
from cellscope.io.text import one_line
from cellscope.io.write import write_json

if TYPE_CHECKING:
    import numpy as np

    from cellscope.report.widget import Widget

IMAGES_CSV = "images.csv"
RUN_JSON = "run.json"
REPORT = "report.html"

BADGE = "Unlike the training images"
_READ = ("familiarity", "read")

MAX_CARDS = 300
MAX_OBJECT_ROWS = 2000
"""What the report shows at most; the tables hold everything."""

_TEXT: dict[str, type] = dict.fromkeys(("image", "class", "error", "status", "kind", COLUMN), str)

SheetSource = Callable[[str, str], "Sheet | None"]


def write_results(
    folder: Path,
    out: Path,
    record: dict[str, Any],
    *,
    entries: Sequence[Entry],
    orders: Mapping[str, ColumnOrder],
    sheet: SheetSource,
    summarise: Summariser | None = None,
    report: bool = True,
) -> None:
    """Write ``images.csv``, ``objects.csv`` and the assay's other tables, ``report.html`` and ``run.json``.

    Parameters
    ----------
    folder
        The folder of the tables: OUT, or the shard's.
    out
        OUT, below which the artefacts lie.
    record
        ``run.json``, complete; its ``summary_columns`` and ``figures`` are used for the tables and the report.
    entries
        In the order of the tables.
    orders
        Columns of every table besides ``images.csv``.
    sheet
        ``sheet(image, table)`` gives the rows; asked table by table, in the order of `entries`.
    summarise
        Makes what all inputs came to together; None for a shard.
    report
        Write ``report.html`` too.
    """
    groups = [COLUMN] if group_spec(record) is not None else []
    columns = [*IMAGE_COLUMNS, *record["summary_columns"], *groups, *LAST_IMAGE_COLUMNS]
    rows = ([entry.image, *(entry.row.get(name, "") for name in columns[1:])] for entry in entries)
    write_rows(folder / IMAGES_CSV, columns, rows)
    images = [entry.image for entry in entries]
    reviewed: dict[str, int] = {}
    alone: dict[str, list[tuple[str, Any]]] = {}
    for table, order in orders.items():

        def counted(image: str, table: str = table) -> Sheet | None:
            found = sheet(image, table)
            if found is not None and table == OBJECTS:
                if "review" not in found.columns:
                    raise CellscopeError(f"the earlier {table}.csv has no column review; run again with --overwrite")
                at = found.columns.index("review")
                reviewed[image] = sum(row[at] == "True" for row in found.rows)
                if len(found.rows) == 1:
                    alone[image] = only_object(found.columns, list(found.rows))
            return found

        write_sheets(folder / f"{table}.csv", order.columns(), images, counted)
    summary = RunSummary()
    if summarise is not None:
        images_frame = _frame(folder / IMAGES_CSV)
        if COLUMN in images_frame:
            images_frame[COLUMN] = images_frame[COLUMN].fillna("")
        all_objects = summarise.assay.summarise is not None and not summarise.assay.summarises_images
        objects = _frame(folder / f"{OBJECTS}.csv") if all_objects else images_frame[:0]
        summary = summarise(folder, record, images_frame, objects)
    if report:
        _write_report(folder, out, record, entries, reviewed, alone, summary)
    write_json(folder / RUN_JSON, record)


def _write_report(
    folder: Path, out: Path, record: dict[str, Any], entries: Sequence[Entry], reviewed: Mapping[str, int],
    alone: Mapping[str, list[tuple[str, Any]]], overall: RunSummary,
) -> None:  # fmt: skip
    from cellscope.report import gallery
    from cellscope.report.page import MAX_CELLS, Card, Table, write_report
    from cellscope.report.values import label_of

    counts = record["counts"]
    cards = []
    if overall.figures:
        cards.append(Card("All inputs together", [(_caption(name), folder / name) for name in overall.figures]))
    shown = [entry for entry in entries if not entry.left_out]
    for entry in first_to_look_at(shown, reviewed, MAX_CARDS):
        suffixes = record["figures"].get(entry.row.get("kind", ""), [])
        figures: list[tuple[str, Path | np.ndarray]] = [
            (_caption(suffix), out / name)
            for suffix in suffixes
            for name in entry.outputs
            if name.endswith(suffix) and (out / name).is_file()
        ]
        facts = [(name, entry.row.get(name, "")) for name in ("kind", "n_objects", *record["summary_columns"], *_READ)]
        facts = [(label_of(name), value) for name, value in (*alone.get(entry.image, []), *facts) if value != ""]
        figures = figures or own_picture(entry, _choice(record, entry))
        error = [f"failed: {entry.row.get('error', '')}"] if entry.status == "failed" else []
        unlike = entry.row.get("unfamiliar") == "True"
        cards.append(
            Card(
                entry.image, figures, facts, error + entry.warnings,
                badge=BADGE if unlike else "", widget=_editor(out, record, entry),
            )
        )  # fmt: skip
    warnings = list(overall.warnings)
    if counts["failed"]:
        warnings.append(f"{counts['failed']} of {counts['total']} inputs failed; the table of images says why")
    judged = sum(entry.row.get("unfamiliar", "") != "" for entry in entries)
    if counts["unfamiliar"] and not more_than_chance(counts["unfamiliar"], judged):  # then the summary says so
        warnings.append(
            f"{counts['unfamiliar']} of {counts['total']} images are unlike the training images: what was found in "
            "them stands, but probabilities and intervals do not hold there"
        )
    if record["missing"]:
        warnings.append(
            f"the run was interrupted: {len(record['missing'])} inputs are missing; --skip-existing resumes it"
        )
    if len(shown) > MAX_CARDS:
        warnings.append(
            f"{MAX_CARDS} of {len(shown)} images are shown as pictures, those to look at first; the tables list all"
        )
    tables = [Table(name.replace("_", " ").capitalize(), frame) for name, frame in overall.tables.items()]
    tables.append(Table("Images", _frame(folder / IMAGES_CSV)))
    rows = folder / f"{OBJECTS}.csv"
    objects, note = review_first(rows, MAX_OBJECT_ROWS, MAX_CELLS, _TEXT, counts["objects"])
    tables.append(Table("Objects", objects, note, total=counts["objects"]))
    summary = [*overall.headline, ("images", counts["total"]), ("objects", counts["objects"])]
    summary.append(("objects to review", sum(reviewed.values())))
    summary += [(name, counts[name]) for name in ("unfamiliar", "failed", "skipped") if counts[name]]
    summary += [("not chosen", len(entries) - len(shown))] if len(shown) < len(entries) else []
    hidden = ("inputs", "columns", "figures", "editors", "summary_columns", "missing", "identity")
    write_report(
        folder / REPORT,
        title=f"{record['assay']} {record['command']}",
        subtitle=f"{record['started']} to {record['finished']}"
        + (f", shard {record['shard']}" if record["shard"] else ""),
        summary=summary,
        cards=cards,
        tables=tables,
        warnings=warnings,
        provenance={name: value for name, value in record.items() if name not in hidden},
        gallery=gallery.read_galleries(
            out / name for entry in entries for name in entry.outputs if name.endswith(gallery.SUFFIX)
        ),
    )


def _editor(out: Path, record: dict[str, Any], entry: Entry) -> Widget | None:
    """Make the part of an image's card in which a person edits; none where the artefact or the input is not there."""
    from cellscope.report.widget import make_widget

    editor = record.get("editors", {}).get(entry.row.get("kind", ""))
    if editor is None or entry.status == "failed":
        return None
    edited = next((out / name for name in entry.outputs if name.endswith(editor["suffix"])), None)
    if edited is None or not edited.is_file():
        return None
    return make_widget(
        package=editor["package"], script=editor["script"], style=editor["style"], title=editor["title"],
        document=edited, picture=Path(entry.path), choice=_choice(record, entry),
    )  # fmt: skip


def _choice(record: dict[str, Any], entry: Entry) -> Choice:
    """Return what was chosen of an input's file."""
    return Choice.of(SimpleNamespace(**record.get("options", {}).get(record["assay"], {})), entry.scene)


def _caption(name: str) -> str:
    """Return what a figure is called, from its suffix or file name: ``.overlay.png`` -> Overlay."""
    return name.strip(".").split(".")[0].replace("_", " ").capitalize()


def _frame(path: Path, rows: int | None = None) -> Any:
    import pandas as pd

    # Only empty cells are undefined: an image may well be called NA.
    return pd.read_csv(path, nrows=rows, dtype=_TEXT, keep_default_na=False, na_values=[""])


def read_record(folder: Path) -> dict[str, Any] | None:
    """Read a folder's ``run.json``, or None if there is none.

    Raises
    ------
    CellscopeError
        The file is damaged or of another schema.
    """
    path = folder / RUN_JSON
    if not path.exists():
        return None
    try:
        record = read_json(path)
    except UsageError as error:
        raise CellscopeError(str(error)) from None
    if not isinstance(record, dict) or record.get("schema") != SCHEMA or "identity" not in record:
        raise CellscopeError(f"{one_line(path)} was not written by `predict` of this version of cellscope")
    return check(record, "run", path)
