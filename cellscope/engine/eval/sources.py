"""Left-out sources, each on its own: the mean over them and the worst say how a new laboratory will fare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

LEFT_OUT_SOURCES = "left_out.csv"
"""A row per left-out source, then ``mean`` and ``worst``."""

LOWER_IS_BETTER = ("calibration_error", "mean_error")


def by_source(
    sources: np.ndarray, measure: Callable[[np.ndarray], Mapping[str, float | None]], *, lower: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Measure every source alone.

    Parameters
    ----------
    sources : (N,) array of str
        Of each item.
    measure : callable
        (n,) int, places of items -> measures by name; None where undefined.
    lower : tuple of str
        Measures, besides `LOWER_IS_BETTER`, of which the largest is the worst.

    Returns
    -------
    DataFrame
        ``source``, ``n`` and the measures: a row per source, sorted; then ``mean``, each source counting alike, and
        ``worst``. Undefined measures are left out of both.
    """
    rows = []
    for source in np.unique(sources):
        places = np.flatnonzero(sources == source)
        rows.append({"source": str(source), "n": len(places), **measure(places)})
    table = pd.DataFrame(rows)
    numbers = table.drop(columns=["source", "n"]).astype(float)
    worst = {
        name: numbers[name].max() if name in (*LOWER_IS_BETTER, *lower) else numbers[name].min() for name in numbers
    }
    ends = [{"source": "mean", "n": len(sources), **numbers.mean()}, {"source": "worst", "n": len(sources), **worst}]
    return pd.concat([table.assign(**numbers), pd.DataFrame(ends)], ignore_index=True)


def left_out_metrics(sources: pd.DataFrame) -> dict[str, Any]:
    """Give what a model card says of left-out sources: mean and worst of each measure."""
    ends = sources.set_index("source").loc[["mean", "worst"]].drop(columns="n")
    return {
        f"left_out_{name}_{end}": None if pd.isna(ends.loc[end, name]) else float(ends.loc[end, name])
        for name in ends
        for end in ("mean", "worst")
    }


def left_out_lines(sources: pd.DataFrame, shown: Sequence[str]) -> list[str]:
    """Tell what each source is worth in some of the measures, a line each."""
    return [
        f"left out {row['source']}: " + ", ".join(f"{name} {row[name]:.3f}" for name in shown if name in row)
        for row in sources.to_dict("records")
    ]
