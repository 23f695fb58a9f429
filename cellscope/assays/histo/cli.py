"""``cellscope histo``: the four verbs. Options only; what they need is imported when one of them runs."""

from __future__ import annotations

from pathlib import Path

import typer

from cellscope.assays.histo.config import TrainOptions
from cellscope.assays.histo.predict_options import PredictOptions
from cellscope.assays.histo.prepare_options import HistoPrepareOptions
from cellscope.engine.options import BaseOptions, RunOptions
from cellscope.groups import Group
from cellscope.options import with_options
from cellscope.verbs import Dataset, Inputs, Models, Out, Sources, Split, finish, report_inputs, speaking

app = typer.Typer(cls=Group, help="Every nucleus of H&E images and whole slides: outline, type and measure them.")


@app.command("prepare")
@with_options
def prepare(sources: Sources, options: HistoPrepareOptions, out: Out = Path("histo-prepare")) -> int:
    """Turn images with outlined nuclei into a prepared dataset, split by group.

    SOURCE is a folder or file in the layout of CoNSeP, PanNuke, CPM-17, KUMAR, MoNuSeg, COCO, QuPath or label images.
    """
    from cellscope.assays.histo.prepare import prepare as run

    with speaking(options, hush=True):
        code = run(
            sources,
            out,
            format=options.format,
            seed=options.seed,
            splits=options.splits,
            folds=options.folds,
            overwrite=options.overwrite,
            types=options.types,
            classes=options.classes,
            pixel_size=options.pixel_size,
            pieces=options.pieces,
        )
    return finish("histo prepare", out, code, as_json=options.json)


@app.command("train")
@with_options
def train(
    dataset: Dataset, options: TrainOptions, base: BaseOptions, argv: list[str], out: Out = Path("histo-train")
) -> int:
    """Train a network on a prepared dataset."""
    from cellscope.assays.histo.learn import train as run

    with speaking(base, options, hush=True):
        code = run(dataset, out, options, argv=argv)
    return finish("histo train", out, code, as_json=base.json)


@app.command("eval")
@with_options
def evaluate(
    dataset: Dataset,
    options: PredictOptions,
    run: RunOptions,
    argv: list[str],
    out: Out = Path("histo-eval"),
    models: Models = None,
    split: Split = "test",
) -> int:
    """Measure models on a split of a prepared dataset, with 95 % intervals, beside the Otsu baseline."""
    from cellscope.assays.histo.evaluate import evaluate as measure

    with speaking(run, options, hush=True):
        code = measure(
            dataset, out, run=run, options=options, models=list(models or []), split=split, argv=argv
        )  # fmt: skip
    return finish("histo eval", out, code, as_json=run.json)


@app.command("predict")
@with_options
def predict(
    inputs: Inputs,
    options: PredictOptions,
    run: RunOptions,
    argv: list[str],
    out: Out = Path("histo-predict"),
    models: Models = None,
) -> int:
    """Outline, type and measure the nuclei in H&E tiles and whole slides (-m otsu: the baseline)."""
    from cellscope.assays.histo.predict import ASSAY as assay
    from cellscope.engine.predict import predict as run_assay
    from cellscope.io.regions import check_regions

    check_regions(options.roi)
    with speaking(run, options):
        code = run_assay(assay, inputs, out, run=run, options=options, models=list(models or []), argv=argv)
    counts = report_inputs(out, run)
    return finish("histo predict", out, code, as_json=run.json, **counts)
