"""What a run comes to: frequencies over all fields and per condition, corrected for wrong calls, with what to doubt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cellscope.assays.micronucleus.classify.calibration import DECISION, error_counts, threshold_at
from cellscope.assays.micronucleus.count.frequency import corrected_frequency, dispersion, interval, within_errors
from cellscope.engine.assay import RunSummary
from cellscope.models.card import ModelCard

ALL = "all"
UNLIKE = 0.01
"""A chance of fields differing as they do below this is reported."""


def summarise(images: pd.DataFrame, objects: pd.DataFrame, options: Any, cards: Mapping[str, ModelCard]) -> RunSummary:
    """Make ``frequency.csv``: a row for all inputs, and one per group with --group-by.

    Parameters
    ----------
    images : DataFrame
        ``images.csv``.
    objects : DataFrame
        ``objects.csv``; not used.
    options : object
        The predict options.
    cards : mapping
        The model cards.
    """
    done = images[(images["status"] == "ok") & (pd.to_numeric(images["n_nuclei"], errors="coerce") > 0)]
    if done.empty:
        return RunSummary(warnings=["no scorable cell in any input: there is no frequency"] if len(images) else [])
    calibration = cards["classify"].training.get("calibration") or {}
    threshold = _threshold(options, calibration)
    errors = error_counts(calibration, threshold) if calibration.get("normal") else None
    groups = [(ALL, done)]
    if "group" in done:
        groups += [(str(name), part) for name, part in done[done["group"] != ""].groupby("group", sort=True)]
    rows, warnings = [], []
    for name, part in groups:
        row, doubts = frequency_row(name, part, errors)
        rows.append(row)
        warnings += doubts if name != ALL or len(groups) == 1 else []
    if errors is None:
        warnings.append("the classifier has no calibration: frequencies are not corrected for wrong calls")
    elif not getattr(options, "corrections", None):
        share = errors["false_positive"] / max(errors["negative"], 1)
        warnings.append(
            f"at the threshold {threshold:.3g} the model calls {share:.1%} of normal cells micronucleated "
            f"({errors['false_positive']} of {errors['negative']} in calibration, where about half of the cells were "
            "positive); for samples of few per cent use --specificity, and the corrected frequency"
        )
    table = pd.DataFrame(rows)
    if table["n_micronuclei"].isna().any():
        table["n_micronuclei"] = table["n_micronuclei"].astype("Int64")  # whole numbers beside what is not known
        warnings.append(
            "crops tell which cells carry micronuclei, not how many: n_micronuclei and mn_per_nucleus are empty"
        )
    return RunSummary(tables={"frequency": table}, warnings=warnings)


def _threshold(options: Any, calibration: Mapping[str, Any]) -> float:
    if options.threshold is not None:
        return float(options.threshold)
    if options.specificity is not None and calibration.get("normal"):
        return threshold_at(calibration, options.specificity)
    return DECISION


def frequency_row(
    name: str, images: pd.DataFrame, errors: Mapping[str, int] | None
) -> tuple[dict[str, Any], list[str]]:
    """Sum up the fields of one group.

    Parameters
    ----------
    name : str
    images : DataFrame
        Rows of ``images.csv`` with at least one scorable cell each.
    errors : mapping or None
        From `cellscope.assays.micronucleus.classify.calibration.error_counts`.

    Returns
    -------
    row : dict
    warnings : list of str
    """
    counts = {
        column: pd.to_numeric(images[column], errors="coerce").fillna(0).to_numpy(int)
        for column in ("n_nuclei", "n_micronucleated")
    }
    total, positive = (int(values.sum()) for values in counts.values())
    # a crop tells whether its cell carries micronuclei, not how many: with one of them the sum is not known
    localised = pd.to_numeric(images["n_micronuclei"], errors="coerce")
    found = None if localised.isna().any() else int(localised.sum())
    spread = dispersion(counts["n_micronucleated"], counts["n_nuclei"])
    low, high = interval(positive, total, spread.index)
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
    if errors is not None:
        fixed = corrected_frequency(
            positive,
            total,
            true_positive=errors["true_positive"],
            positives=errors["positive"],
            false_positive=errors["false_positive"],
            negatives=errors["negative"],
            index=spread.index,
        )
        values = [None if v is None else 1000 * v for v in (fixed.frequency, fixed.low, fixed.high)]
        row |= dict(zip(("corrected_per_1000", "corrected_low", "corrected_high"), values, strict=True))
        if within_errors(positive, total, false_positive=errors["false_positive"], negatives=errors["negative"]):
            warnings.append(
                f"{name}: {positive} micronucleated of {total} cells can be explained by false positives alone"
            )
    return row, warnings
