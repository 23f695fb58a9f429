"""``cellscope mitosis``: the four verbs. Options only; what they need is imported when one of them runs."""

from __future__ import annotations

from pathlib import Path

import typer

from cellscope.assays.mitosis.config import MitosisPrepareOptions, PredictOptions, TrainOptions
from cellscope.engine.options import BaseOptions, RunOptions
from cellscope.groups import Group
from cellscope.options import with_options
from cellscope.verbs import Dataset, Inputs, Models, Out, Sources, Split, finish, report_inputs, speaking

app = typer.Typer(cls=Group, help="Cell divisions: normal or abnormal, from sequences or time-lapse movies.")


@app.command("prepare")
@with_options
def prepare(sources: Sources, options: MitosisPrepareOptions, out: Out = Path("mitosis-prepare")) -> int:
    """Turn class folders of sequences into a prepared dataset, split by movie position.

    SOURCE is a folder whose sub-folders are classes, such as normal and abnormal.
    """
    from cellscope.assays.mitosis.prepare import prepare as run

    with speaking(options, hush=True):
        code = run(sources, out, options)
    return finish("mitosis prepare", out, code, as_json=options.json)


@app.command("train")
@with_options
def train(
    dataset: Dataset, options: TrainOptions, base: BaseOptions, argv: list[str], out: Out = Path("mitosis-train")
) -> int:
    """Train a classifier on a prepared dataset: once, several times, or once per fold."""
    from cellscope.assays.mitosis.repeats import train as run

    with speaking(base, options, hush=True):
        code = run(dataset, out, options, argv=argv)
    return finish("mitosis train", out, code, as_json=base.json)


@app.command("eval")
@with_options
def evaluate(
    dataset: Dataset,
    options: PredictOptions,
    run: RunOptions,
    argv: list[str],
    out: Out = Path("mitosis-eval"),
    models: Models = None,
    split: Split = "test",
) -> int:
    """Measure a model on a split of a prepared dataset, with 95 % intervals, by cell line and by dose."""
    from cellscope.assays.mitosis.evaluate import evaluate as measure

    with speaking(run, options, hush=True):
        code = measure(dataset, out, run=run, options=options, models=list(models or []), split=split, argv=argv)
    return finish("mitosis eval", out, code, as_json=run.json)


@app.command("predict")
@with_options
def predict(
    inputs: Inputs,
    options: PredictOptions,
    run: RunOptions,
    argv: list[str],
    out: Out = Path("mitosis-predict"),
    models: Models = None,
) -> int:
    """Classify sequences, or the divisions that a table names in movies (--events)."""
    from cellscope.assays.mitosis.inputs import check_options
    from cellscope.assays.mitosis.predict import ASSAY as assay
    from cellscope.engine.predict import predict as run_assay

    check_options(options)
    with speaking(run, options):
        code = run_assay(assay, inputs, out, run=run, options=options, models=list(models or []), argv=argv)
    counts = report_inputs(out, run)
    return finish("mitosis predict", out, code, as_json=run.json, **counts)
