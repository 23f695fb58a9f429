"""A row of ``frequency.csv``: counts of a group, intervals, what is adjusted for wrong calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cellscope.assays.micronucleus.classes import MICRONUCLEUS
from cellscope.assays.micronucleus.classify.calibration import DECISION
from cellscope.assays.micronucleus.count.adjustment import Counts, adjusted_frequency, observed_interval
from cellscope.assays.micronucleus.count.frequency import Corrected, corrected_frequency, dispersion, within_errors
from cellscope.assays.micronucleus.count.rates import ErrorRates, calibrated_rates, new_line_rates
from cellscope.engine.familiarity.together import mostly, unfamiliar_among

UNFAMILIAR = "n_unfamiliar"
UNLIKE = 0.01
"""A chance of fields differing as they do below this is reported."""


@dataclass(frozen=True)
class Measured:
    """What is known of wrong calls.

    Attributes
    ----------
    errors : mapping or None
        From `cellscope.assays.micronucleus.classify.calibration.error_counts`.
    spread : mapping or None
        What cell lines that the training left out told: `cellscope.assays.micronucleus.count.rates.new_line_rates`.
    threshold : float
        From which a cell is called positive.
    rates : ErrorRates or None
        Measured on these very cells: neither of the others matters then.
    """

    errors: Mapping[str, int] | None = None
    spread: Mapping[str, Any] | None = None
    threshold: float = DECISION
    rates: ErrorRates | None = None

    def of_lines(self, fields: int) -> ErrorRates | None:
        """Give the rates that vary beyond chance, for so many fields; None where that is not known."""
        if self.rates is not None:
            return self.rates
        return None if self.spread is None else new_line_rates(self.spread, self.threshold, fields)


def cells_of(objects: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Give the scorable cells of some images, ``corrected``, ``unseen`` and ``n_micronuclei`` as what they are.

    Parameters
    ----------
    objects : DataFrame
        ``objects.csv``, read back: what is true may be text, and crops lack some of the columns.
    images : DataFrame
        Rows of ``images.csv``.
    """
    columns = ("image", "class", "scorable", "corrected", "unseen", "n_micronuclei")
    cells = objects.reindex(columns=list(columns))
    for name in ("scorable", "corrected", "unseen"):
        cells[name] = cells[name].astype(str).str.lower() == "true"
    cells["n_micronuclei"] = pd.to_numeric(cells["n_micronuclei"], errors="coerce")
    return cells[cells["scorable"] & cells["image"].isin(set(images["image"]))]


def adjust(counts: Counts, measured: Measured, fields: int, index: float | None) -> Corrected | None:
    """Adjust a frequency for wrong calls with the best that is known of them; None where nothing is.

    Where neither lines nor a person have a say, by Rogan and Gladen's estimate with Lang and Reiczigel's interval.
    """
    rates, errors = measured.of_lines(fields), measured.errors
    if rates is None and errors is None:
        return None
    if rates is None and errors is not None:
        if not counts.decided:
            return corrected_frequency(
                counts.positive,
                counts.total,
                true_positive=errors["true_positive"],
                positives=errors["positive"],
                false_positive=errors["false_positive"],
                negatives=errors["negative"],
                index=index,
            )
        rates = calibrated_rates(errors)
    return Corrected(None, None, None) if rates is None else adjusted_frequency(counts, rates, index)


