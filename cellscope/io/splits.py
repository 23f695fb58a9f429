"""The items of a prepared dataset, and which split and fold each goes to: groups are never separated."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from cellscope.errors import UsageError
from cellscope.io.table import read_table

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Item:
    """One row of `items.csv`.

    Attributes
    ----------
    id : str
        Unique in the dataset; its first part up to ``/`` names the source.
    group : str
        Items of one group (patient, cell, slide, case) are never separated by a split.
    image, target : str
        Paths relative to the dataset folder; `target` is empty where `class_` is all there is.
    class_ : str
        Class name, empty where the target file holds the classes.
    fixed_split : str
        A split this item's group must go to, or empty.
    fixed_fold : int, optional
        A fold this item's group must go to, counted from 0, where a source comes in folds.
    facts : mapping
        More columns of `items.csv`: where the item comes from as far as that is known (`FACTS`), and what else the
        assay wants to keep. An item without a fact has an empty cell.
    origin : str
        POSIX path of the image within its source, what ``--group-by`` looks at; empty where `id` tells it.
    """

    id: str
    group: str
    image: str
    target: str = ""
    class_: str = ""
    fixed_split: str = ""
    fixed_fold: int | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""

    @property
    def source(self) -> str:
        """The name of the data set the item came from."""
        return self.id.split("/", 1)[0]


def divided(
    items: list[Item],
    splits: tuple[float, float, float],
    *,
    held_out: str,
    table: Path | None,
    what: str = "source",
) -> tuple[list[Item], tuple[float, float, float]]:
    """Fix the splits that ``--hold-out`` and ``--split-table`` name.

    Parameters
    ----------
    items : list of Item
    splits : three fractions
    held_out, what
        As for `hold_out`.
    table : Path or None
        See `fixed_by`.

    Returns
    -------
    items : list of Item
    splits : three fractions
        For the items that are left: without a test share where the table names test items.
    """
    items = hold_out(items, held_out, what=what)
    if table is None:
        return items, splits
    items, has_test = fixed_by(items, table)
    return items, without_test(splits) if has_test else splits


def without_test(splits: tuple[float, float, float]) -> tuple[float, float, float]:
    """Share what would be tested between training and validation: the test split is fixed."""
    rest = splits[0] + splits[1]
    return (splits[0] / rest, splits[1] / rest, 0.0) if rest else (1.0, 0.0, 0.0)


def fixed_by(items: list[Item], table: Path) -> tuple[list[Item], bool]:
    """Fix the splits of items by a table, with their groups.

    Parameters
    ----------
    items : list of Item
    table : Path
        CSV with the column ``split`` and ``id`` or ``group``: an item's `id` or `group`, with or without the source
        before the first ``/``.

    Returns
    -------
    items : list of Item
    has_test : bool
        The table names test items.

    Raises
    ------
    UsageError
        A column is missing, a split is not one of the three, a row fits no item, or two rows send a group to two
        splits.
    """
    rows = read_table(table, ("split",))
    column = next((name for name in ("id", "group") if rows and name in rows[0]), None)
    if column is None:
        raise UsageError(f"--split-table {table}: it needs a column id or group beside split")
    names: dict[str, list[str]] = {}
    for item in items:
        name = item.id if column == "id" else item.group
        for key in {name, name.partition("/")[2]} - {""}:
            names.setdefault(key, []).append(item.group)
    wanted: dict[str, str] = {}
    for row in rows:
        if row["split"] not in SPLITS:
            raise UsageError(f"--split-table {table}: {row['split']!r} is no split; there are {', '.join(SPLITS)}")
        groups = set(names.get(row[column], ()))
        if not groups:
            raise UsageError(f"--split-table {table}: no item has the {column} {row[column]}")
        for group in groups:
            if wanted.setdefault(group, row["split"]) != row["split"]:
                raise UsageError(
                    f"--split-table {table}: {row[column]} is {row['split']}, but its group {group} is "
                    f"{wanted[group]}; items of one group stay together"
                )
    fixed = [replace(item, fixed_split=wanted.get(item.group, item.fixed_split)) for item in items]
    return fixed, "test" in wanted.values()


def hold_out(items: list[Item], names: str, *, what: str = "source") -> list[Item]:
    """Send whole sources to the test split (``--hold-out``), to measure on what a training has never seen.

    Parameters
    ----------
    items : list of Item
    names : str
        Of sources, comma between; empty for none.
    what : str
        What the assay calls a source, for the message.

    Raises
    ------
    UsageError
        If there is no such source.
    """
    held = {name.strip() for name in names.split(",")} - {""}
    unknown = held - {item.source for item in items}
    if unknown:
        known = ", ".join(sorted({item.source for item in items}))
        raise UsageError(f"--hold-out: there is no {what} {', '.join(sorted(unknown))}; there are {known}")
    return [replace(item, fixed_split="test") if item.source in held else item for item in items]


def path_in_source(path: Path, source: Path) -> str:
    """Give `Item.origin` of an image file: its path within the source, its name where it lies elsewhere."""
    inside = path.relative_to(source) if path.is_relative_to(source) else Path(path.name)
    return inside.as_posix()


def assign_splits(items: list[Item], splits: tuple[float, float, float], seed: int) -> dict[str, str]:
    """Give every group a split, source by source, so that each source is spread as asked.

    Parameters
    ----------
    items : list of Item
    splits : three fractions (train, val, test) that sum to 1
    seed : int

    Returns
    -------
    dict
        Group -> ``train``, ``val`` or ``test``. A group with a `fixed_split` keeps it. Groups are shuffled and dealt,
        each to the split that lacks most of its share (counted in items), so a group shared by two sources stays
        whole.
    """
    if abs(sum(splits) - 1) > 1e-6 or min(splits) < 0:
        raise UsageError(f"--splits must be three fractions that sum to 1, not {','.join(map(str, splits))}")
    assigned: dict[str, str] = {item.group: item.fixed_split for item in items if item.fixed_split}
    for source in sorted({item.source for item in items}):
        sizes: dict[str, int] = {}
        for item in items:
            if item.source == source:
                sizes[item.group] = sizes.get(item.group, 0) + 1
        have = dict.fromkeys(SPLITS, 0)
        for group, size in sizes.items():
            if group in assigned:
                have[assigned[group]] += size
        # what is tested is no part of what is shared out where nothing more is to be tested
        total = sum(sizes.values()) - (0 if splits[2] else have["test"])
        names = sorted(group for group in sizes if group not in assigned)
        np.random.default_rng([seed, *hashlib.sha256(source.encode()).digest()[:4]]).shuffle(names)
        for group in names:
            lacking = [fraction * total - have[name] for name, fraction in zip(SPLITS, splits, strict=True)]
            split = SPLITS[int(np.argmax(lacking))]
            assigned[group] = split
            have[split] += sizes[group]
    return assigned


def assign_folds(items: list[Item], folds: int, seed: int) -> dict[str, int]:
    """Deal groups to `folds` folds, largest first, each to the fold with fewest items. No folds: -1 for all.

    A group with a `fixed_fold` keeps it.
    """
    if folds == 0:
        return {item.group: -1 for item in items}
    fixed = {item.group: item.fixed_fold for item in items if item.fixed_fold is not None}
    if fixed and max(fixed.values()) >= folds:
        raise UsageError(
            f"--folds {folds}: a source comes in {max(fixed.values()) + 1} folds of its own; ask for those"
        )
    sizes: dict[str, int] = {}
    for item in items:
        sizes[item.group] = sizes.get(item.group, 0) + 1
    if folds < 2 or folds > len(sizes):
        raise UsageError(f"--folds {folds} cannot be made of {len(sizes)} groups; use 2 to {len(sizes)}")
    names = sorted(sizes.keys() - fixed.keys())
    np.random.default_rng(seed).shuffle(names)
    names.sort(key=lambda name: -sizes[name])
    have = np.zeros(folds, int)
    result = dict(fixed)
    for name, fold in fixed.items():
        have[fold] += sizes[name]
    for name in names:
        fold = int(np.argmin(have))
        result[name] = fold
        have[fold] += sizes[name]
    return result
