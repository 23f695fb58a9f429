"""`cellscope micronucleus calibrate`: what networks said of left-out cell lines goes into a model's calibration."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from cellscope.assays.micronucleus.classes import MICRONUCLEUS, parse_class
from cellscope.assays.micronucleus.count.rates import BETWEEN_LINES
from cellscope.assays.micronucleus.options import CalibrateOptions
from cellscope.assays.micronucleus.training.left_out import PREDICTIONS
from cellscope.assays.micronucleus.training.spread import DECISIONS, covered, fit_spread
from cellscope.engine.eval.sources import LEFT_OUT_SOURCES, by_source
from cellscope.engine.provenance import environment, now
from cellscope.engine.train.data import say
from cellscope.engine.train.folder import MODEL
from cellscope.engine.train.turns import WITHOUT
from cellscope.errors import UsageError
from cellscope.io.prepared import LEFT_OUT
from cellscope.io.table import read_table
from cellscope.io.write import write_csv, write_json
from cellscope.models.file import load_model, save_model
from cellscope.models.registry import default_for, locate
from cellscope.options.common import OutputOptions

CELLS = "cells.csv"
FIELDS = "fields.csv"
COLUMNS = ("image", "class", f"p_{MICRONUCLEUS}")


def run_calibrate(
    measured: Sequence[Path], out: Path, options: CalibrateOptions, base: OutputOptions, argv: list[str]
) -> dict[str, Any]:
    """Fit how far lines differ, write it into a copy of the classifier, and say what its intervals are worth.

    Parameters
    ----------
    measured : sequence of Path
        Folders of `eval`, or tables such as their ``cells.csv``; together of two or more lines.
    out : Path
    options : CalibrateOptions
    base : OutputOptions
    argv : list of str

    Returns
    -------
    dict
        What was fitted, for ``--json``.

    Raises
    ------
    UsageError
        Tables that cannot be used, or results that are there already.
    ModelError
        The model is no classifier of this assay.
    """
    if not base.overwrite and (out / MODEL).exists():
        raise UsageError(f"{out} already holds results ({MODEL}); give --overwrite or another -o")
    path = locate(options.model) if options.model else default_for("micronucleus", "classify").path
    card, tensors = load_model(path, assay="micronucleus", part="classify")
    cells = read_cells(measured)
    spread = fit_spread(cells)
    fields = covered(cells, spread, DECISIONS[0])
    sources = by_source(fields["line"].to_numpy(), lambda rows: _of_line(fields.iloc[rows]), lower=("false_positive",))
    calibration = {**(card.training.get("calibration") or {}), BETWEEN_LINES: spread}
    said = {name: spread[name] for name in ("coverage", "coverage_of_others", "coverage_by_chance")}
    card = replace(
        card,
        training={**card.training, "calibration": calibration},
        metrics={**card.metrics, **{f"left_out_frequency_{name}": value for name, value in said.items()}},
    )
    half = all(torch.equal(tensor, tensor.half().float()) for tensor in tensors.values() if tensor.is_floating_point())
    save_model(out / MODEL, tensors, card, half=half)
    write_csv(out / FIELDS, fields)
    write_csv(out / LEFT_OUT_SOURCES, sources)
    facts = {"lines": spread["lines"], "fields": spread["fields"], "factor": spread["factor"], **said}
    record = {"command": "calibrate", "argv": argv, "finished": now(), "environment": environment(), **facts}
    write_json(out / "run.json", record)
    _say(facts)
    return facts


def _say(facts: dict[str, Any]) -> None:
    others = facts["coverage_of_others"]
    say(
        f"{facts['fields']} fields of {len(facts['lines'])} lines: 95 % intervals hold the true frequency in "
        f"{facts['coverage']:.0%} of fields"
        + ("" if others is None else f" (fitted to the other lines: {others:.0%})")
        + f"; those of chance alone in {facts['coverage_by_chance']:.0%}"
    )
    if len(facts["lines"]) < 5:
        say(f"note: {len(facts['lines'])} lines say little about the next one; leave out more of them")


def _of_line(fields: pd.DataFrame) -> dict[str, float | None]:
    """Measure the fields of one line."""
    total = fields[["true_positive", "positive", "false_positive", "negative"]].sum()
    return {
        "sensitivity": float(total["true_positive"] / total["positive"]) if total["positive"] else None,
        "false_positive": float(total["false_positive"] / total["negative"]) if total["negative"] else None,
        "mean_error": float((fields["frequency"] - fields["true_frequency"]).abs().mean()),
        "covered": float(fields["covered"].mean()),
    }


def read_cells(measured: Sequence[Path]) -> pd.DataFrame:
    """Read the cells of left-out lines.

    Parameters
    ----------
    measured : sequence of Path
        Folders of `eval` (with ``cells.csv``) or of ``train --leave-out KEY`` (``predictions.csv``), or tables with
        ``image``, ``line``, ``class``, ``p_micronucleus`` and, if not all cells can be scored, ``scorable``.

    Returns
    -------
    DataFrame
        As `cellscope.assays.micronucleus.training.spread.fit_spread` takes it.

    Raises
    ------
    UsageError
        A table that cannot be read or used, or a field that is in two of them.
    """
    parts: list[pd.DataFrame] = []
    for path in measured:
        tables = [path / name for name in (CELLS, PREDICTIONS)] if path.is_dir() else [path]
        table = next((one for one in tables if one.is_file() or one == path), None)
        if table is None:
            raise UsageError(f"{path} has no {CELLS}; give OUT of `eval` on fields")
        part = _read(table)
        seen = {image for other in parts for image in other["image"]}
        if again := sorted(seen & set(part["image"])):
            raise UsageError(f"{table}: the field {again[0]} is in another table too; give each line once")
        if _split(path) not in (None, LEFT_OUT):
            say(f"note: {path} measured the split {_split(path)}, which the networks may know; leave lines out")
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _split(path: Path) -> str | None:
    """Tell which split `eval` measured; None where that is not written down."""
    try:
        found = json.loads((path / "eval.json").read_text(encoding="utf-8")).get("split")
    except (OSError, ValueError, AttributeError):
        return None
    return None if found is None else str(found)


def _read(path: Path) -> pd.DataFrame:
    rows = []
    for number, row in enumerate(read_table(path, COLUMNS), 2):
        class_ = parse_class(row["class"]) if row["class"] else ""
        if class_ is None:
            raise UsageError(f"{path}, line {number}: {row['class']!r} is not a class; write normal or micronucleus")
        try:
            p = float(row[f"p_{MICRONUCLEUS}"]) if row[f"p_{MICRONUCLEUS}"] else np.nan
        except ValueError:
            raise UsageError(f"{path}, line {number}: p_{MICRONUCLEUS} must be a number") from None
        line = row.get("line") or row.get(WITHOUT)
        if not line or p < 0 or p > 1:
            raise UsageError(f"{path}, line {number}: a line and a probability from 0 to 1 are needed")
        scorable = row.get("scorable", "true").lower() in ("true", "1") and not np.isnan(p)
        rows.append((row["image"], line, class_, p, scorable))
    return pd.DataFrame(rows, columns=["image", "line", "class", "p", "scorable"])
