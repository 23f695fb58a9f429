"""Which items of a prepared dataset come from one laboratory, scanner, day or cell line: ``--leave-out``."""

from __future__ import annotations

import pandas as pd

from cellscope.errors import UsageError
from cellscope.io.prepared import COLUMNS

SOURCE = "source"
"""What is known of every item: the source it was prepared from, the first part of its id."""

UNKNOWN = "unknown"
"""Stands for an empty value."""

_NO_ORIGIN = {"id", "split", "fold", "image", "target", "class"}


def origins(items: pd.DataFrame) -> pd.DataFrame:
    """Give what is known of where items come from.

    Parameters
    ----------
    items : DataFrame
        Of ``items.csv``: besides its usual columns it may have ``laboratory``, ``scanner``, ``day``, ``line`` and
        others.

    Returns
    -------
    DataFrame
        Same rows; ``source``, ``group`` and the further columns, as text; nothing known is `UNKNOWN`.
    """
    known = {SOURCE: items["id"].str.split("/").str[0], "group": items["group"]}
    known |= {name: items[name] for name in items if name not in {*COLUMNS, SOURCE, *_NO_ORIGIN}}
    return pd.DataFrame(known, index=items.index).fillna("").astype(str).replace("", UNKNOWN)


def is_left_out(items: pd.DataFrame, spec: str) -> pd.Series:
    """Tell which items ``--leave-out`` means.

    Parameters
    ----------
    items : DataFrame
        Of ``items.csv``.
    spec : str
        ``KEY=VALUE``, several with commas: items that fit one of the values of every key named. ``unknown`` is the
        value of items of which nothing is known.

    Returns
    -------
    Series of bool

    Raises
    ------
    UsageError
        It is not of that form, a key that no item has, nothing or everything is left out.
    """
    known = origins(items)
    wanted: dict[str, set[str]] = {}
    for pair in spec.split(","):
        key, equals, value = pair.strip().partition("=")
        if not equals or not key:
            raise UsageError(f"--leave-out {spec}: give KEY=VALUE, such as {_example(known)}")
        wanted.setdefault(_column(known, key, spec), set()).add(value or UNKNOWN)
    chosen = pd.Series(True, index=items.index)
    for key, values in wanted.items():
        if missing := sorted(values - set(known[key])):
            there = ", ".join(sorted(set(known[key]))[:20])
            raise UsageError(f"--leave-out {spec}: no item has {key}={missing[0]}; there are {there}")
        chosen &= known[key].isin(values)
    if not chosen.any() or chosen.all():
        what = "everything" if chosen.all() else "no item"
        raise UsageError(f"--leave-out {spec} means {what} of the dataset")
    return chosen


def each_of(items: pd.DataFrame, spec: str) -> list[str]:
    """List what ``--leave-out KEY`` or ``KEY+KEY`` leaves out in turn: every value, or every combination there is.

    Returns
    -------
    list of str
        For `is_left_out`, sorted; every item is left out by exactly one.

    Raises
    ------
    UsageError
        A key that no item has, or one value only.
    """
    known = origins(items)
    keys = [_column(known, key.strip(), spec) for key in spec.split("+")]
    rows = sorted(set(known[keys].itertuples(index=False, name=None)))
    if len(rows) < 2:
        raise UsageError(
            f"--leave-out {spec}: all items have the same {' and '.join(keys)}; there is nothing to compare"
        )
    return [",".join(f"{key}={value}" for key, value in zip(keys, row, strict=True)) for row in rows]


def in_turn(spec: str | None) -> bool:
    """Tell whether ``--leave-out`` names keys alone, each of whose values is to be left out in turn."""
    return spec is not None and "=" not in spec


def _column(known: pd.DataFrame, key: str, spec: str) -> str:
    if key not in known:
        raise UsageError(f"--leave-out {spec}: items have no {key or 'such key'}; what is known: {', '.join(known)}")
    return key


def _example(known: pd.DataFrame) -> str:
    name = str(known.columns[-1])
    return f"{name}={known[name].iloc[0]}" if len(known) else f"{name}=..."
