"""The prepared dataset: a folder with `dataset.json`, `items.csv` and the files they name."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PureWindowsPath
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from cellscope.errors import DatasetError, UsageError
from cellscope.io.document import misfit, read_json
from cellscope.io.pages import Pages
from cellscope.io.splits import SPLITS, Item, assign_folds, assign_splits
from cellscope.io.text import from_cell, one_line
from cellscope.io.write import write_csv, write_json

T = TypeVar("T")

SCHEMA = "cellscope.dataset/1"
COLUMNS = ["id", "split", "fold", "group", "image", "target", "class"]
#: Columns behind them, where known, in this order; an assay's own come last, by name.
FACTS = ("source", "laboratory", "scanner", "day", "line", "organ")
INNER = 0.15
"""Share of the training folds of a cross-validation that weights and thresholds are chosen on."""
CHOSEN_ON = "chosen_on"
"""In the card of a model of a cross-validation: what chose its weights. Cards without it are of models that were chosen
on the fold they left out."""
LEFT_OUT = "left-out"
"""The split of items that ``--leave-out`` keeps out of a training; see `PreparedDataset.leaving_out`."""


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


def _leaves(name: str) -> bool:
    r"""Tell whether a name in a table leads out of the folder, on any system: ``../a``, ``/a``, ``C:\a``."""
    windows = PureWindowsPath(name)
    return ".." in windows.parts or bool(windows.drive) or bool(windows.root)


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
    pages : Pages or None
        Where what is read is kept; None keeps all in memory.
    """

    root: Path
    info: dict[str, Any]
    items: pd.DataFrame = field(repr=False)
    pages: Pages | None = field(default=None, repr=False)

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
            info = read_json(header)
            items = pd.read_csv(root / "items.csv", dtype=str, keep_default_na=False)
        except (UsageError, ValueError, OSError) as error:
            raise DatasetError(f"{root} cannot be read as a prepared dataset: {one_line(str(error))}") from error
        if not isinstance(info, dict):
            raise DatasetError(f"{header} is not the description of a prepared dataset; prepare it again")
        for name in [name for name, column in items.items() if column.str.startswith("'").any()]:
            items[name] = items[name].map(from_cell)
        if info.get("schema") != SCHEMA:
            raise DatasetError(f"{header} has schema {info.get('schema')!r}, not {SCHEMA!r}; prepare it again")
        if wrong := _fault(info):
            raise DatasetError(f"{header} cannot be used ({wrong}); prepare it again")
        if info.get("assay") != assay:
            raise DatasetError(f"{root} was prepared for {info.get('assay')}, not for {assay}")
        missing = [name for name in COLUMNS if name not in items]
        if missing:
            raise DatasetError(f"{root / 'items.csv'} has no column {', '.join(missing)}")
        for name in (*items["image"], *items["target"]):
            if _leaves(name):
                raise DatasetError(f"{root / 'items.csv'} names {one_line(name)}, which is outside its folder")
        return cls(root, info, items)

    @property
    def hash(self) -> str:
        """The content hash written when the dataset was prepared."""
        return str(self.info.get("hash", ""))

    def keep(self, item: T) -> T:
        """Keep what was read of an item where the dataset keeps such things; see `cellscope.io.pages.Pages.keep`."""
        return item if self.pages is None else self.pages.keep(item)

    def leaving_out(self, chosen: pd.Series) -> PreparedDataset:
        """Give the same dataset with the chosen items in the split `LEFT_OUT`, whatever split they were in."""
        items = self.items.copy()
        items.loc[chosen, "split"] = LEFT_OUT
        return replace(self, items=items)

    def folded(self, fold: int, *, val_fold: int | None = None) -> PreparedDataset:
        """Give the same dataset as one turn of a cross-validation sees it.

        Parameters
        ----------
        fold : int
            The fold that is measured: the split ``test``. Nothing of it chooses weights or thresholds.
        val_fold : int, optional
            The fold that is ``val``. By default about `INNER` of the items of the other folds are, whole groups of
            every source that has more than one.

        Returns
        -------
        PreparedDataset
            The rest is ``train``; items that were left out stay so.

        Raises
        ------
        DatasetError
            No item is in the fold, or the other folds hold one group alone.
        UsageError
            `val_fold` is `fold`.
        """
        if val_fold == fold:
            raise UsageError(f"--val-fold {fold} is the fold that --fold leaves out to be measured; give another")
        items, present = self.items.copy(), self.items["split"] != LEFT_OUT
        for number in (fold, *(() if val_fold is None else (val_fold,))):
            if not (present & (items["fold"] == str(number))).any():
                raise DatasetError(f"{self.root} has no item in fold {number}; prepare it with --folds K")
        items.loc[present, "split"] = "train"
        items.loc[present & (items["fold"] == str(fold)), "split"] = "test"
        if val_fold is not None:
            items.loc[present & (items["fold"] == str(val_fold)), "split"] = "val"
        else:
            rest = items[items["split"] == "train"]
            items.loc[rest.index[_inner(rest, int(self.info.get("seed", 0)) + fold)], "split"] = "val"
        return replace(self, items=items)

    def in_fold(self, fold: int) -> pd.DataFrame:
        """Rows of one fold.

        Raises
        ------
        DatasetError
            If it holds no item.
        """
        rows = self.items[(self.items["fold"] == str(fold)) & (self.items["split"] != LEFT_OUT)]
        if rows.empty:
            raise DatasetError(f"{self.root} has no item in fold {fold}")
        return rows

    def splits(self, name: str) -> pd.DataFrame:
        """Rows of one split, or with ``all`` those of every split; what `leaving_out` keeps out stays out."""
        return self.items[self.items["split"] != LEFT_OUT] if name == "all" else self.split(name)

    def split(self, name: str) -> pd.DataFrame:
        """Rows of one split.

        Raises
        ------
        DatasetError
            If the split holds no item.
        """
        rows = self.items[self.items["split"] == name]
        if rows.empty:
            raise DatasetError(f"{self.root} has no item in split {name!r}")
        return rows


def _fault(info: dict[str, Any]) -> str:
    """Say what field of a `dataset.json` is not what it must be; an empty string where all are."""
    from pydantic import ConfigDict, FiniteFloat, TypeAdapter, ValidationError, with_config
    from typing_extensions import TypedDict

    @with_config(ConfigDict(extra="allow"))
    class Info(TypedDict, total=False):
        assay: str
        classes: list[str]
        pixel_size_um: FiniteFloat | None
        seed: int
        folds: int
        hash: str
        sources: list[Any]
        counts: dict[str, int]

    try:
        TypeAdapter(Info).validate_python(info)
    except ValidationError as error:
        return misfit(error)
    return ""


def _inner(rows: pd.DataFrame, seed: int) -> np.ndarray:
    """Choose the rows of the training folds that weights and thresholds are chosen on; (N,) bool."""
    if rows["group"].nunique() < 2:
        raise DatasetError("the other folds hold one group alone: nothing is left to validate on; use fewer folds")
    items = [Item(str(row.id), str(row.group), str(row.image)) for row in rows.itertuples()]
    split_of = assign_splits(items, (1 - INNER, INNER, 0.0), seed)
    chosen = rows["group"].map(split_of).to_numpy() == "val"
    if not chosen.any():  # few groups, each larger than the share
        chosen = (rows["group"] == rows["group"].value_counts(sort=False).sort_index().idxmin()).to_numpy()
    return chosen
