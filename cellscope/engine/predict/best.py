"""``--best``: of the inputs of a run, those of the highest quality keep their results; the others keep a row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellscope.engine.assay import Ranking
from cellscope.engine.predict.grouping import COLUMN
from cellscope.engine.predict.resume import remove_outputs

if TYPE_CHECKING:
    from cellscope.engine.assay import Assay
    from cellscope.engine.predict.journal import Entry
    from cellscope.engine.predict.tables import Sheet

NOT_CHOSEN = "not_chosen"
"""What the row of an input says that others were better than."""

_STAYS = ("status", "error", "seconds", COLUMN, "familiarity", "unfamiliar", "read", "warnings")


def choose_best(assay: Assay, options: Mapping[str, Any], out: Path, entries: Sequence[Entry]) -> list[Entry]:
    """Keep the best inputs of a run whose inputs are all done.

    Parameters
    ----------
    assay
        Its `ranking` says by which column.
    options
        The assay's predict options; ``best`` is how many are kept, of all or of each group of ``--group-by``.
    out
        The files of the others are removed from here.
    entries
        Of all inputs. Those without a value in the column take no part: they failed, or are of another kind.

    Returns
    -------
    list of Entry
        The same inputs in the same order; those not chosen are `left_out`, with the columns of the ranking and without
        a kind, objects and files. Of equal ones the first are kept.
    """
    number, ranking = options.get("best"), assay.ranking
    if not number or ranking is None:
        return list(entries)
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.status == "ok" and entry.row.get(ranking.by):
            groups[entry.row.get(COLUMN, "")].append(entry)
    others: set[str] = set()
    for members in groups.values():
        ranked = sorted(members, key=lambda entry: -float(entry.row[ranking.by]))
        others |= {entry.image for entry in ranked[number:]}
    remove_outputs(out, [name for entry in entries if entry.image in others for name in entry.outputs])
    return [_left_out(entry, ranking) if entry.image in others else entry for entry in entries]


def _left_out(entry: Entry, ranking: Ranking) -> Entry:
    stays = {*_STAYS, *ranking.columns}
    row = {name: value if name in stays else "" for name, value in entry.row.items()}
    row |= {"n_objects": "0", ranking.said_in: NOT_CHOSEN}
    return replace(entry, row=row, outputs=[], written={}, left_out=True)


def was_left_out(assay: Assay, entry: Entry) -> bool:
    """Tell whether an earlier run kept nothing of an input but its row."""
    return assay.ranking is not None and entry.row.get(assay.ranking.said_in) == NOT_CHOSEN


def rows_of_chosen(
    entries: Sequence[Entry], sheet: Callable[[str, str], Sheet | None]
) -> Callable[[str, str], Sheet | None]:
    """Give what `sheet` gives, and nothing for inputs left out: ``sheet(image, table)``."""
    others = {entry.image for entry in entries if entry.left_out}

    def chosen(image: str, table: str) -> Sheet | None:
        found = sheet(image, table)  # also asked of those left out: tables are read in order
        return None if image in others else found

    return chosen
