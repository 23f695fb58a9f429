"""``cellscope nucleus-seg``: the four verbs. Options only; what they need is imported when one of them runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from cellscope.assays.nucleus_seg.config import NucleusPrepareOptions, PredictOptions, TrainOptions
from cellscope.engine.options import BaseOptions, RunOptions
from cellscope.groups import Group
from cellscope.options import with_options
from cellscope.verbs import Dataset, Inputs, Models, Out, Sources, Split, finish, report_inputs, speaking

app = typer.Typer(cls=Group, help="Nuclei of white blood cells in blood and marrow smears: outline and measure them.")

Compare = Annotated[
    Optional[list[Path]],  # noqa: UP045  Typer reads it at run time, also on older versions
    typer.Option(
        "--compare",
        metavar="OTHER_EVAL",
        help="Folder of another eval of the same items; both are tested against each other. Once per fold for folds.",
    ),
]


@app.command("prepare")
@with_options
def prepare(sources: Sources, options: NucleusPrepareOptions, out: Out = Path("nucleus-seg-prepare")) -> int:
    """Turn images with nucleus masks into a prepared dataset, split by group.

    SOURCE is a folder in the layout of WBC, BCCD, Raabin or SN-AM, one with images and masks, or a CSV file.
    """
    from cellscope.assays.nucleus_seg.prepare import prepare as run

    with speaking(options, hush=True):
        code = run(sources, out, options)
    return finish("nucleus-seg prepare", out, code, as_json=options.json)


@app.command("train")
@with_options
def train(
    dataset: Dataset, options: TrainOptions, base: BaseOptions, argv: list[str], out: Out = Path("nucleus-seg-train")
) -> int:
    """Train a network on a prepared dataset."""
    from cellscope.assays.nucleus_seg.learn import train as run

    with speaking(base, options, hush=True):
        code = run(dataset, out, options, argv=argv)
    return finish("nucleus-seg train", out, code, as_json=base.json)


@app.command("eval")
@with_options
def evaluate(
    dataset: Dataset,
    options: PredictOptions,
    run: RunOptions,
    argv: list[str],
    out: Out = Path("nucleus-seg-eval"),
    models: Models = None,
    split: Split = "test",
    compare: Compare = None,
) -> int:
    """Measure models on a split of a prepared dataset, with 95 % intervals, beside the Otsu baseline."""
    from cellscope.assays.nucleus_seg.evaluate import evaluate as measure

    with speaking(run, options, hush=True):
        code = measure(
            dataset,
            out,
            run=run,
            options=options,
            models=list(models or []),
            split=split,
            compare=list(compare or []),
            argv=argv,
        )
    return finish("nucleus-seg eval", out, code, as_json=run.json)


@app.command("predict")
@with_options
def predict(
    inputs: Inputs,
    options: PredictOptions,
    run: RunOptions,
    argv: list[str],
    out: Out = Path("nucleus-seg-predict"),
    models: Models = None,
) -> int:
    """Outline and measure the nuclei in images of single cells and in smears of any size (-m otsu: the baseline)."""
    from cellscope.assays.nucleus_seg.predict import ASSAY as assay
    from cellscope.engine.predict import predict as run_assay

    with speaking(run, options):
        code = run_assay(assay, inputs, out, run=run, options=options, models=list(models or []), argv=argv)
    counts = report_inputs(out, run)
    return finish("nucleus-seg predict", out, code, as_json=run.json, **counts)
