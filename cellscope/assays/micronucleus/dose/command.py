"""`cellscope micronucleus dose`: a calibration table or a stored curve in; the curve, doses and a report out."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellscope.assays.micronucleus.dose.curve import MODELS, Curve, curve_from, fit_curve
from cellscope.assays.micronucleus.dose.estimate import Dose, Spread, dose_of_yield, estimate_dose
from cellscope.assays.micronucleus.dose.samples import Sample, new_counts
from cellscope.assays.micronucleus.options import DoseOptions
from cellscope.engine.provenance import environment, now
from cellscope.errors import UsageError
from cellscope.io.table import read_table
from cellscope.io.write import write_csv, write_json, write_png
from cellscope.options.common import OutputOptions
from cellscope.report.page import Card, Table, write_report
from cellscope.report.plots import render_figure

CURVE, DOSES, FIGURE, REPORT = "curve.json", "doses.csv", "curve.png", "report.html"
COLUMNS = ("dose", "cells", "micronuclei")
ADJUSTED_COLUMNS = ("adjusted_per_cell", "adjusted_dose", "adjusted_low", "adjusted_high")


def run_dose(source: Path, out: Path, options: DoseOptions, base: OutputOptions, argv: list[str]) -> dict[str, Any]:
    """Fit or read a curve, estimate doses, write everything.

    Parameters
    ----------
    source : Path
        A CSV with ``dose`` (Gy), ``cells`` and ``micronuclei``, or a ``curve.json``.
    out : Path
    options : DoseOptions
    base : OutputOptions
    argv : list of str

    Returns
    -------
    dict
        The coefficients and doses, for ``--json``.

    Raises
    ------
    UsageError
        For a table or a curve that cannot be used, or results that are there already.
    """
    held = [name for name in (CURVE, DOSES, REPORT) if (out / name).exists()]
    if held and not base.overwrite:
        raise UsageError(f"{out} already holds results ({held[0]}); give --overwrite or another -o")
    curve = read_curve(source, options.model)  # all is read before anything is removed: it may lie in OUT
    doses, table = dose_rows(curve, new_counts(options), options.case_dispersion)
    for name in (DOSES, CURVE, FIGURE, REPORT):
        (out / name).unlink(missing_ok=True)
    write_png(out / FIGURE, render_figure(draw_curve(curve, doses)))
    if doses:
        write_csv(out / DOSES, table)
    _report(out, curve, table, argv)
    write_json(out / CURVE, curve.as_dict() | {"argv": argv, "finished": now()})
    facts = {"coefficients": list(curve.coefficients), "dispersion": curve.dispersion}
    return facts | {"doses": json.loads(table.to_json(orient="records"))}


def read_curve(source: Path, model: str | None) -> Curve:
    """Fit a curve to a CSV, linear-quadratic where no model is said, or read a stored one.

    Raises
    ------
    UsageError
        The file cannot be used; a stored curve is of another model than the one that is said.
    """
    if source.suffix.lower() == ".json":
        try:
            content = json.loads(source.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"{source}: the curve cannot be read ({error})") from error
        curve = curve_from(content, str(source))
        if model not in (None, curve.model):
            raise UsageError(f"--model {model}: the curve of {source} is {curve.model}; fit the calibration table anew")
        return curve
    rows = []
    for number, row in enumerate(read_table(source, COLUMNS), 1):
        try:
            rows.append((float(row["dose"]), float(row["cells"]), float(row["micronuclei"])))
        except ValueError:
            raise UsageError(f"{source}, row {number}: dose, cells and micronuclei must be numbers") from None
    return fit_curve(rows, model=model or MODELS[0], name=str(source))


def dose_rows(curve: Curve, samples: list[Sample], rule: str = "none") -> tuple[list[tuple[str, Dose]], pd.DataFrame]:
    """Estimate the dose of each count, and of what `predict` adjusted it to.

    Parameters
    ----------
    curve : Curve
    samples : list of Sample
    rule : str
        What the spread of each does to its interval: see `yield_limits`.

    Returns
    -------
    doses : list of (name, Dose)
    table : DataFrame
        ``doses.csv``.
    """
    doses, rows = [], []
    for sample in samples:
        dose = estimate_dose(
            curve, sample.micronuclei, sample.cells, limits=sample.limits, spread=sample.spread, rule=rule
        )
        doses.append((sample.name, dose))
        row = {"name": sample.name, **asdict(dose)}
        row["note"] = "; ".join(text for text in (dose.note, sample.note) if text)
        if rule != "none":
            known = sample.spread or Spread(None, None)
            row |= {"dispersion_index": known.index, "papworth_u": known.u}
        if sample.adjusted is not None:
            values = (sample.adjusted[0], *dose_of_yield(curve, *sample.adjusted))
            row |= dict(zip(ADJUSTED_COLUMNS, values, strict=True))
        rows.append(row)
    return doses, pd.DataFrame(rows)


def draw_curve(curve: Curve, doses: list[tuple[str, Dose]]) -> Any:
    """Draw the calibration points, the curve with its 95 % band, and the doses found."""
    from matplotlib.figure import Figure
    from scipy.stats import chi2

    figure = Figure(figsize=(7, 4.6), dpi=130, layout="constrained")
    axes = figure.subplots()
    points = np.array(curve.table, float)
    reach = max([curve.max_dose, *(d.dose for _, d in doses if d.dose is not None and d.dose < 2 * curve.max_dose)])
    x = np.linspace(0, 1.05 * reach, 300)
    y, half = curve.yields(x), np.sqrt(chi2.ppf(0.95, 3)) * curve.standard_error(x)
    axes.fill_between(x, np.maximum(y - half, 0), y + half, color="#0b6b73", alpha=0.15, lw=0)
    axes.plot(x, y, color="#0b6b73", label="curve, 95 % band")
    rate = points[:, 2] / points[:, 1]
    error = np.sqrt(points[:, 2] * curve.factor) / points[:, 1]
    axes.errorbar(
        points[:, 0], rate, error, fmt="o", ms=4, color="#17212b", capsize=2, label="calibration, standard error"
    )
    for number, (name, dose) in enumerate(doses[:8]):
        if dose.dose is None:
            continue
        colour = f"C{number + 1}"
        axes.plot(dose.dose, dose.per_cell, "D", color=colour, ms=5, label=f"{name}: {dose.dose:.2f} Gy")
        if dose.low is not None and dose.high is not None:
            axes.plot([dose.low, dose.high], [dose.per_cell] * 2, color=colour, lw=1.5)
    axes.set(xlabel="dose, Gy", ylabel="micronuclei per cell", xlim=(0, None), ylim=(0, None))
    axes.legend(frameon=False, fontsize=8)
    return figure


def _report(out: Path, curve: Curve, doses: pd.DataFrame, argv: list[str]) -> None:
    names = ("C (per cell)", "alpha (per Gy)", "beta (per Gy^2)")
    errors = np.sqrt(np.diag(np.array(curve.covariance)))
    terms = pd.DataFrame({"coefficient": names, "value": curve.coefficients, "standard error": errors})
    table = pd.DataFrame(curve.table, columns=["dose", "cells", "micronuclei"])
    table["per cell"] = table["micronuclei"] / table["cells"]
    table["fitted"] = curve.yields(table["dose"].to_numpy())
    warnings = []
    if curve.p_value is not None and curve.p_value < 0.05:
        warnings.append(
            f"counts scatter more than Poisson (dispersion {curve.dispersion:.2f}, p = {curve.p_value:.2g}); variances "
            "are multiplied by the dispersion"
        )
    warnings += [f"{row['name']}: {row['note']}" for row in doses.to_dict("records") if row["note"]]
    tables = [Table("Coefficients", terms), Table("Calibration", table)]
    if len(doses):
        tables.insert(
            0,
            Table(
                "Doses",
                doses,
                "low and high are the ends of the 95 % interval (Merkle), in Gy; adjusted: for wrong calls.",
            ),
        )
    write_report(
        out / REPORT,
        title="micronucleus dose",
        subtitle="Y = C + alpha D + beta D^2, fitted by maximum likelihood",
        summary=[(f"dose of {row['name']}, Gy", row["dose"]) for row in doses.head(6).to_dict("records")],
        cards=[Card("Calibration curve", [("", out / FIGURE)])],
        cards_title="Figures",
        tables=tables,
        warnings=warnings,
        provenance={"argv": argv, "environment": environment()},
        notes=["A dose holds only for counts made as those of the calibration were: same cells, protocol, scoring."],
    )
