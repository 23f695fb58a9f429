"""``groups.csv``: what the images of each group of ``--group-by``, such as a patient's, came to together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from cellscope.engine.assay import RunSummary
from cellscope.engine.familiarity.together import unfamiliar_among
from cellscope.engine.predict.grouping import COLUMN

if TYPE_CHECKING:
    import pandas as pd

ALL = "all"
"""The first row: every image, also those without a group."""


def group_table(images: pd.DataFrame, measured: Callable[[pd.DataFrame], Mapping[str, Any]]) -> RunSummary:
    """Make the table.

    Parameters
    ----------
    images : DataFrame
        ``images.csv``.
    measured : callable
        Takes the rows of a group's images that were done, and gives its further columns.

    Returns
    -------
    RunSummary
        ``groups.csv``: ``group, n_images, n_failed, n_unfamiliar`` and what `measured` gives, a row for all images
        and one per group; nothing without ``--group-by``.
    """
    import pandas as pd

    if COLUMN not in images:
        return RunSummary()
    groups = [(ALL, images)]
    groups += [(str(name), part) for name, part in images[images[COLUMN] != ""].groupby(COLUMN, sort=True)]
    rows = []
    for name, part in groups:
        done = part[part["status"] == "ok"]
        row = {"group": name, "n_images": len(part), "n_failed": len(part) - len(done)}
        if "unfamiliar" in done:
            row["n_unfamiliar"] = unfamiliar_among(done)
        rows.append(row | dict(measured(done)))
    return RunSummary(tables={"groups": pd.DataFrame(rows)})


def total(images: pd.DataFrame, column: str) -> float:
    """Add a column of ``images.csv``; 0 where it is empty or not there."""
    import pandas as pd

    return float(pd.to_numeric(images[column], errors="coerce").sum()) if column in images else 0.0
