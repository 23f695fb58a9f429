"""``eval --compare``: this evaluation against others of the same items, item by item."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cellscope.engine.eval.metric import LEVEL, RESAMPLES
from cellscope.engine.eval.report import EVAL_JSON, PER_IMAGE
from cellscope.errors import UsageError
from cellscope.io.text import one_line
from cellscope.io.write import as_written
from cellscope.metrics.comparison import paired_t, unpaired_t, wilcoxon
from cellscope.metrics.intervals import bootstrap

TABLE = "comparison"
Measures = Callable[[pd.DataFrame], pd.DataFrame]
"""``measures(per_image)`` -> what is compared, a column per measure, rows as in ``per_image.csv``; NaN for unknown."""


def read_others(folders: Sequence[Path], assay: str, dataset_hash: str) -> list[tuple[Path, pd.DataFrame]]:
    """Read ``per_image.csv`` of other evaluations.

    Raises
    ------
    UsageError
        A folder holds no evaluation, or one of another assay.
    """
    found = []
    for folder in folders:
        if not (folder / PER_IMAGE).is_file():
            raise UsageError(f"--compare {folder}: there is no {PER_IMAGE}; give the folder of another eval")
        try:
            record = json.loads((folder / EVAL_JSON).read_text(encoding="utf-8"))
            theirs, hashed = record["assay"], record["dataset"]["hash"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"--compare {folder}: its {EVAL_JSON} is missing or damaged; run that eval again"
            ) from error
        if theirs != assay:
            raise UsageError(f"--compare {folder}: it is an evaluation of {theirs}, not of {assay}")
        if hashed != dataset_hash:
            print(
                f"warning: --compare {one_line(folder)}: it was made on another version of the dataset; items of the "
                "same name are compared",
                file=sys.stderr,
            )
        found.append((folder, pd.read_csv(folder / PER_IMAGE, keep_default_na=False, na_values=[""])))
    return found


def compare_all(
    per_image: pd.DataFrame,
    others: Sequence[tuple[Path, pd.DataFrame]],
    measures: Measures,
    *,
    groups: Mapping[str, str],
    seed: int,
    quiet: bool,
) -> dict[str, pd.DataFrame]:
    """Compare an evaluation with others.

    Parameters
    ----------
    per_image : DataFrame
    others : sequence of (folder, DataFrame)
        From `read_others`.
    measures : callable
    groups : mapping
        Item -> what the bootstrap draws as one.
    seed : int
    quiet : bool

    Returns
    -------
    dict
        Name of the table -> frame of `compare_tables`; ``comparison``, numbered from 1 where there are several.

    Raises
    ------
    UsageError
        An evaluation has no item in common with this one, or lacks what is compared.
    """
    tables = {}
    for number, (folder, other) in enumerate(others, 1):
        try:
            found = compare_tables(as_written(per_image), other, measures, groups=groups, seed=seed)
        except (KeyError, ValueError) as error:
            raise UsageError(f"--compare {folder}: {one_line(str(error))}") from error
        tables[TABLE if len(others) == 1 else f"{TABLE}_{number}"] = found
        if not quiet:
            _say(folder, found)
    return tables


def compare_tables(
    ours: pd.DataFrame,
    theirs: pd.DataFrame,
    measures: Measures,
    *,
    groups: Mapping[str, str] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Test two evaluations of the same items against each other.

    Parameters
    ----------
    ours, theirs : DataFrame
        ``per_image.csv`` of each: ``image``, what `measures` needs, and ``fold`` where folds were evaluated.
    measures : callable
    groups : mapping, optional
        Item -> group (patient, slide); each item is one of its own without.
    seed : int
        Of the bootstrap.

    Returns
    -------
    DataFrame
        A row per measure and test: ``measure, test, unit, ours, theirs, difference, statistic, p, df, n, low, high``.
        Over items that both measured: the paired t-test and Wilcoxon's, and the 95 % bootstrap interval of the mean
        difference, drawn by groups. Over folds (where both have them): the unpaired t-test and the paired one.
        Undefined values are empty; a measure that no item of both has is left out.

    Raises
    ------
    ValueError
        If the two share no item, or an item comes twice.
    """
    for side in (ours, theirs):
        if side["image"].duplicated().any():
            raise ValueError(f"the item {side['image'][side['image'].duplicated()].iloc[0]} comes twice")
    mine, other = (measures(side.reset_index(drop=True)).set_axis(list(side["image"])) for side in (ours, theirs))
    shared = [image for image in mine.index if image in set(other.index)]
    if not shared:
        raise ValueError("the two evaluations have no image in common")
    mine, other = mine.loc[shared], other.loc[shared]
    folds = [side.set_index("image")["fold"].loc[shared] for side in (ours, theirs) if "fold" in side]
    rows = []
    for name in (column for column in mine if column in other):
        x, y = mine[name].to_numpy(float), other[name].to_numpy(float)
        known = np.isfinite(x) & np.isfinite(y)
        if not known.any():
            continue
        kept = [image for image, is_known in zip(shared, known, strict=True) if is_known]
        drawn = [str((groups or {}).get(image, image)) for image in kept]
        rows += _over_items(name, x[known], y[known], drawn, seed)
        if len(folds) == 2 and folds[0].nunique() > 1:
            pairs = pd.DataFrame({"fold": folds[0].to_numpy()[known], "x": x[known], "y": y[known]})
            means = pairs.groupby("fold")[["x", "y"]].mean()
            a, b = means["x"].to_numpy(), means["y"].to_numpy()
            for test, result in (("unpaired t", unpaired_t(a, b)), ("paired t", paired_t(a, b))):
                rows.append(_row(name, test, "fold", a, b, result))
    return pd.DataFrame(rows)


