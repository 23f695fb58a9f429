"""What a run comes to: frequencies over all fields and per condition, adjusted for wrong calls, with what to doubt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cellscope.assays.micronucleus.classes import CROP
from cellscope.assays.micronucleus.classify.calibration import DECISION, error_counts, threshold_at
from cellscope.assays.micronucleus.count.comparison import OECD_CELLS, compare, doses_of
from cellscope.assays.micronucleus.count.distribution import distribution_row
from cellscope.assays.micronucleus.count.rates import BETWEEN_LINES, new_line_rates
from cellscope.assays.micronucleus.count.rows import Measured, cells_of, frequency_row
from cellscope.engine.assay import RunSummary
from cellscope.errors import UsageError
from cellscope.models.card import ModelCard

ALL = "all"


def summarise(images: pd.DataFrame, objects: pd.DataFrame, options: Any, cards: Mapping[str, ModelCard]) -> RunSummary:
    """Make ``frequency.csv`` and ``distribution.csv``, a row for all inputs and one per group with --group-by.

    With --control, ``comparison.csv`` too.

    Parameters
    ----------
    images : DataFrame
        ``images.csv``.
    objects : DataFrame
        ``objects.csv``.
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
    measured = Measured(errors, calibration.get(BETWEEN_LINES), threshold)
    groups = [(ALL, done)]
    if "group" in done:
        groups += [(str(name), part) for name, part in done[done["group"] != ""].groupby("group", sort=True)]
    rows, spread, warnings = [], [], []
    for name, part in groups:
        cells = cells_of(objects, part)
        row, doubts = frequency_row(name, part, measured, cells)
        rows.append(row)
        warnings += doubts if len(rows) > 1 or len(groups) == 1 else []
        counted = cells[cells["n_micronuclei"].notna()]
        if len(counted):
            number = counted["n_micronuclei"].to_numpy(int)
            spread.append(distribution_row(name, number, int(counted["unseen"].sum())))
    warnings += _about_rates(measured, decided=bool(getattr(options, "corrections", None)))
    warnings += _left_over(images, getattr(options, "corrected", {}))
    table = pd.DataFrame(rows)
    if table["n_micronuclei"].isna().any():
        # whole numbers beside what is not known
        table = table.astype({"n_micronuclei": "Int64", "n_unseen": "Int64"})
        warnings.append(
            "crops tell which cells carry micronuclei, not how many: n_micronuclei and mn_per_nucleus are empty"
        )
    tables = {"frequency": table}
    if spread:
        tables["distribution"] = pd.DataFrame(spread)
    control = getattr(options, "control", None)
    if control is not None:
        compared, doubts = _comparison(table.iloc[1:], control, getattr(options, "doses", ""))
        warnings += doubts
        tables |= {} if compared is None else {"comparison": compared}
    return RunSummary(tables=tables, warnings=warnings, headline=_headline(rows[0]))


def _headline(row: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Give the frequency over all inputs, with its interval."""
    rate, low, high = (f"{float(row[name]):.3g}" for name in ("per_1000", "per_1000_low", "per_1000_high"))
    return [
        ("cells with micronuclei", f"{row['n_micronucleated']} of {row['n_nuclei']}"),
        ("per 1000 cells (95 %)", f"{rate} ({low} to {high})"),
    ]


def _about_rates(measured: Measured, *, decided: bool) -> list[str]:
    """Say what is known of wrong calls; nothing of the calibration where a person corrected the calls."""
    errors, spread, threshold = measured.errors, measured.spread, measured.threshold
    told = []
    if errors is None and spread is None:
        return ["the classifier has no calibration: frequencies are not adjusted for wrong calls"]
    if errors is not None and not decided:
        share = errors["false_positive"] / max(errors["negative"], 1)
        told.append(
            f"at the threshold {threshold:.3g} the model calls {share:.1%} of normal cells micronucleated "
            f"({errors['false_positive']} of {errors['negative']} in calibration, where about half of the cells were "
            "positive); for samples of few per cent use --specificity, and the adjusted frequency"
        )
    if spread is not None:
        usual = new_line_rates(spread, threshold, 1)
        told.append(
            f"on the average of {len(spread['lines'])} cell lines left out of its training, the model called "
            f"{usual.false_positive:.1%} of normal cells and {usual.sensitivity:.1%} of carriers at this threshold; "
            "intervals include how much lines differ"
        )
    return told


def _left_over(images: pd.DataFrame, corrected: Mapping[str, Any]) -> list[str]:
    """Name the images of --corrections that are not among the fields: what a person decided of them counts nowhere."""
    fields = images[images["kind"] != CROP] if "kind" in images else images
    lost = sorted(set(corrected) - set(fields["image"]))
    if not lost:
        return []
    return [
        f"--corrections: {len(lost)} of the {len(corrected)} images of the table are no fields of this run, such as "
        f"{lost[0]}: their corrections do not count; image must be named as in images.csv"
    ]


def _comparison(frequencies: pd.DataFrame, control: str, said: str) -> tuple[pd.DataFrame | None, list[str]]:
    """Compare groups with their control; what cannot be compared is a warning, for the frequencies stand."""
    if frequencies.empty:
        return None, [f"--control {control}: there are no groups to compare; give --group-by"]
    try:
        doses = doses_of(frequencies["group"].tolist(), said, control)
        table, _ = compare(frequencies, control, doses)
    except UsageError as error:
        return None, [str(error)]
    warnings = []
    if not doses:
        warnings.append(
            "no trend test: not every group has one number in its name, or their units differ; give --doses "
            "GROUP=NUMBER,..."
        )
    few = table.loc[~table["enough_cells"], "group"].tolist()
    if few:
        warnings.append(
            f"OECD 487 asks for {OECD_CELLS} cells of the control and of each concentration; fewer were scored of "
            f"{', '.join(few[:5])}" + (f" and {len(few) - 5} more" if len(few) > 5 else "")
        )
    return table, warnings


def _threshold(options: Any, calibration: Mapping[str, Any]) -> float:
    if options.threshold is not None:
        return float(options.threshold)
    if options.specificity is not None and calibration.get("normal"):
        return threshold_at(calibration, options.specificity)
    return DECISION
