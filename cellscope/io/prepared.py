"""The prepared dataset: a folder with `dataset.json`, `items.csv` and the files they name (DESIGN section 4)."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellscope.errors import DatasetError, UsageError
from cellscope.io.write import write_csv, write_json

SCHEMA = "cellscope.dataset/1"
COLUMNS = ["id", "split", "fold", "group", "image", "target", "class"]
#: Columns behind them, where known, in this order; an assay's own come last, by name.
FACTS = ("source", "laboratory", "scanner", "day", "line", "organ")
SPLITS = ("train", "val", "test")
LEFT_OUT = "left-out"
"""The split of items that ``--leave-out`` keeps out of a training; see `PreparedDataset.leaving_out`."""


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
    """

    id: str
    group: str
    image: str
    target: str = ""
    class_: str = ""
    fixed_split: str = ""
    fixed_fold: int | None = None
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """The name of the data set the item came from."""
        return self.id.split("/", 1)[0]


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
        total = sum(sizes.values())
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


def write_dataset(
    root: Path,
    items: list[Item],
    *,
    assay: str,
    classes: list[str],
    sources: list[dict[str, Any]],
    pixel_size_um: float | None,
    seed: int,
    splits: tuple[float, float, float],
    folds: int,
    extra: dict[str, Any] | None = None,
    beside: Iterable[str] = (),
) -> str:
    """Write `items.csv` and, last, `dataset.json`; the files the items name must be there already.

    Parameters
    ----------
    beside : iterable of str
        More files, relative to `root`, that belong to the content and its hash: what items have beside their target.

    Returns
    -------
    str
        The content hash: over `items.csv` and the bytes of every file named in it.
    """
    if not items:
        raise DatasetError(f"nothing to prepare for {root}: the sources hold no item")
    repeated = [name for name, count in Counter(item.id for item in items).items() if count > 1]
    if repeated:
        raise DatasetError(f"two items share the id {repeated[0]} ({len(repeated)} such); was a source given twice?")
    split_of = assign_splits(items, splits, seed)
    fold_of = assign_folds(items, folds, seed)
    items = sorted(items, key=lambda item: item.id)
    rows = [
        [item.id, split_of[item.group], fold_of[item.group], item.group, item.image, item.target, item.class_]
        for item in items
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    facts = [{"source": item.source, **item.facts} for item in items]
    known = {name for one in facts for name, value in one.items() if value}
    for name in (*(name for name in FACTS if name in known), *sorted(known - set(FACTS))):
        table[name] = [one.get(name, "") for one in facts]
    if not folds:
        table["fold"] = ""
    write_csv(root / "items.csv", table)
    digest = content_hash(root, table, beside)
    counts = {name: int((table["split"] == name).sum()) for name in SPLITS}
    write_json(
        root / "dataset.json",
        {
            "schema": SCHEMA,
            "assay": assay,
            "classes": classes,
            "pixel_size_um": pixel_size_um,
            "sources": sources,
            "seed": seed,
            "splits": list(splits),
            "folds": folds,
            "items": len(items),
            "counts": counts,
            "hash": digest,
            **(extra or {}),
        },
    )
    return digest


def content_hash(root: Path, table: pd.DataFrame, beside: Iterable[str] = ()) -> str:
    """Hash `items.csv`, every file it names and those `beside` them (sha256, hexadecimal)."""
    total = hashlib.sha256((root / "items.csv").read_bytes())
    names = sorted((set(table["image"]) | set(table["target"]) | set(beside)) - {""})
    for name in names:
        total.update(name.encode())
        total.update(hashlib.sha256((root / name).read_bytes()).digest())
    return total.hexdigest()


@dataclass(frozen=True)
class PreparedDataset:
    """A prepared dataset opened for reading.

    Attributes
    ----------
    root : Path
    info : dict
        The contents of `dataset.json`.
    items : DataFrame
        The rows of `items.csv`, all columns as strings.
    """

    root: Path
    info: dict[str, Any]
    items: pd.DataFrame = field(repr=False)

    @classmethod
    def open(cls, root: Path, *, assay: str) -> PreparedDataset:
        """Open `root` and check that it is a dataset prepared for `assay`.

        Raises
        ------
        DatasetError
            If a file is missing, malformed or of another schema or assay.
        """
        root = Path(root)
        header = root / "dataset.json"
        if not header.is_file():
            raise DatasetError(
                f"{root} is not a prepared dataset (no dataset.json); make one with: cellscope {assay} prepare"
            )
        try:
            info = json.loads(header.read_text())
            items = pd.read_csv(root / "items.csv", dtype=str, keep_default_na=False)
        except (ValueError, OSError) as error:
            raise DatasetError(f"{root} cannot be read as a prepared dataset: {error}") from error
        if info.get("schema") != SCHEMA:
            raise DatasetError(f"{header} has schema {info.get('schema')!r}, not {SCHEMA!r}; prepare it again")
        if info.get("assay") != assay:
            raise DatasetError(f"{root} was prepared for {info.get('assay')}, not for {assay}")
        missing = [name for name in COLUMNS if name not in items]
        if missing:
            raise DatasetError(f"{root / 'items.csv'} has no column {', '.join(missing)}")
        return cls(root, info, items)

    @property
    def hash(self) -> str:
        """The content hash written when the dataset was prepared."""
        return str(self.info.get("hash", ""))

    def leaving_out(self, chosen: pd.Series) -> PreparedDataset:
        """Give the same dataset with the chosen items in the split `LEFT_OUT`, whatever split they were in."""
        items = self.items.copy()
        items.loc[chosen, "split"] = LEFT_OUT
        return replace(self, items=items)

    def split(self, name: str, *, fold: int | None = None) -> pd.DataFrame:
        """Rows of one split; with `fold`, that fold is ``val`` and the others are ``train``.

        Raises
        ------
        DatasetError
            If the split or fold holds no item.
        """
        if fold is not None and name != LEFT_OUT:
            held = self.items["fold"] == str(fold)
            rows = self.items[(held if name == "val" else ~held) & (self.items["split"] != LEFT_OUT)]
        else:
            rows = self.items[self.items["split"] == name]
        if rows.empty:
            raise DatasetError(
                f"{self.root} has no item in split {name!r}" + (f" of fold {fold}" if fold is not None else "")
            )
        return rows
