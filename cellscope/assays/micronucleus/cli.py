"""``cellscope micronucleus``: the four verbs and `dose`. Options only; heavy imports wait until one of them runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cellscope.assays.micronucleus.config import DoseOptions, MicronucleusPrepareOptions, PredictOptions, TrainOptions
from cellscope.engine.options import BaseOptions, RunOptions
from cellscope.groups import Group
from cellscope.options import with_options
from cellscope.verbs import Dataset, Inputs, Models, Out, Sources, Split, finish, report_inputs, speaking

ASSAY = "micronucleus"

app = typer.Typer(cls=Group, help="Micronuclei: which cells carry them, and how often, from crops or whole fields.")


@app.command("prepare")
@with_options
def prepare(sources: Sources, options: MicronucleusPrepareOptions, out: Out = Path("micronucleus-prepare")) -> int:
    """Turn fields with masks, crops in class folders or tables of cells into a prepared dataset, split by field.

    SOURCE is a folder in MNFinder's layout, a folder of class folders, or a CSV of cells (image, class, place).
    """
    from cellscope.assays.micronucleus.prepare import prepare as run

    with speaking(options, hush=True):
        code = run(sources, out, options)
    return finish("micronucleus prepare", out, code, as_json=options.json)


@app.command("train")
@with_options
def train(
    dataset: Dataset, options: TrainOptions, base: BaseOptions, argv: list[str], out: Out = Path("micronucleus-train")
) -> int:
    """Train the nucleus finder or the classifier on a prepared dataset."""
    from cellscope.assays.micronucleus.learn import train as run

    with speaking(base, options, hush=True):
        code = run(dataset, out, options, argv=argv)
    return finish("micronucleus train", out, code, as_json=base.json)


@app.command("eval")
@with_options
def evaluate(
    dataset: Dataset,
    options: PredictOptions,
    run: RunOptions,
    argv: list[str],
    out: Out = Path("micronucleus-eval"),
    models: Models = None,
    split: Split = "test",
) -> int:
    """Measure models on a split of a prepared dataset, with 95 % intervals."""
    from cellscope.assays.micronucleus.evaluate import evaluate as measure

    with speaking(run, options, hush=True):
        code = measure(dataset, out, run=run, options=options, models=list(models or []), split=split, argv=argv)
    return finish("micronucleus eval", out, code, as_json=run.json)


@app.command("predict")
@with_options
def predict(
    inputs: Inputs,
    options: PredictOptions,
    run: RunOptions,
    argv: list[str],
    out: Out = Path("micronucleus-predict"),
    models: Models = None,
) -> int:
    """Find nuclei and micronuclei in fields, or classify crops of single cells (--input field|crop)."""
    from cellscope.assays.micronucleus.corrections import with_corrections
    from cellscope.assays.micronucleus.predict import ASSAY as assay
    from cellscope.engine.predict import predict as run_assay

    options = with_corrections(options)
    with speaking(run, options):
        code = run_assay(assay, inputs, out, run=run, options=options, models=list(models or []), argv=argv)
    counts = report_inputs(out, run)
    return finish("micronucleus predict", out, code, as_json=run.json, **counts)


Calibration = Annotated[
    Path,
    typer.Argument(metavar="CURVE", help="A calibration table (CSV: dose in Gy, cells, micronuclei) or a curve.json."),
]


@app.command("dose")
@with_options
def dose(
    curve: Calibration,
    options: DoseOptions,
    base: BaseOptions,
    argv: list[str],
    out: Out = Path("micronucleus-dose"),
) -> int:
    """Fit a dose curve to your own calibration, store it, and estimate doses with intervals. No curve is built in."""
    from cellscope.assays.micronucleus.dose_run import run_dose

    with speaking(base, options, hush=True):
        facts = run_dose(curve, out, options, base, argv)
    return finish("micronucleus dose", out, 0, as_json=base.json, **facts)
