"""Tables that people make: CSV as spreadsheets and scripts write it, every cell as text."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from cellscope.errors import UsageError
from cellscope.io.text import from_cell, one_line

_SHOWN = 200
"""Letters of a header that a message shows."""

DELIMITERS = ",;\t"
"""What separates columns; the one that occurs most often in the header is taken."""


def read_table(
    path: str | os.PathLike[str], columns: Sequence[str] = (), optional: Sequence[str] = ()
) -> list[dict[str, str]]:
    """Read a CSV table with a header, comma, semicolon or tab between the cells, UTF-8 with or without a mark.

    Parameters
    ----------
    path : path
    columns : sequence of str
        Columns that must be there, in upper or lower case. Others are read too.
    optional : sequence of str
        Columns that may be there, in upper or lower case.

    Returns
    -------
    list of dict
        One per row: column -> cell, both without surrounding blanks. Rows without any text are left out.

    Raises
    ------
    UsageError
        The file cannot be read, has no header, lacks a column (those it has are named), names one twice, or has a row
        with more cells than columns.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "it is not UTF-8 text"
        raise UsageError(f"{one_line(path)}: the table cannot be read ({reason})") from error
    first, _, rest = text.partition("\n")
    if first.casefold().startswith("sep="):  # Excel's own way to say what separates cells
        delimiter, text = first.strip()[4:5] or DELIMITERS[0], rest
    else:
        delimiter = max(DELIMITERS, key=first.count)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise UsageError(f"{one_line(path)}: not a CSV table ({error})") from error
    header = [cell.strip() for cell in lines[0]] if lines else []
    asked = {name.casefold(): name for name in (*columns, *optional)}
    header = [name if name in asked.values() else asked.get(name.casefold(), name) for name in header]
    if not any(header):
        raise UsageError(f"{one_line(path)}: the table has no header line; name its columns in the first line")
    if missing := [name for name in columns if name not in header]:
        held = one_line(", ".join(header))
        raise UsageError(
            f"{one_line(path)}: the table has no column {', '.join(missing)}; it has {held[:_SHOWN]}"
            f"{'...' if len(held) > _SHOWN else ''}"
        )
    if twice := sorted({name for name in header if name and header.count(name) > 1}):
        raise UsageError(f"{one_line(path)}: the table has two columns {one_line(twice[0])[:_SHOWN]}; rename one")
    rows = []
    for number, cells in enumerate(lines[1:], 2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(header):
            raise UsageError(f"{one_line(path)}, line {number}: {len(cells)} cells under {len(header)} columns")
        filled = [from_cell(cell.strip()) for cell in cells] + [""] * (len(header) - len(cells))
        rows.append(dict(zip(header, filled, strict=True)))
    return rows
