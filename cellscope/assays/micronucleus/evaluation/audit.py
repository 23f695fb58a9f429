"""`cellscope micronucleus audit`: random cells to score by eye; from the scores, error rates and frequencies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from cellscope.assays.micronucleus.count.figures import display, thumbnail
from cellscope.assays.micronucleus.count.rows import Measured, cells_of, frequency_row
from cellscope.assays.micronucleus.evaluation.audit_page import audit_page
from cellscope.assays.micronucleus.evaluation.audit_rates import audited_rates, draw_sample
from cellscope.assays.micronucleus.field.field import grey_of
from cellscope.assays.micronucleus.options import AuditOptions
from cellscope.engine.provenance import environment, now
from cellscope.errors import UsageError
from cellscope.io.choice import Choice, Wants
from cellscope.io.read import read
from cellscope.io.table import read_table
from cellscope.io.write import write_csv, write_json, write_text
from cellscope.options.common import BaseOptions
from cellscope.report.page import Table, write_report

SAMPLE, PAGE, RATES, FREQUENCY = "audit.csv", "audit.html", "error_rates.csv", "frequency.csv"
NOT_SCORED = ("", "x", "?")


def run_audit(run: Path, out: Path, options: AuditOptions, base: BaseOptions, argv: list[str]) -> dict[str, Any]:
    """Draw a sample of a run's cells, or take in its scores.

    Parameters
    ----------
    run : Path
        OUT of `predict` on fields.
    out : Path
    options : AuditOptions
    base : BaseOptions
    argv : list of str

    Returns
    -------
    dict
        For ``--json``.

    Raises
    ------
    UsageError
        No such run, scores that do not fit it, or results that are there already.
    """
    made = (RATES, FREQUENCY) if options.scores else (SAMPLE, PAGE)
    held = [name for name in made if (out / name).exists()]
    if held and not base.overwrite:
        raise UsageError(f"{out} already holds results ({held[0]}); give --overwrite or another -o")
    record, images, objects = _open(run)
    undecided = cells_of(objects, images)
    undecided = objects.loc[undecided.index[~undecided["corrected"]]]
    if options.scores is not None:
        facts = _take_in(out, read_scores(Path(options.scores)), images, objects, undecided, argv)
    else:
        facts = _hand_out(run, out, record, draw_sample(undecided, options.cells, base.seed))
    write_json(out / "run.json", {"command": "audit", "argv": argv, "finished": now(), "run": str(run),
                                  "environment": environment(), **facts})  # fmt: skip
    return facts


def _open(run: Path) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    """Read a run's record and tables; fields only."""
    try:
        record = json.loads((run / "run.json").read_text(encoding="utf-8"))
        text = dict.fromkeys(("image", "class", "status", "kind", "group"), str)
        images, objects = (
            pd.read_csv(run / name, dtype=text, keep_default_na=False, na_values=[""])
            for name in ("images.csv", "objects.csv")
        )
    except (OSError, ValueError) as error:
        raise UsageError(f"{run} is no finished run of `micronucleus predict` ({error})") from error
    if record.get("assay") != "micronucleus" or record.get("command") != "predict":
        raise UsageError(f"{run} is no run of `micronucleus predict`")
    number = pd.to_numeric(images["n_nuclei"], errors="coerce")
    images = images[(images["status"] == "ok") & (images["kind"] == "field") & (number > 0)]
    if images.empty:
        raise UsageError(f"{run}: no field has a scorable cell")
    return record, images, objects[objects["image"].isin(set(images["image"]))]


