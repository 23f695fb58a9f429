"""What the nuclei of a patient's tiles or slides come to together: ``groups.csv``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cellscope.assays.histo.classes import PART
from cellscope.assays.histo.measure.summary import UNSURE
from cellscope.engine.assay import RunSummary
from cellscope.engine.predict.by_group import group_table, total

if TYPE_CHECKING:
    import pandas as pd

    from cellscope.models.card import ModelCard


def summarise_groups(
    images: pd.DataFrame, _objects: pd.DataFrame, _options: Any, cards: Mapping[str, ModelCard]
) -> RunSummary:
    """Make ``groups.csv`` with ``--group-by``: counts by type, the area looked at, densities.

    Parameters
    ----------
    images : DataFrame
        ``images.csv``.
    cards : mapping
        Their classes are the types.
    """
    types = cards[PART].classes if len(cards[PART].classes) > 1 else ()

    def measured(done: pd.DataFrame) -> dict[str, Any]:
        row: dict[str, Any] = {"n_nuclei": int(total(done, "n_objects")), "n_review": int(total(done, "n_review"))}
        row |= {f"n_{name}": int(total(done, f"n_{name}")) for name in types}
        if types:
            row[UNSURE] = int(total(done, UNSURE))
        if "area_mm2" not in done or done["area_mm2"].isna().any():
            return row  # of some images it is not known how large they are
        area = total(done, "area_mm2")
        row["area_mm2"] = area
        if area > 0:
            row["density_per_mm2"] = row["n_nuclei"] / area
            row |= {f"{name}_per_mm2": row[f"n_{name}"] / area for name in types}
        return row

    return group_table(images, measured)
