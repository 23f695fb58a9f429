"""What an output folder holds from an earlier run: refuse it, take it over or remove it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from cellscope.engine.predict import journal as journals
from cellscope.engine.predict.finish import IMAGES_CSV, REPORT, RUN_JSON, read_record
from cellscope.engine.predict.journal import Entry, Journal
from cellscope.engine.predict.records import check_row
from cellscope.engine.predict.summary import remove_files, summary_files
from cellscope.engine.predict.tables import SheetReader, printable, read_rows
from cellscope.engine.provenance import difference
from cellscope.errors import CellscopeError, UsageError
from cellscope.io.durable import is_whole


def results_in(folder: Path) -> list[str]:
    """Return the names of the files that show that a folder holds results, finished or not."""
    return [name for name in (RUN_JSON, IMAGES_CSV, journals.NAME) if (folder / name).exists()]


def refuse_results(folder: Path, *, overwrite: bool, skip_existing: bool) -> None:
    """Raise UsageError if the folder of the tables holds results and the user did not say what to do with them."""
    found = results_in(folder)
    if not found or overwrite or skip_existing:
        return
    if journals.NAME in found:
        raise UsageError(f"{folder} holds an unfinished run; --skip-existing continues it, --overwrite starts again")
    raise UsageError(f"{folder} already holds results ({found[0]}); give --overwrite, --skip-existing or another -o")


def remove_results(journal: Journal, folder: Path, out: Path, tables: Collection[str]) -> None:
    """Remove an earlier run for ``--overwrite``: its tables and the artefacts it says it wrote, nothing else.

    `journal` is this run's, opened ``fresh``.
    """
    outputs = {name for entry in journal.replaced.values() for name in entry.outputs}
    try:
        record = read_record(folder)
        remove_files(folder, summary_files(record))
        outputs.update(name for entry in (record or {}).get("inputs", []) for name in entry["outputs"])
    except (CellscopeError, KeyError, TypeError):
        pass  # not one of ours, or damaged: what it wrote is not known and stays
    remove_outputs(out, outputs)
    # run.json first: without it nothing here claims to be complete any more
    for name in (RUN_JSON, IMAGES_CSV, REPORT, *(f"{table}.csv" for table in tables)):
        (folder / name).unlink(missing_ok=True)


def remove_outputs(out: Path, names: Iterable[str]) -> None:
    """Remove artefacts named by an earlier run, if they lie below OUT as they should."""
    root = out.resolve()
    for name in names:
        path = (out / name).resolve()
        if path.is_relative_to(root) and path.is_file():
            path.unlink()


def sweep(folder: Path, out: Path) -> None:
    """Remove half-written files that a killed run left, where no other run can be writing."""
    alone = folder == out and not (out / "shards").exists()
    for path in out.rglob(".cellscope-*") if alone else folder.glob(".cellscope-*"):
        path.unlink(missing_ok=True)


def import_earlier(
    journal: Journal, folder: Path, out: Path, identity: Mapping[str, Any], tables: Collection[str]
) -> dict[str, Entry]:
    """Bring the rows of an earlier run into this run's journal, for ``--skip-existing``; nothing else is changed.

    Parameters
    ----------
    journal
        This run's journal; it may be the earlier run's own, left by a kill.
    folder, out
        Folder of the tables; OUT.
    identity
        Of this run: rows of another model or other options are not mixed with ours.
    tables
        Names of all tables besides ``images.csv``.

    Returns
    -------
    dict
        Image -> entry of the inputs that need not be done again: those that went well and whose files are there and
        whole.

    Raises
    ------
    UsageError
        The earlier run used other models or options, or its files are damaged.
    """
    try:
        record = read_record(folder)
        theirs = [said["identity"] for said in (journal.earlier, record) if said is not None]
        if not theirs and (folder / IMAGES_CSV).exists():
            raise UsageError(f"{folder} holds tables without a {RUN_JSON}; give --overwrite or another -o")
        if found := next(filter(None, (difference(identity, each) for each in theirs)), ""):
            raise UsageError(f"{folder} holds results of another run ({found}); give --overwrite or another -o")
        if record is not None and (folder / IMAGES_CSV).exists():
            _import(journal, folder, record, tables)
    except UsageError:
        raise
    except (CellscopeError, KeyError, TypeError) as error:
        raise UsageError(f"{folder} holds results that cannot be continued: {error}; give --overwrite") from None
    kept = {}
    for image, entry in journal.entries.items():
        if entry.status == "ok" and all(is_whole(out / name, entry.written.get(name)) for name in entry.outputs):
            entry.skipped = True
            kept[image] = entry
    return kept


def remove_imported(folder: Path) -> None:
    """Remove what stands in the way of a run that goes on from what `import_earlier` has put in its journal."""
    remove_files(folder, summary_files(read_record(folder)))  # made anew when this run ends
    (folder / RUN_JSON).unlink(missing_ok=True)  # all else it says is in the journal now


def _import(journal: Journal, folder: Path, record: Mapping[str, Any], tables: Collection[str]) -> None:
    header, rows = read_rows(folder / IMAGES_CSV)
    if header[0] != "image":
        raise CellscopeError(f"{folder / IMAGES_CSV} does not start with a column 'image'")
    readers = {name: SheetReader(folder / f"{name}.csv") for name in tables if (folder / f"{name}.csv").exists()}
    known = {printable(entry["image"]): entry for entry in record["inputs"]}
    for image, *cells in rows:
        row = dict(zip(header[1:], cells, strict=True))
        check_row(row, folder / IMAGES_CSV)
        sheets = {name: reader.read(image) for name, reader in readers.items()}
        about = known.get(image)
        if about is None or about["image"] in journal.entries:
            continue
        scene = about.get("scene")
        entry = Entry(
            about["image"], row["status"], row, about["path"], about["outputs"], about["warnings"], scene=scene
        )
        journal.append(entry, sheets)
    for reader in readers.values():
        reader.check_end()