def frequency_row(
    name: str, images: pd.DataFrame, measured: Measured, cells: pd.DataFrame
) -> tuple[dict[str, Any], list[str]]:
    """Sum up the fields of one group.

    Parameters
    ----------
    name : str
    images : DataFrame
        Rows of ``images.csv`` with at least one scorable cell each.
    measured : Measured
    cells : DataFrame
        From `cells_of`.

    Returns
    -------
    row : dict
    warnings : list of str
    """
    columns = ("n_nuclei", "n_micronucleated")
    counted = {column: pd.to_numeric(images[column], errors="coerce").fillna(0).to_numpy(int) for column in columns}
    total, positive = (int(values.sum()) for values in counted.values())
    decided = cells[cells["corrected"]]
    confirmed = int((decided["class"] == MICRONUCLEUS).sum())
    counts = Counts(len(decided), confirmed, total - len(decided), positive - confirmed)
    # a crop tells whether its cell carries micronuclei, not how many: with one of them the sum is not known
    localised = pd.to_numeric(images["n_micronuclei"], errors="coerce")
    found = None if localised.isna().any() else int(localised.sum())
    spread = dispersion(counted["n_micronucleated"], counted["n_nuclei"])
    low, high = observed_interval(counts, measured.of_lines(len(images)), spread.index)
    assert low is not None
    assert high is not None
    row: dict[str, Any] = {
        "group": name,
        "n_fields": len(images),
        "n_nuclei": total,
        "n_micronucleated": positive,
        "n_micronuclei": found,
        "per_1000": 1000 * positive / total,
        "per_1000_low": 1000 * low,
        "per_1000_high": 1000 * high,
        "mn_per_nucleus": None if found is None else found / total,
        "dispersion": spread.index,
        "dispersion_p": spread.p_value,
    }
    warnings = []
    if spread.p_value is not None and spread.p_value < UNLIKE:
        warnings.append(
            f"{name}: the fields differ more than chance (dispersion {spread.index:.2f}, p = {spread.p_value:.2g}); "
            "the interval is widened for it"
        )
    fixed = adjust(counts, measured, len(images), spread.index)
    if fixed is not None:
        values = [None if v is None else 1000 * v for v in (fixed.frequency, fixed.low, fixed.high)]
        row |= dict(zip(("adjusted_per_1000", "adjusted_low", "adjusted_high"), values, strict=True))
    errors = measured.errors
    if (
        errors is not None and measured.rates is None and not counts.decided
        and within_errors(positive, total, false_positive=errors["false_positive"], negatives=errors["negative"])
    ):  # fmt: skip
        warnings.append(f"{name}: {positive} micronucleated of {total} cells can be explained by false positives alone")
    row |= {"n_decided": counts.decided, "n_unseen": None if found is None else int(cells["unseen"].sum())}
    row |= {"n_left_out_lines": len(measured.spread["lines"]) if measured.spread and not measured.rates else 0}
    seen = int((cells["n_micronuclei"] > 0).sum())
    per_cell = None if found is None else found / total
    row |= _yields(per_cell, found, seen, (positive / total, low, high), fixed)
    row[UNFAMILIAR] = unfamiliar_among(images)
    if measured.rates is None and mostly(row[UNFAMILIAR], len(images)):
        warnings.append(
            f"{name}: {row[UNFAMILIAR]} of {len(images)} images are unlike the training images, where neither the "
            "frequency nor its interval can be relied on; score a sample by hand (micronucleus audit)"
        )
    return row, warnings


def _yields(
    per_cell: float | None,
    found: int | None,
    seen: int,
    frequency: tuple[float, float, float],
    fixed: Corrected | None,
) -> dict[str, float | None]:
    """Give micronuclei per cell with the relative error of the frequency, and those of the adjusted frequency.

    A carrier has as many micronuclei as the cells in which some are seen have on average; one, where none is seen.
    """
    names = ("mn_per_nucleus_low", "mn_per_nucleus_high")
    adjusted = ("adjusted_mn_per_nucleus", "adjusted_mn_low", "adjusted_mn_high")
    if per_cell is None or found is None:
        return dict.fromkeys((*names, *(adjusted if fixed is not None else ())))
    share, low, high = frequency
    each = found / seen if seen else 1.0
    per_carrier = per_cell / share if share and found else each  # of cells called, those without a seen one included
    low_end = low * per_carrier if found else 0.0
    row: dict[str, float | None] = dict(zip(names, (low_end, high * per_carrier), strict=True))
    if fixed is not None:
        values = (fixed.frequency, fixed.low, fixed.high)
        row |= {name: None if v is None else v * each for name, v in zip(adjusted, values, strict=True)}
    return row
