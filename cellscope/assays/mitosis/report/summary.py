"""Abnormal divisions per condition: counts, Wilson intervals, and their plot against dose."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from cellscope.assays.mitosis.report.figures import conditions_figure
from cellscope.assays.mitosis.sequences.names import abnormal_classes, parse_name
from cellscope.engine.assay import RunSummary
from cellscope.engine.familiarity.together import unfamiliar_among
from cellscope.metrics.intervals import wilson
from cellscope.models.card import ModelCard
from cellscope.report.plots import DPI, render_figure

TABLE, FIGURE = "conditions", "conditions.png"
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")


def summarise(images: pd.DataFrame, objects: pd.DataFrame, options: Any, cards: Mapping[str, ModelCard]) -> RunSummary:
    """Count abnormal divisions per group; without ``--group-by`` there is nothing to compare."""
    counted = abnormal_classes(cards["classify"].classes, cards["classify"].training)
    headline = _headline(objects, counted)
    if "group" not in images:
        return RunSummary(headline=headline)
    table = conditions_table(images, objects, counted)
    if table.empty:
        return RunSummary({TABLE: table}, headline=headline)
    warnings = [] if table["n"].min() >= 20 else ["conditions with fewer than 20 divisions: their intervals are wide"]
    picture = (render_figure(conditions_figure(table)), DPI)
    return RunSummary({TABLE: table}, {FIGURE: picture}, (FIGURE,), warnings, headline)


def _headline(objects: pd.DataFrame, counted: Collection[str]) -> list[tuple[str, Any]]:
    """Give the abnormal divisions of the run, with their share."""
    if objects.empty:
        return []
    hits = int(objects["class"].isin(counted).sum())
    return [("abnormal divisions", f"{hits} of {len(objects)} ({hits / len(objects):.0%})")]


def conditions_table(images: pd.DataFrame, objects: pd.DataFrame, counted: Collection[str]) -> pd.DataFrame:
    """Count divisions by group.

    Parameters
    ----------
    images, objects : DataFrame
        Of a run; `images` with a column ``group``.
    counted : collection of str
        The classes that count as abnormal.

    Returns
    -------
    DataFrame
        A row per group that is not empty, by series and dose: ``group, series, dose, n_inputs, n, n_abnormal,
        abnormal_fraction, low, high, n_review, n_unfamiliar``. ``dose`` is the number before Gy in the group's name, or
        the name if it is a number; ``series`` what the name says besides. Fraction and interval are empty
        without a division.
    """
    of = images.set_index("image")["group"]
    mine = objects.assign(group=objects["image"].map(of).fillna(""))
    rows = []
    for group in sorted(name for name in of.unique() if name):
        part = mine[mine["group"] == group]
        dose, series = dose_of(group)
        hits = int(part["class"].isin(counted).sum())
        low, high = wilson(hits, len(part))
        review = int((part["review"].astype(str) == "True").sum())
        share = hits / len(part) if len(part) else None
        unlike = unfamiliar_among(images[images["group"] == group])
        rows.append([group, series, dose, int((of == group).sum()), len(part), hits, share, low, high, review, unlike])
    columns = [
        "group", "series", "dose", "n_inputs", "n", "n_abnormal", "abnormal_fraction", "low", "high", "n_review",
        "n_unfamiliar",
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values(["series", "dose", "group"], ignore_index=True)


def dose_of(group: str) -> tuple[float | None, str]:
    """Read dose in gray and the rest from a group's name.

    Examples
    --------
    >>> dose_of("4"), dose_of("PC3_4Gy"), dose_of("control")
    ((4.0, ''), (4.0, 'PC3'), (None, 'control'))
    """
    if _NUMBER.fullmatch(group.strip()):
        return float(group.replace(",", ".")), ""
    facts = parse_name(group)
    if not facts.dose:
        return None, group
    written = re.escape(facts.dose).replace(r"\.", "[.,]")
    rest = re.sub(rf"(?<![\d.])(?<!\d,){written}\s?Gy", "", group, flags=re.IGNORECASE)
    return float(facts.dose), rest.strip(" _-/.,")
