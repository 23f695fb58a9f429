"""``cellscope karyotype``: the four verbs and `render`. Options only; what they need is imported when one runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cellscope.assays.karyotype.options import (
    EvalOptions,
    ImportOptions,
    KaryotypePrepareOptions,
    PredictOptions,
    RenderOptions,
    TrainOptions,
)
from cellscope.cli.brief import Command
from cellscope.cli.verbs import Models, Out, Verbs, Work, finish, run_inputs, speaking
from cellscope.errors import EXIT_FAILED, EXIT_OK
from cellscope.options.common import InputOptions, RunOptions
from cellscope.options.fields import extended
from cellscope.options.flags import with_options

verbs = Verbs("karyotype", "Metaphase chromosomes: detection, classification, karyograms.")
app = verbs.app

Karyotypes = Annotated[
    list[str],
    typer.Argument(metavar="KARYOTYPE", help="karyotype.json files, folders (searched recursively), or @list.txt."),
]


@verbs.prepare
def prepare(options: KaryotypePrepareOptions) -> Work:
    """Convert annotated images to a prepared dataset, split by patient or slide.

    SOURCE is a folder in the layout of BioImLab (COCO masks, single chromosomes), Tseng (boxes), ADIR (class maps),
    KaryoNet (single chromosomes), Lin (clusters), or of class folders.
    """
    from cellscope.assays.karyotype.datasets.prepare import prepare as work

    return work


@verbs.train
def train(options: TrainOptions) -> Work:
    """Train the detector or the classifier on a prepared dataset."""
    from cellscope.assays.karyotype.training.train import train as work

    return work


@verbs.eval
def evaluate(options: EvalOptions) -> Work:
    """Evaluate models on a split of a prepared dataset, with 95 % confidence intervals."""
    from cellscope.assays.karyotype.evaluation.evaluate import evaluate as work

    return work


@verbs.predict
def predict(options: PredictOptions) -> str:
    """Karyotype metaphase images, or classify images of single chromosomes (--input metaphase|chromosome)."""
    return "karyotype" if options.backend == "native" else "cellscope.assays.karyotype.detectron2.assay:ASSAY"


@app.command("import-detectron2", cls=Command)
@with_options
def import_detectron2(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="detectron2 checkpoint (.pth or .pkl).")],
    options: ImportOptions,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="MODEL", help="Model file to write.")] = Path(
        "detectron2.safetensors"
    ),
) -> int:
    """Convert a PointRend, Mask R-CNN or Faster R-CNN checkpoint of detectron2 to a model file."""
    from cellscope.assays.karyotype.detectron2.importing import import_checkpoint

    with speaking(options):
        code = import_checkpoint(file, out, options)
    return finish("karyotype import-detectron2", out, code, as_json=options.json)


@app.command("iscn", cls=Command)
def iscn(
    texts: Annotated[list[str], typer.Argument(metavar="KARYOTYPE", help="Such as '47,XY,+21'; one or more.")],
) -> int:
    """Check karyotypes that people wrote: total, sex chromosomes, order, mos and [n]. Exit code 1 if one is wrong."""
    from cellscope.assays.karyotype.cell.iscn_check import check_iscn

    wrong = 0
    for text in texts:
        faults = check_iscn(text)
        wrong += bool(faults)
        for fault in faults or ["right"]:
            typer.echo(fault if fault.startswith(f"{text}: ") else f"{text}: {fault}")
    return EXIT_FAILED if wrong else EXIT_OK


@app.command("render", cls=Command)
@with_options
def render(
    inputs: Karyotypes,
    options: RenderOptions,
    run: InputOptions,
    argv: list[str],
    out: Out = Path("karyotype-render"),
    models: Models = None,
) -> int:
    """Redraw cells from karyotype.json files edited in the report or by hand."""
    from cellscope.assays.karyotype.editing.command import render as work

    return run_inputs("karyotype render", work, inputs, out, extended(run, RunOptions), options, models, argv)
