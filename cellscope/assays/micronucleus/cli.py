"""``cellscope micronucleus``: the verbs, `audit`, `calibrate`, `dose`. Options; heavy imports wait until one runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cellscope.assays.micronucleus.options import (
    AuditOptions,
    CalibrateOptions,
    DoseOptions,
    EvalOptions,
    MicronucleusPrepareOptions,
    PredictOptions,
    TrainOptions,
)
from cellscope.cli.brief import Command
from cellscope.cli.verbs import Out, Verbs, Work, finish, speaking
from cellscope.options.common import BaseOptions, OutputOptions
from cellscope.options.flags import with_options

verbs = Verbs("micronucleus", "Micronuclei: detection, classification of cells and frequencies, from crops or fields.")
app = verbs.app


@verbs.prepare
def prepare(options: MicronucleusPrepareOptions) -> Work:
    """Convert fields with masks, crops in class folders or tables of cells to a prepared dataset, split by field.

    SOURCE is a folder in MNFinder's layout, a folder of class folders, or a CSV of cells (image, class, place).
    """
    from cellscope.assays.micronucleus.datasets.prepare import prepare as work

    return work


@verbs.train
def train(options: TrainOptions) -> Work:
    """Train the nucleus finder or the classifier on a prepared dataset."""
    from cellscope.assays.micronucleus.training.train import train as work

    return work


@verbs.eval
def evaluate(options: EvalOptions) -> Work:
    """Evaluate models on a split of a prepared dataset, with 95 % confidence intervals."""
    from cellscope.assays.micronucleus.evaluation.evaluate import evaluate as work

    return work


@verbs.predict
def predict(options: PredictOptions) -> str:
    """Detect nuclei and micronuclei in fields, or classify crops of single cells (--input field|crop)."""
    return "micronucleus"


Run = Annotated[Path, typer.Argument(metavar="OUT", help="Output folder of `predict` on fields.")]


@app.command("audit")
@with_options
def audit(
    run: Run,
    options: AuditOptions,
    base: BaseOptions,
    argv: list[str],
    out: Out = Path("micronucleus-audit"),
) -> int:
    """Draw random cells of a run to score by eye; from the scores, estimate error rates and adjust frequencies."""
    from cellscope.assays.micronucleus.evaluation.audit import run_audit

    with speaking(base, options, hush=True):
        facts = run_audit(run, out, options, base, argv)
    return finish("micronucleus audit", out, 0, as_json=base.json, **facts)


LeftOut = Annotated[
    list[Path],
    typer.Argument(metavar="MEASURED", help="OUT of `eval` on left-out cell lines, or tables such as its cells.csv."),
]


@app.command("calibrate")
@with_options
def calibrate(
    measured: LeftOut,
    options: CalibrateOptions,
    base: OutputOptions,
    argv: list[str],
    out: Out = Path("micronucleus-calibrate"),
) -> int:
    """Fit how far error rates differ between cell lines, for intervals that hold on new ones; OUT/model.safetensors."""
    from cellscope.assays.micronucleus.training.calibrate import run_calibrate

    with speaking(base, options, hush=True):
        facts = run_calibrate(measured, out, options, base, argv)
    return finish("micronucleus calibrate", out, 0, as_json=base.json, **facts)


Calibration = Annotated[
    Path,
    typer.Argument(metavar="CURVE", help="Calibration table (CSV: dose in Gy, cells, micronuclei) or curve.json."),
]


@app.command("dose", cls=Command)
@with_options
def dose(
    curve: Calibration,
    options: DoseOptions,
    base: OutputOptions,
    argv: list[str],
    out: Out = Path("micronucleus-dose"),
) -> int:
    """Fit a dose-response curve to your calibration data and estimate doses with confidence intervals."""
    from cellscope.assays.micronucleus.dose.command import run_dose

    with speaking(base, options, hush=True):
        facts = run_dose(curve, out, options, base, argv)
    return finish("micronucleus dose", out, 0, as_json=base.json, **facts)
