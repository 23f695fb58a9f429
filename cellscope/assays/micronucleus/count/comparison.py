"""Treated conditions against their control: Fisher's exact test for each, and a trend over the doses.

Counts in, numbers out; no image and no file.

References
----------
OECD, Test No. 487: In Vitro Mammalian Cell Micronucleus Test (2016, revised 2023), paragraphs on evaluation of results;
P. Armitage, Biometrics 11 (1955) 375-386; W. G. Cochran, Biometrics 10 (1954) 417-451 (the trend);
S. Holm, Scand. J. Stat. 6 (1979) 65-70 (several tests against one control).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr

from cellscope.errors import UsageError

OECD_CELLS = 2000
"""Cells that OECD 487 asks to be scored of each concentration and of the control."""

_NUMBER = re.compile(r"(?<![\w.])(?P<number>\d+(?:[.,]\d+)?)\s*(?P<unit>[^\s\d_,;()-]*)")
_THOUSANDS = re.compile(r"[1-9]\d{0,2},\d{3}")
"""A number whose comma may stand before decimals or between thousands."""


@dataclass(frozen=True)
class Trend:
    """Cochran and Armitage's test that a share changes in line with a dose.

    Attributes
    ----------
    z : float
        Standard normal without a trend; positive for shares that rise.
    p_value : float
        Two-sided.
    p_rising : float
        Of a rise.
    """

    z: float
    p_value: float
    p_rising: float


def trend_test(positive: Sequence[int], total: Sequence[int], dose: Sequence[float]) -> Trend | None:
    """Test for a trend; None without contrast: one dose only, or no or every cell positive.

    Parameters
    ----------
    positive, total : sequence of int
        Micronucleated cells and all cells of each group.
    dose : sequence of float
    """
    k, n, d = (np.asarray(values, float) for values in (positive, total, dose))
    share = k.sum() / n.sum()
    spread = float((n * d**2).sum() - (n * d).sum() ** 2 / n.sum())
    if share in (0.0, 1.0) or spread <= 1e-12 * max(float((n * d**2).sum()), 1e-300):
        return None
    z = float((d * (k - n * share)).sum()) / math.sqrt(share * (1 - share) * spread)
    return Trend(z, float(2 * ndtr(-abs(z))), float(ndtr(-z)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number (Holm)."""
    order = np.argsort(p_values, kind="stable")
    adjusted, worst = np.zeros(len(order)), 0.0
    for rank, place in enumerate(order):
        worst = max(worst, min(1.0, (len(order) - rank) * p_values[place]))
        adjusted[place] = worst
    return [float(value) for value in adjusted]


def doses_of(groups: Sequence[str], said: str, control: str) -> dict[str, float]:
    """Give the dose of every group: what `said` names, else the one number in its name; the control is 0 without one.

    Numbers of several units are not compared: ``500 nM`` is less than ``1 uM``. What zero is of does not matter.

    Parameters
    ----------
    groups : sequence of str
    said : str
        ``control=0,low=1.5,high=5``; may be empty.
    control : str

    Returns
    -------
    dict
        Empty where a group's dose is not known.

    Raises
    ------
    UsageError
        `said` is not of that form, or names a group that is not there.
    """
    if said:
        return _said(groups, said)
    found, units = {}, set()
    for group in groups:
        numbers = list(_NUMBER.finditer(group))
        if len(numbers) == 1 and not _THOUSANDS.fullmatch(numbers[0]["number"]):
            found[group] = float(numbers[0]["number"].replace(",", "."))
            units |= {_unit(numbers[0]["unit"])} if found[group] else set()
        elif group == control and not numbers:
            found[group] = 0.0
        else:
            return {}
    return found if len(units) <= 1 else {}


def _unit(written: str) -> str:
    """Give a unit as it is compared: without regard to case, micro as u."""
    return written.replace("\N{MICRO SIGN}", "u").replace("\N{GREEK SMALL LETTER MU}", "u").casefold()


