"""How familiar the items of an evaluation are, in its table of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from cellscope.engine.familiarity.judge import Verdict


def with_verdicts(table: pd.DataFrame, verdicts: Mapping[str, Verdict | None]) -> pd.DataFrame:
    """Add ``familiarity`` and ``unfamiliar`` to a table with a column ``image``; another stays as it is."""
    if "image" not in table:
        return table
    known = [verdicts.get(str(image)) for image in table["image"]]
    return table.assign(
        familiarity=[None if one is None else one.familiarity for one in known],
        unfamiliar=[None if one is None else one.unfamiliar for one in known],
    )
