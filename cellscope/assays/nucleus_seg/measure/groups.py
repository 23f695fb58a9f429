"""What the nuclei of a slide's or a patient's images look like together: ``groups.csv``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cellscope.engine.assay import RunSummary
from cellscope.engine.predict.by_group import group_table

if TYPE_CHECKING:
    import pandas as pd

    from cellscope.models.card import ModelCard

#: Quartiles are given of these columns of ``objects.csv``.
MEASURES = ("area", "area_um2", "circularity", "nucleus_cell_ratio", "n_lobes", "density_mean")


def summarise(images: pd.DataFrame, objects: pd.DataFrame, options: Any, cards: Mapping[str, ModelCard]) -> RunSummary:
    """Make ``groups.csv`` with ``--group-by``: counts, and median and quartiles of the nuclei's measures.

    Nuclei that the image's border cuts are counted, but their measures are not used.

    Parameters
    ----------
    images, objects : DataFrame
        ``images.csv``, ``objects.csv``.
    options, cards
        Not used.
    """
    whole = objects[objects["cut_by_border"].astype(str) != "True"] if "cut_by_border" in objects else objects

    def measured(done: pd.DataFrame) -> dict[str, Any]:
        here = objects[objects["image"].isin(done["image"])]
        complete = whole[whole["image"].isin(done["image"])]
        row: dict[str, Any] = {
            "n_nuclei": len(here),
            "n_review": int((here["review"].astype(str) == "True").sum()),
            "n_whole": len(complete),
        }
        for name in MEASURES:
            if name in complete:
                low, middle, high = complete[name].astype(float).quantile([0.25, 0.5, 0.75])
                row |= {f"{name}_median": middle, f"{name}_q25": low, f"{name}_q75": high}
        return row

    return group_table(images, measured)