def _said(groups: Sequence[str], said: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for pair in said.split(","):
        name, equals, value = pair.rpartition("=")
        try:
            dose = float(value)
        except ValueError:
            dose = math.nan
        if not equals or not math.isfinite(dose) or name.strip() in found:
            raise UsageError(f"--doses {said}: give GROUP=NUMBER once for every group, such as {groups[0]}=0")
        found[name.strip()] = dose
    if missing := sorted(set(groups) ^ set(found)):
        raise UsageError(f"--doses {said}: {missing[0]} is not in both the list and the groups ({', '.join(groups)})")
    return found


def compare(frequencies: pd.DataFrame, control: str, doses: Mapping[str, float]) -> tuple[pd.DataFrame, Trend | None]:
    """Compare every group with the control.

    Parameters
    ----------
    frequencies : DataFrame
        Rows of ``frequency.csv``, one per group.
    control : str
        Name of the control group.
    doses : mapping
        Group -> dose, for the order of rows and the trend; empty where unknown.

    Returns
    -------
    table : DataFrame
        A row per group, the control first: counts, ``difference_per_1000``, ``ratio``, ``fisher_p`` (two-sided),
        ``fisher_p_rise`` (more than the control), ``fisher_p_holm`` (that, for the number of groups), ``enough_cells``
        (by OECD 487), and the trend's z and p-values in the control's row.
    trend : Trend or None

    Raises
    ------
    UsageError
        There is no such group, or no other.
    """
    from scipy.stats import fisher_exact  # here, since it takes long to import and most runs do without

    names = frequencies["group"].tolist()
    if control not in names:
        raise UsageError(f"--control {control}: no group has this name; there are {', '.join(names)}")
    if len(names) < 2:
        raise UsageError(f"--control {control}: there is no other group to compare with")
    order = sorted((name for name in names if name != control), key=lambda name: (doses.get(name, 0.0), name))
    rows = frequencies.set_index("group").loc[[control, *order]]
    positive, total = (rows[name].astype(int).tolist() for name in ("n_micronucleated", "n_nuclei"))
    shares = [k / n for k, n in zip(positive, total, strict=True)]
    tests = []
    for k, n in zip(positive[1:], total[1:], strict=True):
        square = [[k, n - k], [positive[0], total[0] - positive[0]]]
        tests.append([float(fisher_exact(square, alternative=side)[1]) for side in ("two-sided", "greater")])
    trend = trend_test(positive, total, [doses[name] for name in rows.index]) if doses else None
    blank: dict[str, Any] = {}
    adjusted = holm([rise for _, rise in tests])
    made = []
    for place, name in enumerate(rows.index):
        row = {
            "group": name,
            "dose": doses.get(str(name)),
            "n_nuclei": total[place],
            "n_micronucleated": positive[place],
        }
        row |= {"per_1000": 1000 * shares[place], "enough_cells": total[place] >= OECD_CELLS}
        if place:
            row |= {"difference_per_1000": 1000 * (shares[place] - shares[0])}
            row |= {"ratio": shares[place] / shares[0] if shares[0] else None}
            row |= dict(zip(("fisher_p", "fisher_p_rise"), tests[place - 1], strict=True))
            row |= {"fisher_p_holm": adjusted[place - 1]}
        elif trend is not None:
            blank = {"trend_z": trend.z, "trend_p": trend.p_value, "trend_p_rise": trend.p_rising}
        made.append(row | (blank if not place else {}))
    columns = [
        "group", "dose", "n_nuclei", "n_micronucleated", "per_1000", "enough_cells", "difference_per_1000", "ratio",
        "fisher_p", "fisher_p_rise", "fisher_p_holm", "trend_z", "trend_p", "trend_p_rise",
    ]  # fmt: skip
    return pd.DataFrame(made).reindex(columns=columns), trend
