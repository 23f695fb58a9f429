"""Joins the shards of a run into the tables, summary, report and ``run.json`` that one run gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cellscope.engine.assay import Assay
from cellscope.engine.find import find_assay
from cellscope.engine.predict.best import choose_best, rows_of_chosen
from cellscope.engine.predict.finish import IMAGES_CSV, read_record, write_results
from cellscope.engine.predict.journal import Entry
from cellscope.engine.predict.records import check_row
from cellscope.engine.predict.shards import FOLDER, Shard, read_shards
from cellscope.engine.predict.summary import Summariser, group_spec, remove_files, summary_files
from cellscope.engine.predict.tables import ColumnOrder, Sheet, SheetReader, printable, read_rows
from cellscope.engine.predict.told import told
from cellscope.engine.provenance import counts
from cellscope.errors import CellscopeError, UsageError
from cellscope.io.durable import settle
from cellscope.io.write import write_text
from cellscope.models.card import ModelCard

MERGING = "merging"
"""File beside the shards while `merge` writes: one that was killed may write its tables again."""


def merge(out: Path, assay: Assay | None = None) -> dict[str, Any]:
    """Join the shards of a run into the tables, summary, report and ``run.json`` that one run gives.

    Parameters
    ----------
    out
        The OUT of the shards.
    assay
        The assay; by default the one that ``run.json`` names.

    Returns
    -------
    dict
        The counts of the joined run (total, ok, failed, skipped, objects), and what
        `cellscope.engine.predict.told.told` gives.

    Raises
    ------
    UsageError
        There are no shards, they do not belong together, some are not finished (naming them and inputs that are
        missing), or OUT holds the results of a run that was not cut into shards.
    CellscopeError
        A shard's files are damaged.
    """
    out = Path(out)
    plan, shards = read_shards(out)
    images, total = plan["images"], len(shards)
    unfinished = [shard for shard in shards if shard.record is None or shard.record["status"] != "complete"]
    if unfinished:
        done = {image for shard in shards for image in shard.outcomes()}
        missing = [image for image in images if image not in done]
        names = ", ".join(f"{shard.number}/{total} ({shard.state})" for shard in unfinished[:8])
        raise UsageError(f"shards of {out} are not finished: {names}; {_missing_text(missing)}run them, then merge")
    before = read_record(out)
    begun = out / FOLDER / MERGING
    unknown = before is None and (out / IMAGES_CSV).exists() and not begun.exists()
    if (before is not None and "shards" not in before) or unknown:
        raise UsageError(f"{out} holds the results of a run that was not cut into shards; move them away first")
    records = [shard.record for shard in shards if shard.record is not None]
    if len(specs := {group_spec(record) for record in records}) > 1:
        shown = " and ".join(sorted(str(spec) for spec in specs))
        raise UsageError(f"the shards of {out} were grouped by {shown}; run them again with one --group-by")
    assay = assay or find_assay(records[0]["assay"])
    entries = choose_best(assay, records[0]["options"].get(assay.name, {}), out, _entries(images, shards))
    tables = list(records[0]["columns"])
    orders = {name: ColumnOrder.from_records(record["columns"][name] for record in records) for name in tables}
    owner = {image: number - 1 for image, number in zip(images, plan["owners"], strict=True)}
    readers = {name: [SheetReader(shard.folder / f"{name}.csv") for shard in shards] for name in tables}

    def sheet(image: str, table: str) -> Sheet:
        return readers[table][owner[image]].read(image)

    record = _joined(records, entries, len(images))
    try:
        cards = {part: ModelCard(**card) for part, card in plan["cards"].items()}
    except (TypeError, CellscopeError) as error:
        raise CellscopeError(f"the plans of the shards hold no usable model cards ({error}); run them again") from None
    write_text(begun, "merge writes the tables of all shards; it was killed if none runs\n")
    settle([begun])
    remove_files(out, summary_files(before))
    summarise = Summariser(assay, cards)
    rows = rows_of_chosen(entries, sheet)
    write_results(out, out, record, entries=entries, orders=orders, sheet=rows, summarise=summarise)
    begun.unlink(missing_ok=True)
    return dict(record["counts"]) | told(record)


def _entries(images: Sequence[str], shards: Sequence[Shard]) -> list[Entry]:
    """Read the rows of ``images.csv`` of all shards, in the order of the full list."""
    found: dict[str, Entry] = {}
    for shard in shards:
        assert shard.record is not None
        about = {printable(entry["image"]): entry for entry in shard.record["inputs"]}
        header, rows = read_rows(shard.folder / IMAGES_CSV)
        for image, *cells in rows:
            if image not in about:
                raise CellscopeError(f"{shard.folder / IMAGES_CSV} and run.json disagree about {image}; run it again")
            row = dict(zip(header[1:], cells, strict=True))
            check_row(row, shard.folder / IMAGES_CSV)
            known = about[image]
            skipped = known["status"] == "skipped"
            found[known["image"]] = Entry(
                known["image"],
                row["status"],
                row,
                known["path"],
                known["outputs"],
                known["warnings"],
                skipped=skipped,
                scene=known.get("scene"),
            )
    if lost := [image for image in images if image not in found]:
        raise CellscopeError(f"the shards' tables lack {', '.join(lost[:3])}; run their shards again with --overwrite")
    return [found[image] for image in images]


def _joined(records: Sequence[Mapping[str, Any]], entries: Sequence[Entry], total: int) -> dict[str, Any]:
    """Return the ``run.json`` of all shards together."""
    record = dict(records[0])
    inputs = sorted((entry for each in records for entry in each["inputs"]), key=lambda entry: entry["index"])
    outputs = {entry.image: entry.outputs for entry in entries}
    inputs = [entry | {"outputs": outputs[entry["image"]]} for entry in inputs]
    record.update(
        started=min(each["started"] for each in records),
        finished=max(each["finished"] for each in records),
        device=_common(each["device"] for each in records),
        precision=_common(each["precision"] for each in records),
        shard=None,
        counts=counts(entries, total),
        missing=[],
        shards=[
            {
                name: each[name]
                for name in ("shard", "argv", "started", "finished", "device", "precision", "threads", "counts")
            }
            for each in records
        ],
        inputs=inputs,
    )
    record["columns"] = {
        name: ColumnOrder.from_records(each["columns"][name] for each in records).record() for name in record["columns"]
    }
    return record


def _common(values: Iterable[str]) -> str:
    return ", ".join(sorted(set(values)))


def _missing_text(missing: Sequence[str]) -> str:
    if not missing:
        return ""
    more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    return f"missing inputs: {', '.join(missing[:5])}{more}; "