def _over_items(name: str, x: np.ndarray, y: np.ndarray, groups: list[str], seed: int) -> list[dict[str, object]]:
    difference = x - y
    low, high = bootstrap(
        groups, lambda at: float(difference[at].mean()), n=RESAMPLES, seed=seed, level=LEVEL
    )  # fmt: skip
    ends = {"low": np.nan if low is None else low, "high": np.nan if high is None else high}
    tests = (("paired t", paired_t(list(x), list(y))), ("Wilcoxon", wilcoxon(list(x), list(y))))
    return [_row(name, test, "image", x, y, result) | ends for test, result in tests]


def _row(
    name: str, test: str, unit: str, mine: np.ndarray, other: np.ndarray, result: tuple[float, float, int] | None
) -> dict[str, object]:
    statistic, p, freedom = result or (np.nan, np.nan, np.nan)
    return {
        "measure": name,
        "test": test,
        "unit": unit,
        "ours": mine.mean(),
        "theirs": other.mean(),
        "difference": mine.mean() - other.mean(),
        "statistic": statistic,
        "p": p,
        "df": freedom,
        "n": len(mine),
        "low": np.nan,
        "high": np.nan,
    }


def _say(folder: Path, table: pd.DataFrame) -> None:
    for row in table.drop_duplicates("measure").to_dict("records"):
        interval = "" if pd.isna(row["low"]) else f" ({row['low']:.4f} to {row['high']:.4f})"
        print(
            f"against {one_line(folder)}: {row['measure']} {row['ours']:.4f} and {row['theirs']:.4f}, difference "
            f"{row['difference']:+.4f}{interval} over {row['n']} items",
            file=sys.stderr,
        )


def numbers_of(per_image: pd.DataFrame) -> pd.DataFrame:
    """Give all numbers of ``per_image.csv``, for an assay that does not say what to compare."""
    return per_image.select_dtypes("number").drop(columns="fold", errors="ignore")


def right_and_probability(per_image: pd.DataFrame) -> pd.DataFrame:
    """Give of classified items: ``right`` (the call is the class, 1 or 0) and ``p_of_class``, the class's probability.

    Parameters
    ----------
    per_image : DataFrame
        ``class``, ``predicted`` and ``p_<class>``; a single ``p_<class>`` leaves the rest to the other of two classes.
        Items without a class get NaN.
    """
    known = per_image["class"].notna().to_numpy() & (per_image["class"].astype(str) != "").to_numpy()
    columns = [name for name in per_image if name.startswith("p_")]
    chance = np.full(len(per_image), np.nan)
    for name in columns:
        own = (per_image["class"].astype(str) == name.removeprefix("p_")).to_numpy()
        values = per_image[name].to_numpy(float)
        chance[own] = values[own]
        if len(columns) == 1:
            chance[~own & known] = 1 - values[~own & known]
    right = (per_image["class"].astype(str) == per_image["predicted"].astype(str)).to_numpy(float)
    return pd.DataFrame({"right": np.where(known, right, np.nan), "p_of_class": np.where(known, chance, np.nan)})
