"""Counts whose dose is sought: given on the command line, in a table, or found by `predict`."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cellscope.assays.micronucleus.count.distribution import disperse
from cellscope.assays.micronucleus.count.rows import UNFAMILIAR
from cellscope.assays.micronucleus.dose.estimate import Spread
from cellscope.assays.micronucleus.options import DoseOptions
from cellscope.engine.familiarity.together import mostly
from cellscope.errors import UsageError
from cellscope.io.events import table_number
from cellscope.io.table import read_table

DISTRIBUTION = "distribution.csv"
LINES = "n_left_out_lines"
LIMITS = ("mn_per_nucleus_low", "mn_per_nucleus_high")
ADJUSTED = ("adjusted_mn_per_nucleus", "adjusted_mn_low", "adjusted_mn_high")


@dataclass(frozen=True)
class Sample:
    """A count.

    Attributes
    ----------
    name : str
    cells, micronuclei : int
    limits : (low, high) or None
        95 % limits of micronuclei per cell, where `predict` included what a new cell line does.
    adjusted : (value, low, high) or None
        Micronuclei per cell, adjusted for wrong calls, where `predict` knew their rates.
    spread : Spread or None
        Of micronuclei over cells, where it is known.
    note : str
        What `predict` said against the count.
    """

    name: str
    cells: int
    micronuclei: int
    limits: tuple[float, float] | None = None
    adjusted: tuple[float, float, float] | None = None
    spread: Spread | None = None
    note: str = ""


def new_counts(options: DoseOptions) -> list[Sample]:
    """Gather the counts whose dose is sought.

    Raises
    ------
    UsageError
        For a table that cannot be used, or a run that did not count micronuclei.
    """
    found = []
    if options.cells is not None and options.micronuclei is not None:
        found.append(Sample("command line", options.cells, options.micronuclei))
    if options.counts is None:
        return found
    path = Path(options.counts)
    names = ("cells", "micronuclei")
    run = path.is_dir()
    if run:
        path, names = path / "frequency.csv", ("n_nuclei", "n_micronuclei")
        if not path.is_file():
            raise UsageError(
                f"--counts {options.counts}: the folder has no frequency.csv; give OUT of predict on fields"
            )
    rows = read_table(path, names)
    unknown = [row for row in rows if not row[names[1]]]
    if unknown and (len(unknown) == len(rows) or not run):
        raise UsageError(
            f"{path}: {names[1]} is empty: crops of single cells tell which cells carry micronuclei, not how many; a "
            "dose needs counts from fields"
        )
    if unknown:
        left = ", ".join(row.get("group") or "a row without a name" for row in unknown[:5])
        print(f"{path}: left out, since micronuclei are not counted in crops: {left}", file=sys.stderr)
    spreads = run_spreads(path.with_name(DISTRIBUTION)) if run else {}
    for number, row in enumerate(rows, 1):
        if row in unknown:
            continue
        where = f"row {number}"
        cells, count = (table_number(path, where, column, row[column]) for column in names)
        lines = run and table_number(path, where, LINES, row.get(LINES) or "0") > 0
        limits = _numbers(path, where, row, LIMITS) if lines else None
        adjusted = _numbers(path, where, row, ADJUSTED) if run else None
        if cells < 1 or count < 0 or cells != int(cells) or count != int(count):
            raise UsageError(f"{path}, row {number}: {cells:g} cells and {count:g} micronuclei are not valid counts")
        name = row.get("name") or row.get("group") or f"row {number}"
        spread = spreads.get(row.get("group", "")) if run else table_spread(path, where, row, int(cells), int(count))
        found.append(
            Sample(
                name, int(cells), int(count),
                None if limits is None else (limits[0], limits[1]),
                None if adjusted is None else (adjusted[0], adjusted[1], adjusted[2]),
                spread,
                _doubt(row) if run else "",
            )
        )  # fmt: skip
    if options.case_dispersion != "none" and not any(s.spread is not None for s in found):
        raise UsageError(
            f"--counts {options.counts}: --case-dispersion needs to know how micronuclei are spread over cells: "
            + (f"there is no {DISTRIBUTION}" if run else "give columns cells_0, cells_1, ...")
        )
    return found


def _doubt(row: Mapping[str, str]) -> str:
    numbers = [row.get(name, "") for name in (UNFAMILIAR, "n_fields")]
    if not all(text.isdigit() for text in numbers) or not mostly(*map(int, numbers)):
        return ""
    return f"{numbers[0]} of {numbers[1]} images are unlike the training images: the count cannot be relied on"


def run_spreads(path: Path) -> dict[str, Spread]:
    """Read how micronuclei are spread over the cells of each group of a run, from its ``distribution.csv``.

    Raises
    ------
    UsageError
        It cannot be read.
    """
    if not path.is_file():
        return {}
    found = {}
    for row in read_table(path, ("group", "dispersion_index", "papworth_u")):
        of = f"group {row['group']}"
        index, u = (
            table_number(path, of, name, row[name]) if row[name] else None
            for name in ("dispersion_index", "papworth_u")
        )
        found[row["group"]] = Spread(index, u)
    return found


def table_spread(path: Path, where: str, row: Mapping[str, str], cells: int, micronuclei: int) -> Spread | None:
    """Take the spread from the columns ``cells_0``, ``cells_1``, ... of a row; None without them.

    Raises
    ------
    UsageError
        They are no counts, or do not add up to the row's cells and micronuclei.
    """
    given = {int(name[6:]): cell for name, cell in row.items() if re.fullmatch(r"cells_\d{1,3}", name) and cell}
    if not given:
        return None
    counts = {number: table_number(path, where, f"cells_{number}", cell) for number, cell in given.items()}
    if any(value < 0 or value != int(value) for value in counts.values()):
        raise UsageError(f"{path}, {where}: cells_0, cells_1, ... are counts and must be whole")
    total, found = sum(counts.values()), sum(number * value for number, value in counts.items())
    if (total, found) != (cells, micronuclei):
        raise UsageError(
            f"{path}, {where}: cells_0, cells_1, ... are {total:g} cells with {found:g} micronuclei, but the row says "
            f"{cells} and {micronuclei}"
        )
    spread = np.zeros(max(counts) + 1, int)
    spread[list(counts)] = [int(value) for value in counts.values()]
    described = disperse(spread)
    return Spread(described.index, described.u)


def _numbers(path: Path, where: str, row: Mapping[str, str], names: tuple[str, ...]) -> list[float] | None:
    known = all(row.get(name) for name in names)
    return [table_number(path, where, name, row[name]) for name in names] if known else None