def _hand_out(run: Path, out: Path, record: Mapping[str, Any], sample: pd.DataFrame) -> dict[str, Any]:
    """Write the table to fill in and the page to score on; neither tells the call."""
    inputs = {entry["image"]: entry for entry in record["inputs"]}
    options = SimpleNamespace(**record["options"].get("micronucleus", {}))
    pictures = {
        key: picture
        for image, cells in sample.groupby("image", sort=False)
        for key, picture in _pictures(run, inputs[str(image)], options, cells)
    }
    sheet = sample[["image", "label", "centroid-0", "centroid-1"]].assign(micronuclei="")
    write_csv(out / SAMPLE, sheet)
    keys = [(str(image), int(label)) for image, label in zip(sample["image"], sample["label"], strict=True)]
    write_text(out / PAGE, audit_page([(*key, pictures[key]) for key in keys]))
    return {"cells": len(sample)}


def _pictures(
    run: Path, entry: Mapping[str, Any], options: SimpleNamespace, cells: pd.DataFrame
) -> list[tuple[tuple[str, int], np.ndarray]]:
    """Cut the cells of one field out, each with the outline of its nucleus."""
    image = read(entry["path"], choice=Choice.of(options, entry.get("scene")), wants=Wants.STAIN)
    shown = display(grey_of(image.pixels, entry["image"]))
    labels = read(run / next(name for name in entry["outputs"] if name.endswith(".labels.tif"))).pixels[..., 0]
    areas = np.bincount(labels.ravel())[1:]
    half = max(round(1.6 * 2 * float(np.sqrt(np.median(areas[areas > 0]) / np.pi))), 8)
    found = []
    for label, row, column in zip(cells["label"], cells["centroid-0"], cells["centroid-1"], strict=True):
        picture = thumbnail(shown, labels == label, round(row), round(column), half, size=192)
        found.append(((entry["image"], int(label)), picture))
    return found


def read_scores(path: Path) -> dict[tuple[str, int], int]:
    """Read what a person saw: ``image``, ``label``, ``micronuclei``; ``x``, ``?`` or nothing is not scored.

    Raises
    ------
    UsageError
        The table cannot be read, or a number is none.
    """
    scores = {}
    for number, row in enumerate(read_table(path, ("image", "label", "micronuclei")), 2):
        said = row["micronuclei"].lower().rstrip("+")
        if said in NOT_SCORED:
            continue
        try:
            key, count = (row["image"], int(row["label"])), int(said)
        except ValueError:
            raise UsageError(f"{path}, line {number}: label and micronuclei must be whole numbers, or x") from None
        if count < 0 or key in scores:
            raise UsageError(f"{path}, line {number}: a number from 0 is needed, once per cell")
        scores[key] = count
    if not scores:
        raise UsageError(f"{path}: no cell is scored")
    return scores


def _take_in(
    out: Path,
    scores: Mapping[tuple[str, int], int],
    images: pd.DataFrame,
    objects: pd.DataFrame,
    undecided: pd.DataFrame,
    argv: list[str],
) -> dict[str, Any]:
    """Estimate the rates, adjust the frequencies with them and write both."""
    rates, table = audited_rates(undecided, scores)
    groups = [("all", images)]
    if "group" in images:
        groups += [(str(name), part) for name, part in images.groupby("group", sort=True)]
    measured = Measured(rates=rates)
    made = [frequency_row(name, part, measured, cells_of(objects, part)) for name, part in groups]
    frequencies = pd.DataFrame([row for row, _ in made])
    write_csv(out / RATES, table)
    write_csv(out / FREQUENCY, frequencies)
    warnings = [doubt for _, doubts in made for doubt in doubts]
    if not rates.tells:
        warnings.append("carriers are not called more often than other cells: frequencies cannot be adjusted")
    write_report(
        out / "report.html",
        title="micronucleus audit",
        subtitle=f"{len(scores)} cells scored by eye",
        summary=[(row["measure"], row["value"]) for row in table.to_dict("records")],
        tables=[Table("Error rates", table, "95 % intervals."), Table("Frequency", frequencies)],
        warnings=warnings,
        provenance={"argv": argv, "environment": environment()},
        notes=[
            "Frequencies are adjusted for the error rates of these cells, not for those of the model's calibration."
        ],
    )
    return {"scored": len(scores), "sensitivity": rates.sensitivity, "specificity": 1 - rates.false_positive}
