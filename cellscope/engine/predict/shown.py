"""What the report of a run shows where it cannot show everything: what a person should look at comes first."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellscope.engine.predict.journal import Entry
from cellscope.errors import CellscopeError
from cellscope.io.choice import Choice, Wants

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

#: Rows of a table that are looked through for those to review.
SEARCHED = 200_000
#: Largest input shown as it is, bytes.
LARGEST = 2**24


def first_to_look_at(entries: Sequence[Entry], reviewed: Mapping[str, int], most: int) -> list[Entry]:
    """Choose the entries that get a card, in their order if one page of the report holds them all.

    Else failed ones come first, then those with most objects to review and warnings.

    Parameters
    ----------
    entries : sequence of Entry
    reviewed : mapping
        Image -> objects marked for review.
    most : int
    """
    from cellscope.report.page import PAGE

    if len(entries) <= min(most, PAGE):
        return list(entries)

    def need(entry: Entry) -> tuple[bool, int, int]:
        return entry.status != "failed", -reviewed.get(entry.image, 0), -len(entry.warnings)

    return sorted(entries, key=need)[:most]


def review_first(
    path: Path, most: int, cells: int, types: Mapping[str, type], objects: int
) -> tuple[pd.DataFrame, str]:
    """Read the rows of ``objects.csv`` that the report shows.

    Parameters
    ----------
    path : Path
    most, cells : int
        Rows and cells at most.
    types : mapping
        Column -> type, as for `pandas.read_csv`.
    objects : int
        Rows of the file.

    Returns
    -------
    table : DataFrame
        The whole file if it fits; else the rows to review first, then others, in the order of the file.
    note : str
        What is shown; empty for the whole file.
    """
    import numpy as np
    import pandas as pd

    plain: dict[str, Any] = {"keep_default_na": False, "na_values": [""], "dtype": dict(types)}
    most = min(most, cells // max(1, len(pd.read_csv(path, nrows=0).columns)))
    if objects <= most:
        return pd.read_csv(path, **plain), ""
    waiting = pd.read_csv(path, usecols=["review"], nrows=SEARCHED, **plain)["review"].astype(str).eq("True").to_numpy()
    chosen = np.argsort(~waiting, kind="stable")[:most]
    kept = set(chosen.tolist())
    parts = []
    for part in pd.read_csv(path, chunksize=20_000, nrows=int(chosen.max()) + 1, **plain):
        parts.append(part[[number in kept for number in part.index]])
    table = pd.concat(parts).loc[chosen].reset_index(drop=True)
    marked = int(waiting[chosen].sum())
    return table, f"{most} of {objects} rows, the {marked} to review first; objects.csv has all of them"


def own_picture(entry: Entry, choice: Choice) -> list[tuple[str, Path | np.ndarray]]:
    """Give the input itself as the figure of an entry without another: a crop, a single chromosome."""
    from cellscope.io.read import read

    path = Path(entry.path)
    with contextlib.suppress(CellscopeError, OSError, ValueError):
        if entry.status != "failed" and path.stat().st_size <= LARGEST:
            return [("Input", read(path, choice=choice, wants=Wants.STAIN).pixels)]
    return []


def only_object(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[tuple[str, Any]]:
    """Give class and score of an input's only object, from its rows of ``objects.csv``."""
    if len(rows) != 1:
        return []
    row = dict(zip(columns, rows[0], strict=True))
    review = [("review", "yes")] if row.get("review") == "True" else []
    return [(name, row[name]) for name in ("class", "score") if row.get(name)] + review
